// What a physicist measures on a camera, on phantoms whose projections share no code with recon/: contrast recovery against
// background variability (NEMA NU 2-2018 section 7, Q_H and N), cold contrast by size, width of points on a warm background.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numbers>

#include "figures_of_merit.h"
#include "image/phantom.h"
#include "recon/recon.h"

namespace tomogrid::recon {
namespace {

struct Study {
  image::Phantom phantom;
  image::ProjectionGeometry geometry;
  image::Volume map;
  std::vector<double> expected;  // counts, noise-free
};

Study make_study(const image::Phantom& phantom, const image::ProjectionGeometry& geometry, double total) {
  Study study;
  study.phantom = phantom;
  study.geometry = geometry;
  study.map = image::mu_volume(phantom, image::grid_of(study.geometry));
  const image::PhantomPhysics physics{};
  image::check(phantom, study.geometry, physics).or_throw();
  study.expected = image::project(phantom, study.geometry, physics, image::Sampling{0});
  double sum = 0;
  for (const double value : study.expected) sum += value;
  for (double& value : study.expected) value *= total / sum;
  return study;
}

image::ProjectionGeometry scan(std::size_t bins, std::size_t rows, double mm, double radius) {
  return image::circular_scan(bins, rows, Millimetres(mm), Millimetres(mm),
                              {.views = 48, .radius = Millimetres(radius)});
}

std::vector<float> noise_free(const Study& study) {
  return {study.expected.begin(), study.expected.end()};
}

Plan plan_of(const Study& study, bool response = true) {
  Model model;
  model.response = {.enabled = response, .sigma0 = Millimetres(1.466), .slope = 0.0163};
  model.attenuation = &study.map;
  return make_plan(study.geometry, model, {.support_within_attenuation = true, .subsets = 6}).or_throw();
}

// Volumes after the iterations named.
std::map<std::size_t, image::Volume> run(const Plan& plan, const std::vector<float>& counts,
                                         const std::vector<std::size_t>& wanted) {
  std::map<std::size_t, image::Volume> volumes;
  Settings settings{.iterations = wanted.back()};
  settings.after_iteration = [&](const IterationReport& report, const auto& estimate, const auto&) {
    for (const std::size_t iteration : wanted) {
      if (report.iteration == iteration) volumes.emplace(iteration, estimate());
    }
    return true;
  };
  reconstruct(plan, counts, settings).or_throw();
  return volumes;
}

// Twelve discs of 37 mm in the body's background, at least 8 mm from its edge, the spheres and the lung insert, and not
// over each other: found by going around, and held against the phantom here. (15 mm from everything leaves no twelve.)
std::vector<Place> background_places(const image::Phantom& phantom) {
  const auto only_background = [&](double cx, double cy) {
    for (int k = 0; k < 72; ++k) {
      for (const double r : {0.0, 10.0, 18.5, 26.5}) {
        const double angle = 2 * std::numbers::pi * k / 72, x = cx + r * std::cos(angle), y = cy + r * std::sin(angle);
        const image::Region* there = nullptr;
        for (const image::Region& region : phantom.regions) {
          bool inside = true;
          for (const image::Solid& solid : region.solids) inside = inside && solid.contains(x, y, 0);
          if (inside) there = &region;
        }
        if (there == nullptr || there->name.rfind("body", 0) != 0) return false;
      }
    }
    return true;
  };
  std::vector<Place> places;
  for (double radius = 120; radius > 60; radius -= 2) {
    for (int k = 0; k < 180 && places.size() < 12; ++k) {
      const double x = radius * std::cos(k * std::numbers::pi / 90), y = radius * std::sin(k * std::numbers::pi / 90);
      bool apart = true;
      for (const Place& other : places) apart = apart && std::hypot(other.x - x, other.y - y) >= 37;
      if (apart && only_background(x, y)) places.push_back({x, y});
    }
  }
  return places;
}

TEST(Validation, NemaSpheresRecoverContrastBySizeAgainstBackgroundVariability) {
  constexpr double kVoxel = 6.4;
  constexpr std::array<int, 6> kDiameters{37, 28, 22, 17, 13, 10};
  constexpr std::array<double, 5> kSlices{-2 * kVoxel, -kVoxel, 0, kVoxel, 2 * kVoxel};
  for (const double ratio : {8.0, 4.0}) {
    const Study study = make_study(image::preset("nema", ratio).or_throw(), scan(65, 45, kVoxel, 220), 8e6);
    const std::vector<Place> places = background_places(study.phantom);
    ASSERT_EQ(places.size(), 12U);
    const auto volumes = run(plan_of(study), image::poisson_counts(study.expected, 5), {2, 5, 10, 20});
    Curve curve("nema_" + std::to_string(static_cast<int>(ratio)));
    std::printf("  %.0f:1, 8 million counts; contrast recovery %% (background variability %%) by diameter, and lung\n",
                ratio);
    double last_noise = 0;
    for (const auto& [iterations, volume] : volumes) {
      std::printf("  %2zu x 6:", iterations);
      std::vector<double> recovery;
      double noise = 0;
      for (std::size_t j = 0; j < kDiameters.size(); ++j) {
        const double angle = std::numbers::pi / 3 * static_cast<double>(j), radius = 0.5 * kDiameters[j];
        const Background background = background_of(volume, places, kSlices, radius);
        noise = 100 * background.variability;
        const double hot = disc_mean(volume, {57.2 * std::cos(angle), 57.2 * std::sin(angle)}, 0, radius);
        recovery.push_back((hot / background.mean - 1) / (ratio - 1));
        curve.point("OSEM 6", kDiameters[j], iterations, recovery.back(), background.variability);
        std::printf(" %d mm %.0f (%.1f)", kDiameters[j], 100 * recovery.back(), noise);
      }
      double around = 0;
      for (const Place& place : places) around += disc_mean(volume, place, 0, 18.5) / 12;
      const double lung = disc_mean(volume, {0, 0}, 0, 15) / around;
      std::printf("  lung %.0f\n", 100 * lung);
      // Among the three largest the order is not asked: modelled resolution overshoots at edges, most where they meet.
      for (std::size_t j = 3; j < recovery.size(); ++j)
        EXPECT_LT(recovery[j], recovery[j - 1] + 0.05) << "a smaller sphere recovers less";
      EXPECT_GT(noise, last_noise) << "of the smallest regions: it rises as iterations go on";
      last_noise = noise;
      if (iterations == 20) {
        for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(recovery[j], 0.9, 0.15) << j;
        EXPECT_LT(lung, 0.2);
      }
    }
  }
}

TEST(Validation, ColdSpheresOfAJaszczakShowBySize) {
  image::Phantom phantom = image::preset("jaszczak").or_throw();
  std::erase_if(phantom.regions, [](const image::Region& region) { return region.name.rfind("rod", 0) == 0; });
  const Study study = make_study(phantom, scan(65, 45, 4.4, 150), 2e7);
  const auto volumes = run(plan_of(study), noise_free(study), {20});
  const image::Volume& volume = volumes.at(20);
  // The spheres' plane is z = 45; slices lie at multiples of 4.4 mm: the nearest is 44.
  const double background = disc_mean(volume, {0, 0}, 44, 22);
  double last = 1.05;
  std::printf("  cold contrast, 20 x 6, noise-free:");
  for (const image::Region& region : study.phantom.regions) {
    if (region.name.rfind("cold sphere", 0) != 0) continue;
    const image::Solid& sphere = region.solids.front();
    const double contrast = 1 - disc_mean(volume, {sphere.x, sphere.y}, 44, sphere.a) / background;
    std::printf(" %.1f mm %.2f", 2 * sphere.a, contrast);
    EXPECT_LT(contrast, last + 0.02) << region.name;
    EXPECT_GT(contrast, sphere.a > 12 ? 0.7 : 0.1) << region.name;
    last = contrast;
  }
  std::printf("\n");
}

// Cold rods of one diameter, in five slices: one less the ratio of the mean at the rods' axes to that
// in the middles between three rods, where the background is purest.
double rod_contrast(const image::Volume& volume, const std::vector<Place>& rods, double diameter, double middle) {
  double in_rods = 0, between = 0;
  std::size_t gaps = 0;
  const double pitch = 2 * diameter, radius = 0.25 * diameter;
  const auto mean_along = [&](Place place) {
    double sum = 0;
    for (int slice = -2; slice <= 2; ++slice)
      sum += disc_mean(volume, place, middle + slice * volume.geometry.slice_mm.count(), radius) / 5;
    return sum;
  };
  for (const Place& rod : rods) in_rods += mean_along(rod) / static_cast<double>(rods.size());
  for (std::size_t i = 0; i < rods.size(); ++i) {
    for (std::size_t j = i + 1; j < rods.size(); ++j) {
      for (std::size_t k = j + 1; k < rods.size(); ++k) {
        const auto neighbours = [&](const Place& a, const Place& b) {
          return std::hypot(a.x - b.x, a.y - b.y) < 1.1 * pitch;
        };
        if (!neighbours(rods[i], rods[j]) || !neighbours(rods[j], rods[k]) || !neighbours(rods[i], rods[k])) continue;
        between +=
            mean_along({(rods[i].x + rods[j].x + rods[k].x) / 3, (rods[i].y + rods[j].y + rods[k].y) / 3});
        ++gaps;
      }
    }
  }
  return 1 - in_rods / (between / static_cast<double>(gaps));
}

TEST(Validation, ColdRodsOfAJaszczakShowDownToTheResolution) {
  constexpr double kRow = 4.1, kMiddle = -49;  // the rods reach from z = -93 to -5
  image::Phantom phantom = image::preset("jaszczak").or_throw();
  std::erase_if(phantom.regions, [](const image::Region& region) { return region.name.rfind("cold", 0) == 0; });
  image::ProjectionGeometry geometry =
      image::circular_scan(111, 11, Millimetres(2), Millimetres(kRow), {.views = 48, .radius = Millimetres(130)});
  geometry.v0 = Millimetres(kMiddle - 5 * kRow);
  const Study study = make_study(phantom, geometry, 4e7);
  const auto volumes = run(plan_of(study), noise_free(study), {5, 20, 40});
  for (const auto& [iterations, volume] : volumes) {
    std::printf("  cold rods, %2zu x 6, noise-free:", iterations);
    double last = 1;
    for (const double diameter : {12.7, 11.1, 9.5, 7.9, 6.4, 4.8}) {
      std::vector<Place> rods;
      for (const image::Region& region : phantom.regions) {
        const image::Solid& solid = region.solids.front();
        if (region.name.rfind("rod", 0) == 0 && std::fabs(2 * solid.a - diameter) < 0.01)
          rods.push_back({solid.x, solid.y});
      }
      const double contrast = rod_contrast(volume, rods, diameter, kMiddle);
      std::printf(" %.1f mm %.2f", diameter, contrast);
      EXPECT_LT(contrast, last) << diameter;
      if (iterations == 40 && diameter > 9) {
        EXPECT_GT(contrast, 0.5) << diameter;
      }
      last = contrast;
    }
    std::printf("\n");
  }
}

// Full width at half maximum along one axis through (x, 0, 0), above the mean 25 to 35 mm away; between voxels linear.
double width_at(const image::Volume& volume, double x, bool along_z) {
  const image::VolumeGeometry& g = volume.geometry;
  const double step = along_z ? g.slice_mm.count() : g.column_mm.count();
  const auto value = [&](int offset) {
    const auto index = [&](double mm, Millimetres first, Millimetres size) {
      return static_cast<std::size_t>(std::lround((mm - first.count()) / size.count()));
    };
    const std::size_t ix = index(x + (along_z ? 0 : offset * step), g.x0, g.column_mm), iy = index(0, g.y0, g.row_mm),
                      iz = index(along_z ? offset * step : 0, g.z0, g.slice_mm);
    return static_cast<double>(volume.values[(iz * g.rows + iy) * g.columns + ix]);
  };
  double background = 0;
  for (const int k : {-12, -11, -10, 10, 11, 12}) background += value(k) / 6;
  const double half = background + 0.5 * (value(0) - background);
  double width = 0;
  for (const int side : {-1, 1}) {
    int k = 0;
    while (value(side * (k + 1)) > half && k < 20) ++k;
    const double inner = value(side * k), outer = value(side * (k + 1));
    width += (k + (inner - half) / (inner - outer)) * step;
  }
  return width;
}

TEST(Validation, PointsOnAWarmBackgroundAreNarrowerThanTheCollimatorSeesThem) {
  const Study study = make_study(image::preset("warm-points").or_throw(), scan(127, 51, 2.5, 160), 2e7);
  const auto with = run(plan_of(study), noise_free(study), {5, 20});
  const auto without = run(plan_of(study, false), noise_free(study), {5, 20});
  const double seen = 2.3548 * (1.466 + 0.0163 * 160);  // at the axis, without the bin's own width
  std::printf("  collimator at the axis: %.1f mm; FWHM transaxial, axial in mm, with response (without)\n", seen);
  for (const double x : {0.0, 50.0, 100.0}) {
    for (const std::size_t iterations : {std::size_t{5}, std::size_t{20}}) {
      const double across = width_at(with.at(iterations), x, false), along = width_at(with.at(iterations), x, true);
      const double plain_across = width_at(without.at(iterations), x, false),
                   plain_along = width_at(without.at(iterations), x, true);
      std::printf("  %3.0f mm, %2zu x 6: %.1f, %.1f (%.1f, %.1f)\n", x, iterations, across, along, plain_across,
                  plain_along);
      if (iterations == 20) {  // earlier the modelled resolution has not converged, least of all at the axis
        EXPECT_LT(across, plain_across) << x;
        EXPECT_LT(along, plain_along) << x;
        EXPECT_LT(along, 0.75 * seen) << x;
        if (x == 100) {
          EXPECT_LT(across, 0.6 * seen);
        }
      }
    }
  }
  EXPECT_NEAR(width_at(without.at(20), 0, true), seen, 0.2 * seen)
      << "without a model the point is as wide as it is seen";
}

}  // namespace
}  // namespace tomogrid::recon
