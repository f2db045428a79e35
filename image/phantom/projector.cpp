// The integral of phantom.h, in one view after another (docs/phantom.md, "How a bin is computed").
//
// The response depends on depth only, so in a view with lines (u', v') and depth w
//   counts(u, v) = integral du' dv' dw f(u', v', w) K_w(u - u') K_w(v - v'),   f = rho exp(-L).
// 1. Along a line f is a sum of pieces in closed form; Gauss-Legendre on each piece between its analytic ends.
// 2. K_w is analytic in w: it is replaced by its Chebyshev interpolant on kNodes depths, so a line contributes only its
//    Chebyshev moments M_m = integral f T_m dw.
// 3. Lines lie on a lateral grid of a whole number of cells per bin; a cell whose corners cross different materials is
//    sampled more finely, and each sample is laid on the grid by 4-point Lagrange weights, which keep its position.
// 4. Node by node the plane of moments is convolved with dPhi dPhi, tabulated by erf, first along u, then along v.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include "image/phantom.h"
#include "image/phantom/numerics.h"
#include "image/phantom/rays.h"

namespace tomogrid::image {

namespace {

using phantom::erf;
using phantom::exp_of_negative;
using phantom::kPi;
using phantom::Lines;
using phantom::Segment;

constexpr std::size_t kNodes = 12;   // depths at which the response is evaluated; a multiple of kLanes
constexpr double kTailSigmas = 6.0;  // 2e-9 of a Gaussian lies outside
constexpr std::size_t kLanes = 4;    // Gauss points handled side by side
using Lanes = double __attribute__((vector_size(kLanes * sizeof(double))));
struct GaussPoint {
  double at = 0, weight = 0;  // on [-1, 1]
};
constexpr std::array<GaussPoint, 3> kGauss3{{{-0.77459666924148337704, 0.55555555555555555556},
                                             {0, 0.88888888888888888889},
                                             {0.77459666924148337704, 0.55555555555555555556}}};
constexpr std::array<GaussPoint, 6> kGauss6{{{-0.93246951420315202781, 0.17132449237917034504},
                                             {-0.66120938646626451366, 0.36076157304813860757},
                                             {-0.23861918608319690863, 0.46791393457269104739},
                                             {0.23861918608319690863, 0.46791393457269104739},
                                             {0.66120938646626451366, 0.36076157304813860757},
                                             {0.93246951420315202781, 0.17132449237917034504}}};
constexpr double kPieceMm = 80.0;  // longest piece for six Gauss points at level 0; three up to a quarter of it

// T_m at the Chebyshev nodes, and the matrix that turns moments into weights of the nodes.
struct Chebyshev {
  std::array<double, kNodes> node{};
  std::array<std::array<double, kNodes>, kNodes> weight{};  // [node][moment]
  Chebyshev() {
    for (std::size_t j = 0; j < kNodes; ++j) {
      const double angle = kPi * (2.0 * static_cast<double>(j) + 1.0) / (2.0 * kNodes);
      node[j] = phantom::sin_cos(angle).second;
      for (std::size_t m = 0; m < kNodes; ++m) {
        weight[j][m] = (m == 0 ? 1.0 : 2.0) / kNodes * phantom::sin_cos(angle * static_cast<double>(m)).second;
      }
    }
  }
};

using Moments = std::array<double, kNodes>;

struct DepthRange {
  double middle = 0, half = 1;
  double t(double w) const { return (w - middle) / half; }
};

// Chebyshev moments of rho exp(-L) along one line. Buffers are members so that a view allocates once.
class LineIntegrator {
 public:
  LineIntegrator(const DepthRange& range, bool attenuation, int level)
      : range_(range), attenuation_(attenuation), longest_(kPieceMm / static_cast<double>(1 << level)) {}

  // False when nothing radiates on the line.
  bool moments(const std::vector<Segment>& segments, Moments& out) {
    depth_.clear();
    exponent_.clear();
    weight_.clear();
    double attenuated = 0;  // L at the near end of the segment
    for (const Segment& segment : segments) {
      const double mu = attenuation_ ? segment.mu : 0.0;
      if (segment.activity > 0) add(segment, mu, attenuated);
      attenuated += mu * (segment.end - segment.begin);
    }
    if (depth_.empty()) return false;
    pad();
    accumulate(out);
    return true;
  }

