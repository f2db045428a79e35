#include "recon/response.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "recon/arithmetic.h"

namespace tomogrid::recon {

namespace {

// Where a column's variance (sigma^2 + 1/12, in units of the smaller of bin and row, squared) changes from one level to
// the next. Found by a search for the least worst error of six taps across and five along together: narrow where six
// taps begin to be too few and two steps of diffusion are not yet smooth, wider beyond (docs/reconstruction.md).
constexpr std::array<double, 12> kBounds = {0.636, 0.909, 1.055, 1.195, 1.54, 1.95, 2.40, 2.86, 3.32, 3.78, 4.24, 4.70};
constexpr double kStepBeyond = 0.40;  // between further bounds; above 0.42 the faults of early steps add up
constexpr double kLargestSide = 0.36;

double bound(std::size_t index) {
  if (index < kBounds.size()) return kBounds[index];
  return kBounds.back() + kStepBeyond * static_cast<double>(index + 1 - kBounds.size());
}

// Integrals of a Gaussian at `centre` (in bins) over bins first ... first + count - 1, made to sum to 1.
std::vector<double> bin_integrals(double centre, double sigma, int first, std::size_t count) {
  std::vector<double> result(count);
  const auto below = [&](double edge) {
    return sigma > 0 ? normal_integral((edge - centre) / sigma) : edge > centre ? 1.0 : edge < centre ? 0.0 : 0.5;
  };
  double previous = below(first - 0.5), sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double next = below(first + static_cast<int>(i) + 0.5);
    result[i] = next - previous;
    sum += result[i];
    previous = next;
  }
  for (double& value : result) value /= sum;
  return result;
}

// Solves a x = b in place, with partial pivoting; b becomes x. At most 8 unknowns.
void solve(std::array<std::array<double, 8>, 8>& a, std::array<double, 8>& b, std::size_t n) {
  for (std::size_t column = 0; column < n; ++column) {
    std::size_t pivot = column;
    for (std::size_t row = column + 1; row < n; ++row) {
      if (std::fabs(a[row][column]) > std::fabs(a[pivot][column])) pivot = row;
    }
    std::swap(a[column], a[pivot]);
    std::swap(b[column], b[pivot]);
    for (std::size_t row = column + 1; row < n; ++row) {
      const double factor = a[row][column] / a[column][column];
      for (std::size_t k = column; k < n; ++k) a[row][k] = std::fma(-factor, a[column][k], a[row][k]);
      b[row] = std::fma(-factor, b[column], b[row]);
    }
  }
  for (std::size_t column = n; column-- > 0;) {
    for (std::size_t k = column + 1; k < n; ++k) b[column] = std::fma(-a[column][k], b[k], b[column]);
    b[column] /= a[column][column];
  }
}

struct Fit {
  std::vector<double> taps;
  double error = 0;  // || h * w - g ||^2 / || g ||^2
};

// The constrained least squares of response.h: taps at offsets first ... first + count - 1 with mean `centre`. Taps
// that come out negative are left out one at a time, the most negative first; two are always enough.
Fit fit_taps(const std::vector<double>& kernel, double centre, double sigma, int first, std::size_t count) {
  const int reach = static_cast<int>(kernel.size() / 2);
  const int margin = static_cast<int>(std::ceil(6.0 * sigma)) + 1;
  const int low = std::min(first - reach, -margin),
            high = std::max(first + static_cast<int>(count) - 1 + reach, margin + 1);
  const std::vector<double> target = bin_integrals(centre, sigma, low, static_cast<std::size_t>(high - low + 1));
  std::array<double, 8> overlap{}, matched{};  // kernel with itself at each lag; kernel with the target at each offset
  for (std::size_t lag = 0; lag < count; ++lag) {
    for (std::size_t i = 0; i + lag < kernel.size(); ++i)
      overlap[lag] = std::fma(kernel[i], kernel[i + lag], overlap[lag]);
    const std::size_t begin = static_cast<std::size_t>(first + static_cast<int>(lag) - reach - low);
    for (std::size_t i = 0; i < kernel.size(); ++i) matched[lag] = std::fma(kernel[i], target[begin + i], matched[lag]);
  }
  const auto lag_of = [](std::size_t i, std::size_t j) { return i > j ? i - j : j - i; };
  std::vector<std::size_t> used(count);
  for (std::size_t i = 0; i < count; ++i) used[i] = i;
  for (;;) {
    const std::size_t n = used.size();
    std::array<std::array<double, 8>, 8> a{};
    std::array<double, 8> b{};
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) a[i][j] = overlap[lag_of(used[i], used[j])];
      b[i] = matched[used[i]];
      a[i][n] = a[n][i] = 1.0;
      a[i][n + 1] = a[n + 1][i] = first + static_cast<int>(used[i]) - centre;
    }
    b[n] = 1.0;
    solve(a, b, n + 2);
    const std::size_t worst =
        static_cast<std::size_t>(std::min_element(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(n)) - b.begin());
    if (b[worst] < 0.0 && n > 2) {
      used.erase(used.begin() + static_cast<std::ptrdiff_t>(worst));
      continue;
    }
    Fit fit{std::vector<double>(count, 0.0), 0};
    for (std::size_t i = 0; i < n; ++i) fit.taps[used[i]] = std::max(b[i], 0.0);
    double size = 0, missed = 0;
    for (const double value : target) size = std::fma(value, value, size);
    missed = size;
    for (std::size_t i = 0; i < count; ++i) {
      double own = -2.0 * matched[i];
      for (std::size_t j = 0; j < count; ++j) own = std::fma(overlap[lag_of(i, j)], fit.taps[j], own);
      missed = std::fma(fit.taps[i], own, missed);
    }
    fit.error = missed / size;
    return fit;
  }
}

