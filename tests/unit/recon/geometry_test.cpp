// Every orbit a camera can make: heads, start angles, directions, missing views, half turns, ellipses, body contours.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "problem.h"

namespace tomogrid::recon {
namespace {

constexpr double kTurn = 6.283185307179586;

struct Orbit {
  const char* name;
  std::size_t views = 32;
  std::uint32_t heads = 1;
  double start = 0, arc = kTurn;  // of each head; negative: clockwise
  double between_heads = 0;
  enum class Radius { Circle, Ellipse, Contour } radius = Radius::Circle;
  std::vector<std::size_t> missing = {};
};

std::vector<Orbit> orbits() {
  using R = Orbit::Radius;
  return {{.name = "one head, whole turn"},
          {.name = "one head, start at 100 degrees, clockwise", .start = 1.745, .arc = -kTurn},
          {.name = "one head, half a turn", .start = -0.785, .arc = kTurn / 2},
          {.name = "two heads at 90 degrees, half a turn, clockwise",
           .heads = 2,
           .start = 2.356,
           .arc = -kTurn / 4,
           .between_heads = kTurn / 4},
          {.name = "two heads opposite", .heads = 2, .start = 0.3, .arc = kTurn / 2, .between_heads = kTurn / 2},
          {.name = "three heads", .views = 33, .heads = 3, .start = 6.1, .arc = kTurn / 3, .between_heads = kTurn / 3},
          {.name = "ellipse", .radius = R::Ellipse},
          {.name = "body contour, clockwise", .arc = -kTurn, .radius = R::Contour},
          {.name = "missing views", .radius = R::Ellipse, .missing = {0, 3, 4, 17, 31}}};
}

double radius_at(Orbit::Radius kind, double angle) {
  const double c = std::cos(angle), s = std::sin(angle);
  switch (kind) {
    case Orbit::Radius::Circle:
      return 150;
    case Orbit::Radius::Ellipse:
      return 120 * 170 / std::sqrt(120 * c * 120 * c + 170 * s * 170 * s);
    case Orbit::Radius::Contour:
      return 130 + 25 * std::fabs(c) + 9 * std::sin(3 * angle);
  }
  return 0;
}

image::ProjectionGeometry geometry_of(const Orbit& orbit, std::size_t bins, double bin_mm) {
  const double first = -0.5 * static_cast<double>(bins - 1) * bin_mm;
  image::ProjectionGeometry g{.bins = bins,
                              .rows = bins,
                              .bin_mm = Millimetres(bin_mm),
                              .row_mm = Millimetres(bin_mm),
                              .u0 = Millimetres(first),
                              .v0 = Millimetres(first),
                              .views = {}};
  const std::size_t stops = orbit.views / orbit.heads;
  for (std::size_t k = 0; k < orbit.views; ++k) {
    if (std::find(orbit.missing.begin(), orbit.missing.end(), k) != orbit.missing.end()) continue;
    const std::size_t head = k / stops, stop = k % stops;
    const double angle = orbit.start + orbit.between_heads * static_cast<double>(head) +
                         orbit.arc * static_cast<double>(stop) / static_cast<double>(stops);
    g.views.push_back({.angle = Radians(angle),
                       .radius = Millimetres(radius_at(orbit.radius, angle)),
                       .detector = static_cast<std::uint32_t>(head)});
  }
  return g;
}

// Noise-free views of a point, each bin the product of two differences of erf: no code shared with recon/.
void add_point(const image::ProjectionGeometry& g, double x, double y, double z, std::vector<float>& counts) {
  const double half = 0.5 * g.bin_mm.count();
  for (std::size_t k = 0; k < g.views.size(); ++k) {
    const double c = std::cos(g.views[k].angle.count()), s = std::sin(g.views[k].angle.count());
    const double u = x * c + y * s, scale = std::sqrt(2.0) * (1.5 + 0.02 * (g.views[k].radius.count() - x * s + y * c));
    const auto share = [&](std::size_t bin, double first, double at) {
      const double d = first + static_cast<double>(bin) * g.bin_mm.count() - at;
      return 0.5 * (std::erf((d + half) / scale) - std::erf((d - half) / scale));
    };
    for (std::size_t row = 0; row < g.rows; ++row) {
      const double along = share(row, g.v0.count(), z);
      for (std::size_t bin = 0; bin < g.bins; ++bin)
        counts[(k * g.rows + row) * g.bins + bin] += static_cast<float>(1e5 * along * share(bin, g.u0.count(), u));
    }
  }
}

TEST(Geometry, PointsComeBackWhereTheyWereForEveryOrbit) {
  constexpr double kBin = 5.0, kApart = 50.0;
  for (const Orbit& orbit : orbits()) {
    const image::ProjectionGeometry g = geometry_of(orbit, 40, kBin);
    Model model;
    model.response = {.enabled = true, .sigma0 = Millimetres(1.5), .slope = 0.02};
    PlanOptions options;
    options.subsets = 4;
    const Plan plan = make_plan(g, model, options).or_throw();
    std::vector<float> counts(g.elements(), 0.0F);
    const auto place = [](int axis) { return kApart * axis + 1.3 + 0.7 * axis; };  // not on voxel centres
    for (int i = 0; i < 27; ++i) add_point(g, place(i % 3 - 1), place(i / 3 % 3 - 1), place(i / 9 - 1), counts);
    const image::Volume volume = reconstruct(plan, counts, Settings{.iterations = 8}).or_throw().volume;
    const image::VolumeGeometry& grid = volume.geometry;
    double worst = 0;
    for (int i = 0; i < 27; ++i) {
      const double px = place(i % 3 - 1), py = place(i / 3 % 3 - 1), pz = place(i / 9 - 1);
      double sum = 0, mx = 0, my = 0, mz = 0;
      for (std::size_t v = 0; v < volume.values.size(); ++v) {
        const double x = grid.x0.count() + kBin * static_cast<double>(v % grid.columns) - px,
                     y = grid.y0.count() + kBin * static_cast<double>(v / grid.columns % grid.rows) - py,
                     z = grid.z0.count() + kBin * static_cast<double>(v / grid.columns / grid.rows) - pz;
        if (x * x + y * y + z * z > 20 * 20) continue;
        const double value = static_cast<double>(volume.values[v]);
        sum += value;
        mx += value * x;
        my += value * y;
        mz += value * z;
      }
      EXPECT_NEAR(sum / 1e5, 1.0, 0.05) << orbit.name << ", point " << i;
      worst = std::max({worst, std::fabs(mx / sum), std::fabs(my / sum), std::fabs(mz / sum)});
    }
    std::printf("  %-50s worst centroid of 27 points: %.3f voxel\n", orbit.name, worst / kBin);
    EXPECT_LT(worst / kBin, 0.1) << orbit.name;
  }
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

TEST(Geometry, AdjointCountsAndLikelihoodHoldForEveryOrbit) {
  for (const Orbit& orbit : orbits()) {
    for (const bool attenuated : {false, true}) {
      Problem p = make_problem();
      p.geometry = geometry_of(orbit, 28, 6.5);
      p.model.half_life.reset();
      p.options.subsets = 1;
      const Plan plan = make_plan(p.geometry, with_map(p, attenuated), p.options).or_throw();
      Numbers numbers(5);
      std::vector<float> x(plan.volume().voxels()), y(p.geometry.elements());
      for (float& value : x) value = numbers.next();
      for (float& value : y) value = numbers.next();
      const std::vector<float> ax = forward_project(plan, x), aty = back_project(plan, y);
      EXPECT_LE(std::fabs(dot(ax, y) - dot(x, aty)), 1e-6 * std::sqrt(dot(ax, ax) * dot(y, y))) << orbit.name;
      fill_counts(p, plan);
      const Reconstruction result = reconstruct(plan, p.counts, Settings{.iterations = 15}).or_throw();
      for (std::size_t i = 1; i < result.history.size(); ++i) {
        const double before = result.history[i - 1].log_likelihood;
        EXPECT_GE(result.history[i].log_likelihood, before - 1e-9 * std::fabs(before)) << orbit.name << ", " << i + 1;
      }
      EXPECT_NEAR(result.counts_modelled / (result.counts_measured - result.counts_excluded), 1.0, 1e-5) << orbit.name;
    }
  }
}

}  // namespace
}  // namespace tomogrid::recon