 private:
  void add(const Segment& segment, double mu, double attenuated) {
    const double length = segment.end - segment.begin;
    const double count = std::max(1.0, std::ceil(length / longest_));
    const double half = 0.5 * length / count;
    const bool few = 4 * length < longest_;
    const std::span<const GaussPoint> rule = few ? std::span<const GaussPoint>(kGauss3) : kGauss6;
    for (double piece = 0; piece < count; ++piece) {
      const double centre = segment.begin + (2 * piece + 1) * half;
      for (const GaussPoint& point : rule) {
        const double w = centre + half * point.at;
        depth_.push_back(range_.t(w));
        exponent_.push_back(-(attenuated + mu * (w - segment.begin)));
        weight_.push_back(segment.activity * half * point.weight);
      }
    }
  }

  void pad() {
    while (depth_.size() % kLanes != 0) {
      depth_.push_back(0);
      exponent_.push_back(0);
      weight_.push_back(0);
    }
  }

  void accumulate(Moments& out) const {
    Lanes sums[kNodes] = {};
    for (std::size_t i = 0; i < depth_.size(); i += kLanes) {
      double attenuated[kLanes];
#pragma omp simd
      for (std::size_t l = 0; l < kLanes; ++l) attenuated[l] = weight_[i + l] * exp_of_negative(exponent_[i + l]);
      const Lanes t{depth_[i], depth_[i + 1], depth_[i + 2], depth_[i + 3]}, t2 = t + t;
      Lanes before{attenuated[0], attenuated[1], attenuated[2], attenuated[3]}, now = before * t;
      for (std::size_t m = 0; m < kNodes; ++m) {
        sums[m] += before;
        const Lanes next = t2 * now - before;
        before = now;
        now = next;
      }
    }
    for (std::size_t m = 0; m < kNodes; ++m) out[m] = (sums[m][0] + sums[m][1]) + (sums[m][2] + sums[m][3]);
  }

  DepthRange range_;
  bool attenuation_;
  double longest_;
  std::vector<double> depth_, exponent_, weight_;
};

// One lateral direction: bins, and a grid of `per_bin` cells in each, extended by the response's reach and cut to what
// the phantom can touch. Cell i covers bin first_bin + i / per_bin.
struct Sample {
  double fraction = 0.5, weight = 1;  // within a cell; the weights of a cell sum to 1
};

struct Axis {
  double bin = 0, first_edge = 0;  // mm; edge of detector bin 0
  std::ptrdiff_t bins = 0;
  std::ptrdiff_t per_bin = 1, reach = 1;
  std::ptrdiff_t first_bin = 0, count = 0;  // bins of the grid; cells = count * per_bin
  double step() const { return bin / static_cast<double>(per_bin); }
  std::ptrdiff_t cells() const { return count * per_bin; }
  double edge(std::ptrdiff_t cell) const {
    return first_edge + static_cast<double>(first_bin) * bin + static_cast<double>(cell) * step();
  }
};

Axis make_axis(std::size_t bins, double bin, double centre0, double least, double most, double sigma_min,
               double sigma_max, int level) {
  Axis axis{.bin = bin, .first_edge = centre0 - 0.5 * bin, .bins = static_cast<std::ptrdiff_t>(bins)};
  // Cells no wider than the narrowest response at level 0: the midpoint rule's error is then exp(-2 pi^2).
  axis.per_bin = static_cast<std::ptrdiff_t>(std::clamp(std::ceil(1.4 * bin / sigma_min), 1.0, 64.0)) << level;
  axis.reach = static_cast<std::ptrdiff_t>(std::ceil(kTailSigmas * sigma_max / bin)) + 1;
  const auto bin_of = [&](double x) {
    const double limit = static_cast<double>(axis.bins + 2 * axis.reach + 4);
    return static_cast<std::ptrdiff_t>(std::clamp(std::floor((x - axis.first_edge) / bin), -limit, limit));
  };
  // One more bin on each side, because a sample is laid on up to two neighbouring cells.
  axis.first_bin = std::max(bin_of(least) - 2, -axis.reach - 1);
  axis.count = std::max<std::ptrdiff_t>(0, std::min(bin_of(most) + 3, axis.bins + axis.reach + 1) - axis.first_bin);
  return axis;
}

// dPhi for a source at the centre of cell `phase` of a bin, over the bin `tap - reach` further on.
std::vector<double> response_table(const Axis& axis, double sigma) {
  const std::ptrdiff_t taps = 2 * axis.reach + 1;
  std::vector<double> table(static_cast<std::size_t>(axis.per_bin * taps));
  for (std::ptrdiff_t phase = 0; phase < axis.per_bin; ++phase) {
    const double source = (static_cast<double>(phase) + 0.5) * axis.step();
    double before = 0;
    for (std::ptrdiff_t tap = 0; tap <= taps; ++tap) {
      const double edge = static_cast<double>(tap - axis.reach) * axis.bin - source;
      const double cumulative = 0.5 * erf(edge * 0.70710678118654752440 / sigma);
      if (tap > 0) table[static_cast<std::size_t>(phase * taps + tap - 1)] = cumulative - before;
      before = cumulative;
    }
  }
  return table;
}

// Where to sample each cell that is sampled `per_side` times: two-point Gauss on equal panels, between the edges of the
// regions' shadows. A flat end or a cylinder's side is such an edge, so no panel has a jump inside.
class CellSamples {
 public:
  CellSamples(const Axis& axis, std::vector<double> edges) : axis_(axis), edges_(std::move(edges)) {
    std::sort(edges_.begin(), edges_.end());
  }