Fit fit_across(const std::vector<double>& kernel, double fraction, double sigma) {
  return fit_taps(kernel, fraction, sigma, -2, kTaps);
}
Fit fit_along(const std::vector<double>& kernel, double sigma) {
  return fit_taps(kernel, 0.0, sigma, -2, 5);
}

// kernel * (side, 1 - 2 side, side)
std::vector<double> lengthened(const std::vector<double>& kernel, double side) {
  std::vector<double> wide(kernel.size() + 2, 0.0);
  const double centre = 1.0 - 2.0 * side;
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    wide[i] = std::fma(side, kernel[i], wide[i]);
    wide[i + 1] = std::fma(centre, kernel[i], wide[i + 1]);
    wide[i + 2] = std::fma(side, kernel[i], wide[i + 2]);
  }
  return wide;
}

// The side for which `error(side)` is least: the best of 13, then halving steps about it. The error need not be smooth.
template <class Error>
double best_side(Error error) {
  double best = 0, least = error(0.0), step = kLargestSide / 12.0;
  const auto consider = [&](double side) {
    const double value = error(side);
    if (value < least) {
      least = value;
      best = side;
    }
  };
  for (int i = 1; i <= 12; ++i) consider(step * i);
  for (int halving = 0; halving < 7; ++halving) {
    step *= 0.5;
    const double centre = best;
    if (centre >= step) consider(centre - step);
    consider(centre + step);
  }
  return best;
}

}  // namespace

ResponseTable::ResponseTable(const ResponseShape& shape) : shape_(shape) {
  const double unit = std::min(shape.bin_mm, shape.row_mm);
  unit_area_ = unit * unit;
  floor_ =
      shape.voxel_mm * shape.voxel_mm / 8.0;  // voxels are points; a narrower response would leave gaps between them
  const double widest = std::max(sigma(shape.distance_most_mm), sigma(0.0)), most = floored(widest);
  levels_.resize(level_of(widest) + 1);
  levels_[0].kernel_u = levels_[0].kernel_z = {1.0};
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    Level& level = levels_[l];
    level.variance_low = l == 0 ? 0.0 : variance_bound(l - 1);
    const double high = l + 1 == levels_.size() ? std::max(most, level.variance_low) : variance_bound(l);
    level.nodes = 33;
    level.variance_step = std::max(high - level.variance_low, 1e-6) / static_cast<double>(level.nodes - 1);
    level.across.resize(level.nodes * kFractions);
    level.along.resize(level.nodes);
    if (l > 0) choose_sides(l);
  }
#pragma omp parallel for schedule(dynamic)
  for (std::size_t l = 0; l < levels_.size(); ++l) fill(l);
}

double ResponseTable::floored(double sigma_mm) const {
  return std::max(sigma_mm * sigma_mm, floor_);
}

double ResponseTable::variance_bound(std::size_t index) const {
  return (bound(index) - 1.0 / 12.0) * unit_area_;
}

