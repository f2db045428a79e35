#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "problem.h"

namespace tomogrid::recon {
namespace {

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}
double norm(const std::vector<float>& a) {
  return std::sqrt(dot(a, a));
}

std::vector<float> random_values(std::size_t count, std::uint64_t seed) {
  Numbers numbers(seed);
  std::vector<float> values(count);
  for (float& value : values) value = numbers.next();
  return values;
}

TEST(Projector, BackProjectionIsTheTransposeForEveryOption) {
  for (const bool attenuated : {false, true}) {
    for (const bool response : {false, true}) {
      for (const std::size_t rows : {std::size_t{5}, std::size_t{21}, std::size_t{64}}) {
        for (const std::size_t size : {std::size_t{0}, std::size_t{24}}) {
          ProblemShape shape;
          shape.rows = rows;
          shape.response = response;
          Problem p = make_problem(shape);
          p.options.size = size;
          p.options.voxel = Millimetres(size == 0 ? 0.0 : 7.7);
          p.options.attenuation_memory = rows == 21 ? Bytes(0) : mebibytes(64);  // also factors made each time
          const auto plan = make_plan(p.geometry, with_map(p, attenuated), p.options);
          ASSERT_TRUE(plan.has_value()) << plan.error().message;
          std::vector<float> x = random_values(plan->volume().voxels(), 11);
          const std::vector<float> y = random_values(p.geometry.elements(), 12);
          const std::vector<float> ax = forward_project(*plan, x), aty = back_project(*plan, y);
          EXPECT_LE(std::fabs(dot(ax, y) - dot(x, aty)), 1e-6 * norm(ax) * norm(y));
          EXPECT_GT(norm(ax), 0.0);
        }
      }
    }
  }
}

struct VoxelErrors {
  double rms = 0, worst = 0;  // relative L2 of one voxel in one view
};

// 27 voxels `spread` apart in the plane, seen by 8 views of a 250 mm orbit, beside the erf products at their distances.
VoxelErrors voxel_errors(std::size_t bins, double bin_mm, std::size_t spread) {
  const std::size_t rows = 64;
  Problem p = make_problem({.bins = bins,
                            .rows = rows,
                            .views = 8,
                            .bin_mm = bin_mm,
                            .row_mm = bin_mm,
                            .radius_mm = 250,
                            .start = 0.2,
                            .ellipse = false});
  p.model.response = {.enabled = true, .sigma0 = Millimetres(1.466), .slope = 0.0163};
  p.model.half_life.reset();
  const Plan plan = make_plan(p.geometry, with_map(p, false), p.options).or_throw();
  const image::VolumeGeometry& grid = plan.volume();
  VoxelErrors errors;
  double sum = 0, count = 0;
  for (std::size_t place = 0; place < 27; ++place) {
    const std::size_t ix = bins / 2 - spread + spread * (place % 3), iy = bins / 2 - spread + spread * (place / 3 % 3),
                      iz = 28 + 4 * (place / 9);
    std::vector<float> x(grid.voxels(), 0.0F);
    x[(iz * grid.rows + iy) * grid.columns + ix] = 1.0F;
    const std::vector<float> seen = forward_project(plan, x);
    const double px = grid.x0.count() + static_cast<double>(ix) * bin_mm,
                 py = grid.y0.count() + static_cast<double>(iy) * bin_mm;
    for (std::size_t k = 0; k < 8; ++k) {
      const double angle = p.geometry.views[k].angle.count();
      const double u = px * std::cos(angle) + py * std::sin(angle),
                   d = 250 - px * std::sin(angle) + py * std::cos(angle);
      const double scale = std::sqrt(2.0) * (1.466 + 0.0163 * d), half = 0.5 * bin_mm;
      const auto share = [&](double from_centre) {
        return 0.5 * (std::erf((from_centre + half) / scale) - std::erf((from_centre - half) / scale));
      };
      double error = 0, size = 0;
      for (std::size_t row = 0; row < rows; ++row) {
        const double along = share((static_cast<double>(row) - static_cast<double>(iz)) * bin_mm);
        for (std::size_t bin = 0; bin < bins; ++bin) {
          const double truth = along * share(p.geometry.u0.count() + static_cast<double>(bin) * bin_mm - u),
                       difference = static_cast<double>(seen[(k * rows + row) * bins + bin]) - truth;
          error += difference * difference;
          size += truth * truth;
        }
      }
      errors.worst = std::max(errors.worst, std::sqrt(error / size));
      sum += error / size;
      count += 1;
    }
  }
  errors.rms = std::sqrt(sum / count);
  return errors;
}

TEST(Projector, SingleVoxelsAreErfProducts) {
  const VoxelErrors inner = voxel_errors(48, 4.42, 9), outer = voxel_errors(96, 4.42, 30),
                    fine = voxel_errors(96, 2.21, 18);
  std::printf(
      "  single voxels, 27 places x 8 views: %.3f %% rms, %.3f %% worst; farther out %.3f, %.3f; 2.21 mm %.3f, %.3f\n",
      100 * inner.rms, 100 * inner.worst, 100 * outer.rms, 100 * outer.worst, 100 * fine.rms, 100 * fine.worst);
  EXPECT_LT(inner.worst, 0.0020);
  EXPECT_LT(outer.worst, 0.0020);
  EXPECT_LT(fine.rms, 0.6 * inner.rms) << "the error must fall when the grid is refined";
  EXPECT_LT(fine.worst, 0.6 * inner.worst);
}

// One point source per quadrant, by hand from image/geometry.h: a mirrored axis cannot pass.
TEST(Projector, PointsFallWhereTheConventionSays) {
  Problem p = make_problem(
      {.bins = 32, .rows = 16, .views = 4, .bin_mm = 5, .row_mm = 5, .radius_mm = 100, .start = 0, .ellipse = false});
  p.model.half_life.reset();
  const auto plan = make_plan(p.geometry, with_map(p, false), p.options);
  ASSERT_TRUE(plan.has_value());
  struct Point {
    double x, y;
    double u[4];  // at 0, 90, 180, 270 degrees
  };
  for (const Point& point :
       {Point{32.5, 12.5, {32.5, 12.5, -32.5, -12.5}}, Point{-32.5, 12.5, {-32.5, 12.5, 32.5, -12.5}},
        Point{-22.5, -42.5, {-22.5, -42.5, 22.5, 42.5}}, Point{22.5, -42.5, {22.5, -42.5, -22.5, 42.5}}}) {
    const image::VolumeGeometry& grid = plan->volume();
    std::vector<float> x(grid.voxels(), 0.0F);
    const auto ix = static_cast<std::size_t>(std::lround((point.x - grid.x0.count()) / 5)),
               iy = static_cast<std::size_t>(std::lround((point.y - grid.y0.count()) / 5));
    x[(3 * grid.rows + iy) * grid.columns + ix] = 1.0F;
    const std::vector<float> seen = forward_project(*plan, x);
    double widths[4];
    for (std::size_t k = 0; k < 4; ++k) {
      double sum = 0, mean_u = 0, mean_row = 0, square = 0;
      for (std::size_t i = 0; i < 16 * 32; ++i) {
        const double value = static_cast<double>(seen[k * 16 * 32 + i]),
                     u = p.geometry.u0.count() + 5.0 * static_cast<double>(i % 32);
        sum += value;
        mean_u += value * u;
        square += value * u * u;
        mean_row += value * static_cast<double>(i / 32);
      }
      EXPECT_NEAR(sum, 1.0, 0.02);
      EXPECT_NEAR(mean_u / sum, point.u[k], 0.05);
      EXPECT_NEAR(mean_row / sum, 3.0, 0.15);
      widths[k] = square / sum - mean_u / sum * (mean_u / sum);
    }
    // The detector at 0 is at -y, at 90 degrees at +x: the nearer one sees the sharper point.
    EXPECT_EQ(point.y < 0, widths[0] < widths[2]);
    EXPECT_EQ(point.x > 0, widths[1] < widths[3]);
  }
}

TEST(Projector, AttenuationIsTheLineIntegralFromTheVoxel) {
  Problem p =
      make_problem({.bins = 64, .rows = 16, .views = 7, .bin_mm = 4, .row_mm = 4, .radius_mm = 200, .ellipse = false});
  p.model.half_life.reset();
  const double mu = 0.015, body = 90;
  p.attenuation.geometry = image::centred_grid(256, 256, 16, Millimetres(1), Millimetres(1), Millimetres(4));
  p.attenuation.values.assign(256 * 256 * 16, 0.0F);
  for (std::size_t i = 0; i < p.attenuation.values.size(); ++i) {
    const double x = static_cast<double>(i % 256) - 127.5, y = static_cast<double>(i / 256 % 256) - 127.5;
    if (x * x + y * y < body * body) p.attenuation.values[i] = static_cast<float>(mu);
  }
  const auto with = make_plan(p.geometry, with_map(p, true), p.options),
             without = make_plan(p.geometry, with_map(p, false), p.options);
  ASSERT_TRUE(with.has_value() && without.has_value());
  const image::VolumeGeometry& grid = with->volume();
  for (const auto& [ix, iy] : {std::pair<std::size_t, std::size_t>{32, 32}, {20, 30}, {40, 45}, {31, 14}}) {
    std::vector<float> x(grid.voxels(), 0.0F);
    x[(8 * grid.rows + iy) * grid.columns + ix] = 1.0F;
    const std::vector<float> seen = forward_project(*with, x), free = forward_project(*without, x);
    const double px = grid.x0.count() + static_cast<double>(ix) * 4, py = grid.y0.count() + static_cast<double>(iy) * 4;
    for (std::size_t k = 0; k < 7; ++k) {
      const double a = p.geometry.views[k].angle.count(), u = px * std::cos(a) + py * std::sin(a),
                   t = -px * std::sin(a) + py * std::cos(a);
      const double path = t + std::sqrt(body * body - u * u);
      double sum = 0, whole = 0;
      for (std::size_t i = 0; i < 16 * 64; ++i) {
        sum += static_cast<double>(seen[k * 16 * 64 + i]);
        whole += static_cast<double>(free[k * 16 * 64 + i]);
      }
      EXPECT_NEAR(sum / whole / std::exp(-mu * path), 1.0, 0.012) << "voxel " << ix << "," << iy << " view " << k;
    }
  }
}

TEST(Projector, DecayAndDurationScaleEachViewOnce) {
  Problem p = make_problem({.views = 6});
  p.model.half_life = Seconds(100);
  p.geometry.views[2].duration = Seconds(36);
  const auto plan = make_plan(p.geometry, with_map(p, false), p.options);
  Problem still = p;
  still.model.half_life.reset();
  const auto reference = make_plan(still.geometry, with_map(still, false), still.options);
  ASSERT_TRUE(plan.has_value() && reference.has_value());
  const std::vector<float> x(plan->volume().voxels(), 1.0F);
  const std::vector<float> decayed = forward_project(*plan, x), steady = forward_project(*reference, x);
  const std::size_t view = p.geometry.bins * p.geometry.rows, middle = view / 2;
  for (std::size_t k = 0; k < 6; ++k) {
    const double rate = std::log(2.0) / 100, start = 20.0 * static_cast<double>(k), length = k == 2 ? 36 : 18;
    const double expected = std::exp(-rate * start) * (1 - std::exp(-rate * length)) / (rate * length);
    EXPECT_NEAR(static_cast<double>(decayed[k * view + middle]) / static_cast<double>(steady[k * view + middle]),
                expected, 1e-5);
  }
}

}  // namespace
}  // namespace tomogrid::recon
