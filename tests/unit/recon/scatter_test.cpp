// Scatter from energy windows: the published arithmetic, and that it enters the model as a background only.
#include "recon/scatter.h"

#include <gtest/gtest.h>

#include <numeric>

#include "problem.h"

namespace tomogrid::recon {
namespace {

double total(const std::vector<float>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

image::ProjectionGeometry detector() {
  return make_problem().geometry;
}

TEST(Scatter, DualWindowIsHalfTheLowerWindowAtThePublishedWidths) {
  const std::vector<float> lower(detector().elements(), 40.0F);
  ScatterModel model{ScatterMethod::DualWindow, 28, 33, 0, 0.5, Millimetres(0)};
  EXPECT_FLOAT_EQ(scatter_background(model, detector(), lower, {}).front(), 20.0F);
  model.lower_kev = 66;  // twice as wide: half the counts per keV
  EXPECT_FLOAT_EQ(scatter_background(model, detector(), lower, {}).front(), 10.0F);
  model.photopeak_kev = 56;
  EXPECT_FLOAT_EQ(scatter_background(model, detector(), lower, {}).front(), 20.0F);
}

TEST(Scatter, TripleWindowIsTheTrapezoidBetweenItsWindows) {
  const std::vector<float> lower(detector().elements(), 12.0F), upper(detector().elements(), 3.0F);
  const ScatterModel model{ScatterMethod::TripleWindow, 28, 4, 3, 0.5, Millimetres(0)};
  EXPECT_FLOAT_EQ(scatter_background(model, detector(), lower, upper).front(), (12.0F / 4 + 3.0F / 3) * 28 / 2);
  const ScatterModel without{ScatterMethod::TripleWindow, 28, 4, 0, 0.5, Millimetres(0)};
  EXPECT_FLOAT_EQ(scatter_background(without, detector(), lower, {}).front(), 12.0F / 4 * 28 / 2);
}

TEST(Scatter, TheFilterKeepsCountsAndTakesNoise) {
  const image::ProjectionGeometry geometry = detector();
  Numbers numbers(5);
  std::vector<float> lower(geometry.elements());
  for (float& value : lower) value = std::floor(20.0F * numbers.next());
  ScatterModel model{ScatterMethod::DualWindow, 28, 33, 0, 0.5, Millimetres(0)};
  const std::vector<float> raw = scatter_background(model, geometry, lower, {});
  model.filter_fwhm = Millimetres(20);
  const std::vector<float> smooth = scatter_background(model, geometry, lower, {});
  EXPECT_NEAR(total(smooth), total(raw), 1e-4 * total(raw));
  const auto roughness = [](const std::vector<float>& values) {
    double sum = 0;
    for (std::size_t i = 1; i < values.size(); ++i) sum += std::fabs(static_cast<double>(values[i] - values[i - 1]));
    return sum;
  };
  EXPECT_LT(roughness(smooth), 0.25 * roughness(raw));
}

// Data of a warm ellipse with a cold ball, and scatter on top that two windows see: with r the ball is cold again, and
// expected counts are those measured; the data themselves are as they were.
TEST(Scatter, AsABackgroundItRestoresColdContrast) {
  Problem p = make_problem();
  p.model.half_life.reset();
  const Plan plan = *make_plan(p.geometry, with_map(p), p.options);
  const image::VolumeGeometry& grid = plan.volume();
  std::vector<float> activity(grid.voxels(), 0.0F);
  std::vector<std::size_t> cold, warm;
  for (std::size_t i = 0; i < grid.voxels(); ++i) {
    const double x = grid.x0.count() + static_cast<double>(i % grid.columns) * grid.column_mm.count();
    const double y = grid.y0.count() + static_cast<double>(i / grid.columns % grid.rows) * grid.row_mm.count();
    const double z = grid.z0.count() + static_cast<double>(i / grid.columns / grid.rows) * grid.slice_mm.count();
    if (x * x / 3600 + y * y / 2025 >= 1 || std::fabs(z) > 45) continue;
    const double from_ball = (x - 25) * (x - 25) + y * y + z * z;
    if (from_ball < 18 * 18) {
      if (from_ball < 8 * 8) cold.push_back(i);
      continue;
    }
    activity[i] = 6.0F;
    if (x < -10 && x > -40 && std::fabs(y) < 20 && std::fabs(z) < 20) warm.push_back(i);
  }
  ASSERT_GT(cold.size(), 3U);
  ASSERT_GT(warm.size(), 20U);
  std::vector<float> counts = forward_project(plan, activity), lower(counts.size());
  ScatterModel spread{ScatterMethod::DualWindow, 28, 33, 0, 0.6, Millimetres(50)};  // scatter: a wide blur of primaries
  const std::vector<float> scatter = scatter_background(spread, p.geometry, counts, {});
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] += scatter[i];
    lower[i] = 2.0F * scatter[i];  // what k = 0.5 undoes
  }
  const ScatterModel model{ScatterMethod::DualWindow, 28, 33, 0, 0.5, Millimetres(0)};
  const std::vector<float> background = scatter_background(model, p.geometry, lower, {});
  const auto contrast = [&](std::span<const float> r) {
    const Reconstruction result = *reconstruct(plan, counts, {.iterations = 40, .background = r});
    EXPECT_NEAR(result.counts_modelled, result.counts_measured, 1e-2 * result.counts_measured);
    const auto mean = [&](const std::vector<std::size_t>& region) {
      double sum = 0;
      for (const std::size_t i : region) sum += static_cast<double>(result.volume.values[i]);
      return sum / static_cast<double>(region.size());
    };
    return 1 - mean(cold) / mean(warm);
  };
  const double without = contrast({}), with = contrast(background);
  std::printf("  cold contrast: %.3f without, %.3f with the scatter window\n", without, with);
  EXPECT_GT(with, without + 0.1);
  EXPECT_GT(with, 0.85);
}

}  // namespace
}  // namespace tomogrid::recon