  void of(std::ptrdiff_t cell, int per_side, std::vector<Sample>& out) const {
    out.clear();
    double from = 0;
    auto next = std::upper_bound(edges_.begin(), edges_.end(), axis_.edge(cell));
    while (from < 1) {
      double to = next == edges_.end() ? 1.0 : (*next++ - axis_.edge(cell)) / axis_.step();
      if (to > 1 - 1e-9) to = 1;
      if (to - from < 1e-9) continue;
      add(from, to, std::ceil(0.5 * per_side * (to - from)), out);
      from = to;
    }
  }

 private:
  static void add(double from, double to, double panels, std::vector<Sample>& out) {
    constexpr double kPoint = 0.57735026918962576451;
    const double half = 0.5 * (to - from) / panels;
    for (double k = 0; k < panels; ++k) {
      const double middle = from + (2 * k + 1) * half;
      out.push_back({middle - half * kPoint, half});
      out.push_back({middle + half * kPoint, half});
    }
  }

  Axis axis_;
  std::vector<double> edges_;
};

// Weights of the four grid points around an offset `t` in [0, 1) between the second and the third.
std::array<double, 4> lagrange(double t) {
  return {-t * (t - 1) * (t - 2) / 6, (t + 1) * (t - 1) * (t - 2) / 2, -(t + 1) * t * (t - 2) / 2,
          (t + 1) * t * (t - 1) / 6};
}

class ViewProjector {
 public:
  ViewProjector(const Phantom& phantom, const ProjectionGeometry& geometry, const View& view,
                const PhantomPhysics& physics, int level)
      : phantom_(phantom),
        physics_(physics),
        view_(view),
        lines_(phantom, phantom::frame_of_view(view.angle)),
        range_{.middle = 0.5 * (lines_.w_min() + lines_.w_max()),
               .half = std::max(0.5 * (lines_.w_max() - lines_.w_min()), 1e-6)},
        integrator_(range_, physics.attenuation, level) {
    const bool regions = lines_.regions() > 0;
    const double near = regions ? sigma(lines_.w_min()) : 1.0, far = regions ? sigma(lines_.w_max()) : 1.0;
    const phantom::Shadow& shadow = lines_.shadow();
    u_ = make_axis(geometry.bins, geometry.bin_mm.count(), geometry.u0.count(), regions ? shadow.u_min : 0,
                   regions ? shadow.u_max : 0, near, far, level);
    v_ = make_axis(geometry.rows, geometry.row_mm.count(), geometry.v0.count(), regions ? shadow.v_min : 0,
                   regions ? shadow.v_max : 0, near, far, level);
  }