std::size_t ResponseTable::level_of(double sigma_mm) const {
  const double variance = floored(sigma_mm);
  std::size_t level = 0;
  while (variance >= variance_bound(level)) ++level;
  return level;
}

// Sides such that what the taps cannot mend is least: the worst of the level's ends and middle, at three fractions.
void ResponseTable::choose_sides(std::size_t index) {
  Level& level = levels_[index];
  const Level& nearer = levels_[index - 1];
  const double low = level.variance_low, middle = 0.5 * (low + variance_bound(index));
  const std::array<double, 3> variances = {low, middle, variance_bound(index)};
  level.side_u = best_side([&](double side) {
    const std::vector<double> kernel = lengthened(nearer.kernel_u, side);
    double worst = 0;
    for (const double variance : variances) {
      const double sigma = std::sqrt(std::max(variance, floor_)) / shape_.bin_mm;
      for (const double fraction : {0.0, 0.25, 0.5}) worst = std::max(worst, fit_across(kernel, fraction, sigma).error);
    }
    return worst;
  });
  level.side_z = best_side([&](double side) {
    const std::vector<double> kernel = lengthened(nearer.kernel_z, side);
    double worst = 0;
    for (const double variance : variances)
      worst = std::max(worst, fit_along(kernel, std::sqrt(variance) / shape_.row_mm).error);
    return worst;
  });
  level.kernel_u = lengthened(nearer.kernel_u, level.side_u);
  level.kernel_z = lengthened(nearer.kernel_z, level.side_z);
}

void ResponseTable::fill(std::size_t index) {
  Level& level = levels_[index];
  for (std::size_t node = 0; node < level.nodes; ++node) {
    const double variance = level.variance_low + static_cast<double>(node) * level.variance_step;
    const double across_sigma = std::sqrt(std::max(variance, floor_)) / shape_.bin_mm;
    for (std::size_t f = 0; f < kFractions; ++f) {
      const double fraction = 0.5 * static_cast<double>(f) / static_cast<double>(kFractions - 1);
      const auto taps = fit_across(level.kernel_u, fraction, across_sigma).taps;
      std::copy(taps.begin(), taps.end(), level.across[node * kFractions + f].begin());
    }
    const auto taps = fit_along(level.kernel_z, std::sqrt(variance) / shape_.row_mm).taps;
    const double side1 = 0.5 * (taps[1] + taps[3]), side2 = 0.5 * (taps[0] + taps[4]);
    level.along[node] = {1.0 - 2.0 * side1 - 2.0 * side2, side1, side2};
  }
}

namespace {
struct Place {
  std::size_t node;
  double rest;
};
Place place(double position, std::size_t nodes) {
  const double held = std::clamp(position, 0.0, static_cast<double>(nodes - 1));
  const std::size_t node = std::min(static_cast<std::size_t>(held), nodes - 2);
  return {node, held - static_cast<double>(node)};
}
}  // namespace

std::array<double, kTaps> ResponseTable::across(std::size_t index, double sigma_mm, double fraction) const {
  const Level& level = levels_[index];
  const bool mirrored = fraction > 0.5;
  const Place v = place((floored(sigma_mm) - level.variance_low) / level.variance_step, level.nodes);
  const Place f = place((mirrored ? 1.0 - fraction : fraction) * 2.0 * static_cast<double>(kFractions - 1), kFractions);
  const auto* low = &level.across[v.node * kFractions + f.node];
  const auto* high = low + kFractions;
  std::array<double, kTaps> taps;
  for (std::size_t k = 0; k < kTaps; ++k) {
    const double a = std::fma(f.rest, low[1][k] - low[0][k], low[0][k]);
    const double b = std::fma(f.rest, high[1][k] - high[0][k], high[0][k]);
    taps[mirrored ? kTaps - 1 - k : k] = std::fma(v.rest, b - a, a);
  }
  return taps;
}

std::array<double, 3> ResponseTable::along(std::size_t index, double sigma_mm) const {
  const Level& level = levels_[index];
  const Place v = place((sigma_mm * sigma_mm - level.variance_low) / level.variance_step, level.nodes);
  std::array<double, 3> taps;
  for (std::size_t k = 0; k < 3; ++k) {
    const double a = level.along[v.node][k], b = level.along[v.node + 1][k];
    taps[k] = std::fma(v.rest, b - a, a);
  }
  return taps;
}

}  // namespace tomogrid::recon
