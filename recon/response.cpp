#include "recon/response.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "recon/arithmetic.h"

namespace tomogrid::recon {

namespace {

constexpr double kLeastResidual = 0.5;  // bin^2: below, six taps at any fraction lose accuracy (docs/reconstruction.md)
constexpr double kStep = 0.3;           // bin^2: a 3-tap kernel of this variance is nearly Gaussian

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

// The constrained least squares of response.h: taps at offsets first ... first + count - 1 with mean `centre`. Taps
// that come out negative are left out one at a time, the most negative first; two are always enough.
std::vector<double> fit_taps(const std::vector<double>& kernel, double centre, double sigma, int first,
                             std::size_t count) {
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
  std::vector<std::size_t> used(count);
  for (std::size_t i = 0; i < count; ++i) used[i] = i;
  for (;;) {
    const std::size_t n = used.size();
    std::array<std::array<double, 8>, 8> a{};
    std::array<double, 8> b{};
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) a[i][j] = overlap[used[i] > used[j] ? used[i] - used[j] : used[j] - used[i]];
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
    std::vector<double> taps(count, 0.0);
    for (std::size_t i = 0; i < n; ++i) taps[used[i]] = std::max(b[i], 0.0);
    return taps;
  }
}

// k such that `kernel` * (k, 1 - 2 k, k) is nearest to the sampled Gaussian of `variance`, and the result.
double lengthen(std::vector<double>& kernel, double variance) {
  const int reach = static_cast<int>(kernel.size() / 2) + 1;
  const std::size_t size = static_cast<std::size_t>(2 * reach + 1);
  std::vector<double> wide(size, 0.0), target(size), curvature(size);
  std::copy(kernel.begin(), kernel.end(), wide.begin() + 1);
  double sum = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const double x = static_cast<int>(i) - reach;
    sum += target[i] = exact_exp(-x * x / (2.0 * variance));
  }
  double top = 0, bottom = 0;
  for (std::size_t i = 0; i < size; ++i) {
    curvature[i] = (i > 0 ? wide[i - 1] : 0.0) - 2.0 * wide[i] + (i + 1 < size ? wide[i + 1] : 0.0);
    top = std::fma(target[i] / sum - wide[i], curvature[i], top);
    bottom = std::fma(curvature[i], curvature[i], bottom);
  }
  const double side = std::clamp(top / bottom, 0.0, 0.5);
  for (std::size_t i = 0; i < size; ++i) wide[i] = std::fma(side, curvature[i], wide[i]);
  kernel = std::move(wide);
  return side;
}

}  // namespace

ResponseTable::ResponseTable(const ResponseShape& shape) : shape_(shape) {
  const double unit = std::min(shape.bin_mm, shape.row_mm);
  step_ = kStep * unit * unit;
  least_ = (kLeastResidual - 1.0 / 12.0) * shape.bin_mm * shape.bin_mm;
  floor_ =
      shape.voxel_mm * shape.voxel_mm / 8.0;  // voxels are points; a narrower response would leave gaps between them
  const double most = std::max(floored(sigma(shape.distance_most_mm)), floored(sigma(0.0)));
  levels_.resize(level_of(std::max(sigma(shape.distance_most_mm), sigma(0.0))) + 1);
  levels_[0].kernel_u = levels_[0].kernel_z = {1.0};
  for (std::size_t l = 1; l < levels_.size(); ++l) {
    Level& level = levels_[l];
    const double variance = static_cast<double>(l) * step_;
    level.kernel_u = levels_[l - 1].kernel_u;
    level.kernel_z = levels_[l - 1].kernel_z;
    level.side_u = lengthen(level.kernel_u, variance / (shape.bin_mm * shape.bin_mm));
    level.side_z = lengthen(level.kernel_z, variance / (shape.row_mm * shape.row_mm));
  }
  for (std::size_t l = 0; l < levels_.size(); ++l) {
    Level& level = levels_[l];
    level.variance_low = l == 0 ? 0.0 : least_ + static_cast<double>(l) * step_;
    const double high =
        l + 1 == levels_.size() ? std::max(most, level.variance_low) : least_ + static_cast<double>(l + 1) * step_;
    level.nodes = l == 0 ? 33 : 17;
    level.variance_step = std::max(high - level.variance_low, 1e-6) / static_cast<double>(level.nodes - 1);
    level.across.resize(level.nodes * kFractions);
    level.along.resize(level.nodes);
  }
#pragma omp parallel for schedule(dynamic)
  for (std::size_t l = 0; l < levels_.size(); ++l) fill(l);
}

double ResponseTable::floored(double sigma_mm) const {
  return std::max(sigma_mm * sigma_mm, floor_);
}

std::size_t ResponseTable::level_of(double sigma_mm) const {
  const double beyond = (floored(sigma_mm) - least_) / step_;
  return beyond < 0 ? 0 : static_cast<std::size_t>(beyond);
}

void ResponseTable::fill(std::size_t index) {
  Level& level = levels_[index];
  for (std::size_t node = 0; node < level.nodes; ++node) {
    const double variance = level.variance_low + static_cast<double>(node) * level.variance_step;
    const double across_sigma = std::sqrt(std::max(variance, floor_)) / shape_.bin_mm;
    for (std::size_t f = 0; f < kFractions; ++f) {
      const double fraction = 0.5 * static_cast<double>(f) / static_cast<double>(kFractions - 1);
      const auto taps = fit_taps(level.kernel_u, fraction, across_sigma, -2, kTaps);
      std::copy(taps.begin(), taps.end(), level.across[node * kFractions + f].begin());
    }
    const auto taps = fit_taps(level.kernel_z, 0.0, std::sqrt(variance) / shape_.row_mm, -2, 5);
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