  void project(double* out) {
    if (lines_.regions() > 0 && u_.count > 0 && v_.count > 0) {
      choose_samples();
      integrate();
      blur(out);
    }
    for (const PointSource& point : phantom_.points) add_point(point, out);
  }

 private:
  double sigma(double w) const {
    return physics_.response.sigma0.count() + physics_.response.slope * (view_.radius.count() + w);
  }
  std::size_t cell(std::ptrdiff_t j, std::ptrdiff_t i) const { return static_cast<std::size_t>(j * u_.cells() + i); }

  // What the line crosses: equal numbers mean the same materials in the same order.
  std::uint64_t signature(double u, double v) {
    lines_.segments(u, v, scratch_, segments_);
    std::uint64_t hash = 1469598103934665603ULL;
    double end = 0;
    for (const Segment& segment : segments_) {
      hash = (hash ^ (segment.material + 1 + (segment.begin > end ? 1U << 20 : 0U))) * 1099511628211ULL;
      end = segment.end;
    }
    return hash;
  }

  // samples_[cell]: how many lines along each side of the cell.
  void choose_samples() {
    const std::ptrdiff_t nu = u_.cells(), nv = v_.cells();
    std::vector<std::uint64_t> corner(static_cast<std::size_t>((nu + 1) * (nv + 1)));
    for (std::ptrdiff_t j = 0; j <= nv; ++j) {
      for (std::ptrdiff_t i = 0; i <= nu; ++i) {
        corner[static_cast<std::size_t>(j * (nu + 1) + i)] = signature(u_.edge(i), v_.edge(j));
      }
    }
    std::vector<std::uint8_t> edge(static_cast<std::size_t>(nu * nv), 0);
    for (std::ptrdiff_t j = 0; j < nv; ++j) {
      for (std::ptrdiff_t i = 0; i < nu; ++i) {
        const std::uint64_t* c = &corner[static_cast<std::size_t>(j * (nu + 1) + i)];
        edge[cell(j, i)] = c[0] != c[1] || c[0] != c[nu + 1] || c[0] != c[nu + 2];
      }
    }
    samples_.assign(edge.size(), 1);
    for (std::ptrdiff_t j = 0; j < nv; ++j) {
      for (std::ptrdiff_t i = 0; i < nu; ++i) {
        if (edge[cell(j, i)] == 0) continue;
        // Neighbours too: a chord falls like a square root beside a rim.
        for (std::ptrdiff_t y = std::max<std::ptrdiff_t>(j - 1, 0); y <= std::min(j + 1, nv - 1); ++y) {
          for (std::ptrdiff_t x = std::max<std::ptrdiff_t>(i - 1, 0); x <= std::min(i + 1, nu - 1); ++x) {
            samples_[cell(y, x)] = std::max<std::uint8_t>(samples_[cell(y, x)], 2);
          }
        }
      }
    }
    for (std::size_t r = 0; r < lines_.regions(); ++r) refine_small(lines_.shadow(r));
  }

  // A region narrower than two cells could be missed by every corner: sample all it touches at a quarter of its width.
  void refine_small(const phantom::Shadow& shadow) {
    if (shadow.empty()) return;
    const double width = std::min(shadow.u_max - shadow.u_min, shadow.v_max - shadow.v_min);
    const double step = std::max(u_.step(), v_.step());
    if (width > 2 * step) return;
    const auto fine = static_cast<std::uint8_t>(std::clamp(std::ceil(4 * step / width), 2.0, 32.0));
    const auto index = [](const Axis& axis, double x) {
      return static_cast<std::ptrdiff_t>(
          std::clamp(std::floor((x - axis.edge(0)) / axis.step()), -1.0, static_cast<double>(axis.cells())));
    };
    for (std::ptrdiff_t j = std::max<std::ptrdiff_t>(index(v_, shadow.v_min), 0);
         j <= std::min(index(v_, shadow.v_max), v_.cells() - 1); ++j) {
      for (std::ptrdiff_t i = std::max<std::ptrdiff_t>(index(u_, shadow.u_min), 0);
           i <= std::min(index(u_, shadow.u_max), u_.cells() - 1); ++i) {
        samples_[cell(j, i)] = std::max(samples_[cell(j, i)], fine);
      }
    }
  }

