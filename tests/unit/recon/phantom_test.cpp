// Beside the phantom's analytic projector, which shares only the geometry's type with recon/.
#include "image/phantom.h"

#include <gtest/gtest.h>

#include <cmath>

#include "recon/recon.h"

namespace tomogrid::recon {
namespace {

struct Scene {
  image::Phantom phantom;
  image::ProjectionGeometry geometry;
  image::Volume truth, map;
  std::vector<double> projections;  // noise-free
};

Scene make_scene(const std::string& preset, std::size_t bins, std::size_t rows, double bin_mm, std::size_t views,
                 bool attenuated = true, double radius_mm = 250) {
  Scene scene;
  scene.phantom = image::preset(preset).or_throw();
  scene.geometry = image::circular_scan(bins, rows, Millimetres(bin_mm), Millimetres(bin_mm),
                                        {.views = views, .radius = Millimetres(radius_mm)});
  const image::VolumeGeometry grid = image::grid_of(scene.geometry);
  scene.truth = image::truth_volume(scene.phantom, grid);
  scene.map = image::mu_volume(scene.phantom, grid);
  const image::PhantomPhysics physics{.response = {}, .attenuation = attenuated, .half_life = {}};
  image::check(scene.phantom, scene.geometry, physics).or_throw();
  scene.projections = image::project(scene.phantom, scene.geometry, physics, image::Sampling{1});
  return scene;
}

Plan plan_of(const Scene& scene, bool attenuated, std::size_t subsets = 1) {
  Model model;
  model.response = {.enabled = true, .sigma0 = Millimetres(1.466), .slope = 0.0163};
  model.attenuation = attenuated ? &scene.map : nullptr;
  PlanOptions options;
  options.subsets = subsets;
  options.support_within_attenuation = attenuated;
  return make_plan(scene.geometry, model, options).or_throw();
}

std::vector<float> counts_of(const Scene& scene, double scale) {
  std::vector<float> counts(scene.projections.size());
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = static_cast<float>(scale * scene.projections[i]);
  return counts;
}

// Relative RMS of the worst view, over rows `edge` and more from both ends: inside the body's flat ends, where a voxel
// holds the mean of two media and neither its activity nor its absorption can be that of a formula.
double worst_view(const Scene& scene, const std::vector<float>& ours, std::size_t edge) {
  const std::size_t bins = scene.geometry.bins, rows = scene.geometry.rows;
  double worst = 0;
  for (std::size_t k = 0; k < scene.geometry.views.size(); ++k) {
    double error = 0, size = 0;
    for (std::size_t row = edge; row + edge < rows; ++row) {
      for (std::size_t b = 0; b < bins; ++b) {
        const double truth = scene.projections[(k * rows + row) * bins + b],
                     difference = static_cast<double>(ours[(k * rows + row) * bins + b]) - truth;
        error += difference * difference;
        size += truth * truth;
      }
    }
    worst = std::max(worst, std::sqrt(error / size));
  }
  return worst;
}

TEST(Phantom, ProjectionsOfTheVoxelisedTruthAgreeInTheWorstView) {
  double last = 1;
  for (const std::size_t n : {std::size_t{48}, std::size_t{96}}) {
    const Scene scene = make_scene("nema", n, n * 2 / 3, 424.32 / static_cast<double>(n), 5);
    const double worst = worst_view(scene, forward_project(plan_of(scene, true), scene.truth.values), n * 3 / 16);
    std::printf("  nema, %.2f mm: worst of 5 views %.2f %%\n", 424.32 / static_cast<double>(n), 100 * worst);
    RecordProperty("nema" + std::to_string(n) + "_ppm", static_cast<int>(worst * 1e6));
    EXPECT_LT(worst, last) << "the error must fall when the grid is refined";
    last = worst;
  }
  EXPECT_LT(last, 0.006);
}

// A thorax with lungs, spine and heart, on grids over 480 mm: halving the voxel must nearly quarter the error, as voxels
// that hold averages are blurred by their own width (docs/reconstruction.md, section 4).
TEST(Phantom, ErrorOfTheAveragedThoraxFallsWithTheSquareOfTheVoxel) {
  double errors[2] = {0, 0};
  for (const std::size_t level : {std::size_t{0}, std::size_t{1}}) {
    const std::size_t n = level == 0 ? 64 : 128;
    const Scene scene = make_scene("torso", n, n, 480.0 / static_cast<double>(n), 5, true, 230);
    errors[level] = worst_view(scene, forward_project(plan_of(scene, true), scene.truth.values), n * 3 / 16);
    std::printf("  torso, %.2f mm: worst of 5 views %.2f %%\n", 480.0 / static_cast<double>(n), 100 * errors[level]);
  }
  EXPECT_LT(errors[1], 0.006);
  EXPECT_LT(errors[1], 0.4 * errors[0]);
}

struct Rings {
  std::vector<double> means;  // of 10 mm rings, relative to the truth
  double total = 0;           // of the disc inside 80 mm, relative
};
Rings rings_of(const image::Volume& volume, double truth) {
  const image::VolumeGeometry& g = volume.geometry;
  std::vector<double> sums(8, 0.0), counts(8, 0.0);
  for (std::size_t i = 0; i < volume.values.size(); ++i) {
    const std::size_t slice = i / (g.columns * g.rows);
    if (slice < g.slices * 3 / 8 || slice >= g.slices * 5 / 8) continue;
    const double x = g.x0.count() + static_cast<double>(i % g.columns) * g.column_mm.count(),
                 y = g.y0.count() + static_cast<double>(i / g.columns % g.rows) * g.row_mm.count();
    const auto ring = static_cast<std::size_t>(std::sqrt(x * x + y * y) / 10.0);
    if (ring >= 8) continue;
    sums[ring] += static_cast<double>(volume.values[i]);
    counts[ring] += 1;
  }
  Rings rings;
  double sum = 0, count = 0;
  for (std::size_t r = 0; r < 8; ++r) {
    rings.means.push_back(sums[r] / counts[r] / truth);
    sum += sums[r];
    count += counts[r];
  }
  rings.total = sum / count / truth;
  return rings;
}

TEST(Phantom, AUniformCylinderIsUniformWithItsMapAndCupsWithout) {
  const Scene scene = make_scene("cylinder", 64, 48, 4.8, 48);
  const double activity = static_cast<double>(scene.truth.values[(24 * 64 + 32) * 64 + 32]);
  const std::vector<float> counts = counts_of(scene, 1000.0);
  const auto with = reconstruct(plan_of(scene, true, 4), counts, Settings{.iterations = 10});
  const auto without = reconstruct(plan_of(scene, false, 4), counts, Settings{.iterations = 10});
  ASSERT_TRUE(with.has_value() && without.has_value());
  const Rings corrected = rings_of(with->volume, 1000.0 * activity),
              cupped = rings_of(without->volume, 1000.0 * activity);
  std::printf("  ring means with the map:");
  for (const double mean : corrected.means) std::printf(" %.3f", mean);
  std::printf("; total %.4f\n  without:", corrected.total);
  for (const double mean : cupped.means) std::printf(" %.3f", mean);
  std::printf("\n");
  for (const double mean : corrected.means) EXPECT_NEAR(mean, 1.0, 0.03);
  EXPECT_NEAR(corrected.total, 1.0, 0.01);
  EXPECT_LT(cupped.means[0], 0.8 * cupped.means[7]);
}

TEST(Phantom, MarkersAreAtTheLeftTheFrontAndTheHead) {
  const Scene scene = make_scene("markers", 48, 48, 6.4, 40);
  const auto result = reconstruct(plan_of(scene, true, 4), counts_of(scene, 1000.0), Settings{.iterations = 8});
  ASSERT_TRUE(result.has_value());
  const image::VolumeGeometry& g = result->volume.geometry;
  const auto near = [&](double x, double y, double z) {
    const auto at = [](double mm, Millimetres first, Millimetres step) {
      return static_cast<std::size_t>(std::lround((mm - first.count()) / step.count()));
    };
    return static_cast<double>(
        result->volume
            .values[(at(z, g.z0, g.slice_mm) * g.rows + at(y, g.y0, g.row_mm)) * g.columns + at(x, g.x0, g.column_mm)]);
  };
  EXPECT_GT(near(80, 0, 0), 5 * near(-80, 0, 0));  // +x: the patient's left
  EXPECT_GT(near(0, -60, 0), 5 * near(0, 60, 0));  // -y: the front
  EXPECT_GT(near(0, 0, 85), 5 * near(0, 0, -85));  // +z: the head
}

TEST(Phantom, PointsAreWhereTheyShouldBe) {
  const Scene scene = make_scene("points", 80, 40, 4.0, 40, false);
  const auto result = reconstruct(plan_of(scene, false, 4), counts_of(scene, 1e6), Settings{.iterations = 12});
  ASSERT_TRUE(result.has_value());
  const image::VolumeGeometry& g = result->volume.geometry;
  double worst = 0;
  for (const image::PointSource& point : scene.phantom.points) {
    double sum = 0, mx = 0, my = 0, mz = 0;
    for (std::size_t i = 0; i < result->volume.values.size(); ++i) {
      const double x = g.x0.count() + static_cast<double>(i % g.columns) * 4 - point.x,
                   y = g.y0.count() + static_cast<double>(i / g.columns % g.rows) * 4 - point.y;
      const double z = g.z0.count() + static_cast<double>(i / g.columns / g.rows) * 4 - point.z;
      if (x * x + y * y + z * z > 15 * 15) continue;
      const double value = static_cast<double>(result->volume.values[i]);
      sum += value;
      mx += value * x;
      my += value * y;
      mz += value * z;
    }
    ASSERT_GT(sum, 0.0) << point.name;
    worst = std::max({worst, std::fabs(mx / sum), std::fabs(my / sum), std::fabs(mz / sum)});
  }
  std::printf("  worst centroid of %zu points: %.3f voxel\n", scene.phantom.points.size(), worst / 4);
  EXPECT_LT(worst / 4, 0.1);
}

}  // namespace
}  // namespace tomogrid::recon
