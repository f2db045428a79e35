#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "image/phantom.h"

namespace tomogrid::image {
namespace {

constexpr double kPi = std::numbers::pi;

VolumeGeometry cube(std::size_t n, double voxel) {
  return centred_grid(n, n, n, Millimetres(voxel), Millimetres(voxel), Millimetres(voxel));
}

double sum(const Volume& volume) {
  double total = 0;
  for (const float v : volume.values) total += v;
  return total;
}

Phantom one(Solid solid, double activity = 1, double mu = 0) {
  Phantom p;
  p.regions.push_back({.name = "solid", .solids = {solid}, .activity = activity, .mu = mu});
  return p;
}

TEST(PhantomTruth, SumsToTheVolumeOfEachSolid) {
  const VolumeGeometry grid = cube(32, 5);
  EXPECT_NEAR(
      sum(truth_volume(one({Solid::Shape::Ellipsoid, 3, -7, 11, 31, 22, 17}), grid)) / (4.0 / 3 * kPi * 31 * 22 * 17),
      1, 1e-4);
  EXPECT_NEAR(
      sum(truth_volume(one({Solid::Shape::EllipticCylinder, 3, -7, 11, 31, 22, 17.3}), grid)) / (kPi * 31 * 22 * 34.6),
      1, 1e-4);
  EXPECT_NEAR(sum(truth_volume(one({Solid::Shape::Box, 3, -7, 11, 31, 22, 17.3}), grid)) / (8 * 31 * 22 * 17.3), 1,
              2e-3);
  EXPECT_NEAR(sum(truth_volume(one({Solid::Shape::Ellipsoid, 1, 1, 1, 0.8, 0.8, 0.8}), grid)) / (4.0 / 3 * kPi * 0.512),
              1, 2e-3);
}

// Against 40^3 points a voxel in the voxels that a surface crosses.
TEST(PhantomTruth, EachVoxelIsItsVolumeFraction) {
  const Solid solid{Solid::Shape::Ellipsoid, 1.3, -0.4, 2.1, 9, 12, 7};
  const VolumeGeometry grid = cube(8, 4);
  const Volume volume = truth_volume(one(solid), grid);
  double worst = 0;
  for (std::size_t k = 0; k < 8; ++k) {
    for (std::size_t j = 0; j < 8; ++j) {
      for (std::size_t i = 0; i < 8; ++i) {
        int inside = 0;
        for (int a = 0; a < 40; ++a) {
          for (int b = 0; b < 40; ++b) {
            for (int c = 0; c < 40; ++c) {
              const auto at = [](std::size_t n, int s) { return (static_cast<double>(n) - 4 + (s + 0.5) / 40) * 4; };
              inside += solid.contains(at(i, a), at(j, b), at(k, c));
            }
          }
        }
        const double fraction = inside / 64000.0;
        worst = std::max(worst, std::abs(fraction - volume.values[(k * 8 + j) * 8 + i] / 64.0));
      }
    }
  }
  EXPECT_LT(worst, 2e-3);  // the comparison's own grid
}

TEST(PhantomTruth, SlicesAreCutExactly) {
  // A cylinder that fills 2.25 slices: from z = -1 to 8 on slices of 4 mm.
  const Volume volume = truth_volume(one({Solid::Shape::EllipticCylinder, 0, 0, 3.5, 100, 100, 4.5}), cube(4, 4));
  const auto middle = [&](std::size_t slice) { return volume.values[(slice * 4 + 1) * 4 + 1]; };
  EXPECT_FLOAT_EQ(middle(0), 0);
  EXPECT_FLOAT_EQ(middle(1), 64 * 0.25F);
  EXPECT_FLOAT_EQ(middle(2), 64);
  EXPECT_FLOAT_EQ(middle(3), 64);
}

TEST(PhantomTruth, MuMapIsAveragedOverRegionsByPriority) {
  Phantom p = one({Solid::Shape::Box, 0, 0, 0, 8, 8, 8}, 0, 0.0154);
  p.regions.push_back({.name = "bone", .solids = {{Solid::Shape::Box, 5, 0, 0, 3, 8, 8}}, .mu = 0.03});
  const Volume mu = mu_volume(p, cube(4, 4));
  EXPECT_EQ(mu.unit, "1/mm");
  EXPECT_NEAR(mu.values[(1 * 4 + 1) * 4 + 1], 0.0154, 1e-9);
  EXPECT_NEAR(mu.values[(1 * 4 + 1) * 4 + 2], 0.5 * 0.0154 + 0.5 * 0.03, 2e-4);
  EXPECT_NEAR(mu.values[(1 * 4 + 1) * 4 + 3], 0.03, 1e-9);
}

TEST(PhantomTruth, PointsGoToTheirVoxel) {
  Phantom p;
  p.points.push_back({.name = "point", .x = 3, .y = -5, .z = 7, .activity = 12});
  const Volume volume = truth_volume(p, cube(8, 4));
  EXPECT_EQ(volume.values[(5 * 8 + 2) * 8 + 4], 12);
  EXPECT_EQ(sum(volume), 12);
  EXPECT_EQ(volume.unit, "counts/voxel/view");
}

TEST(PhantomTruth, MarkersStandAtPositiveXNegativeYPositiveZ) {
  const Phantom p = preset("markers").or_throw();
  const Volume volume = truth_volume(p, cube(64, 5));
  const auto at = [&](double x, double y, double z) {
    const auto index = [](double v) { return static_cast<std::size_t>(std::floor(v / 5 + 32)); };
    return volume.values[(index(z) * 64 + index(y)) * 64 + index(x)] / 125;
  };
  EXPECT_NEAR(at(80, 0, 0), 20, 1e-5);
  EXPECT_NEAR(at(0, -60, 0), 10, 1e-5);
  EXPECT_NEAR(at(0, 0, 85), 5, 1e-5);
  EXPECT_NEAR(at(-80, 0, 0), 0.2, 1e-6);
  EXPECT_NEAR(at(0, 60, 0), 0.2, 1e-6);
}

TEST(PhantomTruth, NemaSpheresAndBodyHaveTheirVolumes) {
  const Phantom p = preset("nema", 8).or_throw();
  const double body = (0.5 * kPi * 147 * 147 + 0.5 * kPi * 77 * 77 + 140 * 77) * 180;
  const double insert = kPi * 25.5 * 25.5 * 180;
  double spheres = 0;
  for (const double d : {37, 28, 22, 17, 13, 10}) spheres += kPi / 6 * d * d * d;
  const VolumeGeometry grid = centred_grid(128, 128, 128, Millimetres(3.2), Millimetres(3.2), Millimetres(3.2));
  EXPECT_NEAR(sum(truth_volume(p, grid)) / (body - insert + 7 * spheres), 1, 2e-4);
}

}  // namespace
}  // namespace tomogrid::image