  void integrate() {
    std::vector<double> edges_u, edges_v;
    for (std::size_t r = 0; r < lines_.regions(); ++r) {
      const phantom::Shadow& shadow = lines_.shadow(r);
      edges_u.insert(edges_u.end(), {shadow.u_min, shadow.u_max});
      edges_v.insert(edges_v.end(), {shadow.v_min, shadow.v_max});
    }
    const CellSamples samples_u(u_, std::move(edges_u)), samples_v(v_, std::move(edges_v));
    std::vector<Sample> su, sv;
    moments_.assign(kNodes * samples_.size(), 0.0);
    Moments line;
    for (std::ptrdiff_t j = 0; j < v_.cells(); ++j) {
      for (std::ptrdiff_t i = 0; i < u_.cells(); ++i) {
        const double middle = middle_weight(j, i);
        if (middle != 0 && integrate_line(j, i, {}, {}, line)) lay(j, i, middle, line);
        const int n = samples_[cell(j, i)];
        if (n == 1) continue;
        samples_u.of(i, n, su);
        samples_v.of(j, n, sv);
        for (const Sample& y : sv) {
          for (const Sample& x : su) {
            if (integrate_line(j, i, y, x, line)) spread(j, i, y.fraction, x.fraction, line);
          }
        }
      }
    }
  }

  // Weight of the line through a cell's middle. The midpoint rule is exact to all orders far inside a smooth part, but
  // where plain cells meet finely sampled ones it misses h^2/24 of the second derivative: plain cells add that by
  // second differences, which cancel between plain neighbours (Euler and Maclaurin's formula in two dimensions).
  double middle_weight(std::ptrdiff_t j, std::ptrdiff_t i) const {
    const auto plain = [&](std::ptrdiff_t y, std::ptrdiff_t x) {
      const bool outside = y < 0 || x < 0 || y >= v_.cells() || x >= u_.cells();
      return outside || samples_[cell(y, x)] == 1 ? 1 : 0;
    };
    const int here = plain(j, i);
    const int differences = plain(j, i - 1) + plain(j, i + 1) + plain(j - 1, i) + plain(j + 1, i) - 4 * here;
    return here + differences / 24.0;
  }

  bool integrate_line(std::ptrdiff_t j, std::ptrdiff_t i, const Sample& y, const Sample& x, Moments& line) {
    lines_.segments(u_.edge(i) + x.fraction * u_.step(), v_.edge(j) + y.fraction * v_.step(), scratch_, segments_);
    if (!integrator_.moments(segments_, line)) return false;
    const double area = u_.step() * x.weight * v_.step() * y.weight;
    for (double& m : line) m *= area;
    return true;
  }

  void lay(std::ptrdiff_t j, std::ptrdiff_t i, double weight, const Moments& line) {
    if (j < 0 || i < 0 || j >= v_.cells() || i >= u_.cells()) return;
    double* at = &moments_[kNodes * cell(j, i)];
#pragma omp simd
    for (std::size_t m = 0; m < kNodes; ++m) at[m] += weight * line[m];
  }

  // A sample at fractions (fv, fu) of cell (j, i), laid on the centres of 4 x 4 cells.
  void spread(std::ptrdiff_t j, std::ptrdiff_t i, double fv, double fu, const Moments& line) {
    const std::ptrdiff_t ju = fu < 0.5 ? i - 1 : i, jv = fv < 0.5 ? j - 1 : j;
    const std::array<double, 4> wu = lagrange(fu < 0.5 ? fu + 0.5 : fu - 0.5);
    const std::array<double, 4> wv = lagrange(fv < 0.5 ? fv + 0.5 : fv - 0.5);
    for (std::ptrdiff_t y = 0; y < 4; ++y) {
      for (std::ptrdiff_t x = 0; x < 4; ++x) {
        lay(jv - 1 + y, ju - 1 + x, wv[static_cast<std::size_t>(y)] * wu[static_cast<std::size_t>(x)], line);
      }
    }
  }

  void blur(double* out) const {
    static const Chebyshev chebyshev;
    const std::ptrdiff_t rows_fine = v_.cells();
    std::vector<double> plane(static_cast<std::size_t>(u_.cells()));  // [phase][bin of the grid]
    std::vector<double> along_u(static_cast<std::size_t>(rows_fine * u_.bins));
    for (std::size_t n = 0; n < kNodes; ++n) {
      const double width = sigma(range_.middle + range_.half * chebyshev.node[n]);
      const std::vector<double> ku = response_table(u_, width), kv = response_table(v_, width);
      std::fill(along_u.begin(), along_u.end(), 0.0);
      for (std::ptrdiff_t j = 0; j < rows_fine; ++j) {
        if (!weigh(j, chebyshev.weight[n], plane)) continue;
        spread_row(plane, ku, &along_u[static_cast<std::size_t>(j * u_.bins)]);
      }
      spread_column(along_u, kv, out);
    }
  }

  // One row of node weights, phase by phase so that the next step runs along bins. False when all are zero.
  bool weigh(std::ptrdiff_t j, const std::array<double, kNodes>& weight, std::vector<double>& plane) const {
    bool any = false;
    for (std::ptrdiff_t i = 0; i < u_.cells(); ++i) {
      const double* m = &moments_[kNodes * cell(j, i)];
      double sums[kLanes] = {};
      for (std::size_t k = 0; k < kNodes; k += kLanes) {
#pragma omp simd
        for (std::size_t l = 0; l < kLanes; ++l) sums[l] += weight[k + l] * m[k + l];
      }
      const double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
      plane[static_cast<std::size_t>((i % u_.per_bin) * u_.count + i / u_.per_bin)] = sum;
      any = any || sum != 0;
    }
    return any;
  }

  void spread_row(const std::vector<double>& plane, const std::vector<double>& table, double* out) const {
    const std::ptrdiff_t taps = 2 * u_.reach + 1;
    for (std::ptrdiff_t phase = 0; phase < u_.per_bin; ++phase) {
      const double* source = &plane[static_cast<std::size_t>(phase * u_.count)];
      for (std::ptrdiff_t tap = 0; tap < taps; ++tap) {
        const double k = table[static_cast<std::size_t>(phase * taps + tap)];
        const std::ptrdiff_t shift = u_.first_bin + tap - u_.reach;  // grid bin 0 lands on this detector bin
        const std::ptrdiff_t first = std::max<std::ptrdiff_t>(0, -shift), last = std::min(u_.count, u_.bins - shift);
#pragma omp simd
        for (std::ptrdiff_t b = first; b < last; ++b) out[b + shift] += k * source[b];
      }
    }
  }

  void spread_column(const std::vector<double>& along_u, const std::vector<double>& table, double* out) const {
    const std::ptrdiff_t taps = 2 * v_.reach + 1;
    for (std::ptrdiff_t j = 0; j < v_.cells(); ++j) {
      const double* source = &along_u[static_cast<std::size_t>(j * u_.bins)];
      const std::ptrdiff_t phase = j % v_.per_bin, bin = v_.first_bin + j / v_.per_bin;
      for (std::ptrdiff_t tap = 0; tap < taps; ++tap) {
        const std::ptrdiff_t row = bin + tap - v_.reach;
        if (row < 0 || row >= v_.bins) continue;
        const double k = table[static_cast<std::size_t>(phase * taps + tap)];
        double* target = out + row * u_.bins;
#pragma omp simd
        for (std::ptrdiff_t b = 0; b < u_.bins; ++b) target[b] += k * source[b];
      }
    }
  }

  // A point needs no quadrature: exp(-L) dPhi dPhi.
  void add_point(const PointSource& point, double* out) {
    const phantom::LineFrame f = phantom::frame_of_view(view_.angle);
    const double u = point.x * f.ux + point.y * f.uy, v = point.z, w = point.x * f.wx + point.y * f.wy;
    double attenuated = 0;
    lines_.segments(u, v, scratch_, segments_);
    for (const Segment& segment : segments_) {
      if (segment.begin < w) attenuated += segment.mu * (std::min(segment.end, w) - segment.begin);
    }
    const double strength = point.activity * (physics_.attenuation ? exp_of_negative(-attenuated) : 1.0);
    const double width = sigma(w);
    const auto profile = [&](const Axis& axis, double at) {
      std::vector<double> p(static_cast<std::size_t>(axis.bins));
      for (std::ptrdiff_t b = 0; b < axis.bins; ++b) {
        const double from = axis.first_edge + static_cast<double>(b) * axis.bin - at;
        p[static_cast<std::size_t>(b)] = phantom::gaussian_between(from, from + axis.bin, width);
      }
      return p;
    };
    const std::vector<double> pu = profile(u_, u), pv = profile(v_, v);
    for (std::size_t r = 0; r < pv.size(); ++r) {
      for (std::size_t b = 0; b < pu.size(); ++b) out[r * pu.size() + b] += strength * pv[r] * pu[b];
    }
  }

  const Phantom& phantom_;
  const PhantomPhysics& physics_;
  View view_;
  Lines lines_;
  DepthRange range_;
  LineIntegrator integrator_;
  Axis u_, v_;
  Lines::Scratch scratch_;
  std::vector<Segment> segments_;
  std::vector<std::uint8_t> samples_;
  std::vector<double> moments_;  // [cell][moment]
};

// Mean of exp(-lambda t) over the view.
double decay_of(const View& view, const std::optional<Seconds>& half_life) {
  if (!half_life || half_life->count() <= 0) return 1.0;
  const double lambda = 0.69314718055994530942 / half_life->count();
  const double start = exp_of_negative(-lambda * view.start.count()), x = lambda * view.duration.count();
  if (x < 1e-5) return start * (1 - 0.5 * x);
  return start * (1 - exp_of_negative(-x)) / x;
}

std::vector<double> project_views(const Phantom& phantom, const ProjectionGeometry& geometry,
                                  const PhantomPhysics& physics, const std::vector<std::size_t>& views, int level) {
  const std::size_t elements = geometry.bins * geometry.rows;
  std::vector<double> image(elements * views.size(), 0.0);
  // A view is computed by one thread in one order, so the bits do not depend on how many there are.
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t k = 0; k < views.size(); ++k) {
    const View& view = geometry.views[views[k]];
    double* out = image.data() + elements * k;
    ViewProjector(phantom, geometry, view, physics, level).project(out);
    const double decay = decay_of(view, physics.half_life);
    // Interpolation leaves -1e-17 where there is nothing.
    for (std::size_t i = 0; i < elements; ++i) out[i] = std::max(0.0, out[i] * decay);
  }
  return image;
}

}  // namespace

std::vector<double> project(const Phantom& phantom, const ProjectionGeometry& geometry, const PhantomPhysics& physics,
                            Sampling sampling) {
  std::vector<std::size_t> views(geometry.views.size());
  for (std::size_t k = 0; k < views.size(); ++k) views[k] = k;
  return project_views(phantom, geometry, physics, views, sampling.level);
}

Convergence converge(const Phantom& phantom, const ProjectionGeometry& geometry, const PhantomPhysics& physics,
                     double tolerance) {
  constexpr std::size_t kViews = 4;
  constexpr int kLevelMax = 3;
  std::vector<std::size_t> views;
  const std::size_t count = std::min(kViews, geometry.views.size());
  // A stride that is no divisor of the circle, so that oblique views are among them.
  for (std::size_t k = 0; k < count; ++k) views.push_back(k * geometry.views.size() / count + (k % 2 ? count / 4 : 0));
  for (std::size_t& view : views) view = std::min(view, geometry.views.size() - 1);
  Convergence result;
  std::vector<double> coarse = project_views(phantom, geometry, physics, views, 0);
  for (int level = 0; level < kLevelMax; ++level) {
    std::vector<double> fine = project_views(phantom, geometry, physics, views, level + 1);
    double difference = 0, power = 0;
    for (std::size_t i = 0; i < fine.size(); ++i) {
      difference += (fine[i] - coarse[i]) * (fine[i] - coarse[i]);
      power += fine[i] * fine[i];
    }
    result = {.sampling = {level}, .change = power > 0 ? std::sqrt(difference / power) : 0.0};
    if (result.change < tolerance) return result;
    coarse = std::move(fine);
  }
  result.sampling.level = kLevelMax;
  return result;
}

}  // namespace tomogrid::image
