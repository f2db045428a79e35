#include "image/phantom.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <cstring>
#include <numbers>

#include "image/phantom/numerics.h"

namespace tomogrid::image {
namespace {

constexpr double kPi = std::numbers::pi;

ProjectionGeometry scan(std::size_t n, double bin, std::size_t views, double radius, double first = 0) {
  return circular_scan(n, n, Millimetres(bin), Millimetres(bin),
                       {.views = views, .first = Radians(first), .radius = Millimetres(radius)});
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double v : values) total += v;
  return total;
}

double change(const std::vector<double>& coarse, const std::vector<double>& fine) {
  double difference = 0, power = 0;
  for (std::size_t i = 0; i < fine.size(); ++i) {
    difference += (coarse[i] - fine[i]) * (coarse[i] - fine[i]);
    power += fine[i] * fine[i];
  }
  return std::sqrt(difference / power);
}

Phantom ball(double x, double y, double z, double radius, double mu = 0) {
  Phantom p;
  p.regions.push_back({.name = "ball",
                       .solids = {{Solid::Shape::Ellipsoid, x, y, z, radius, radius, radius}},
                       .activity = 1,
                       .mu = mu});
  return p;
}

TEST(PhantomNumerics, AgreeWithTheLibrary) {
  for (double x = -700; x <= 0; x += 0.37) {
    EXPECT_NEAR(phantom::exp_of_negative(x) / std::exp(x), 1, 2e-15) << x;
  }
  EXPECT_EQ(phantom::exp_of_negative(0), 1);
  EXPECT_EQ(phantom::exp_of_negative(-1e9), 0);
  for (double x = -7; x <= 7; x += 0.0137) EXPECT_NEAR(phantom::erf(x), std::erf(x), 2e-15) << x;
  for (double x = -50; x <= 50; x += 0.0173) {
    const auto [s, c] = phantom::sin_cos(x);
    EXPECT_NEAR(s, std::sin(x), 1e-14) << x;
    EXPECT_NEAR(c, std::cos(x), 1e-14) << x;
  }
}

// u = x cos t + y sin t, v = z, d = R - x sin t + y cos t, worked out by hand for one point in each quadrant.
TEST(PhantomProjector, PointInEachQuadrantLandsWhereTheGeometrySays) {
  struct Case {
    double x, y, z, angle, u, d;
  };
  const double root = std::sqrt(0.5);
  for (const Case& c :
       std::initializer_list<Case>{{60, 30, 20, 0, 60, 230},              // left back, seen from the front
                                   {-60, 30, 20, kPi / 2, 30, 260},       // right back, seen from the left
                                   {-60, -30, -20, kPi, 60, 230},         // right front, seen from the back
                                   {60, -30, -20, 3 * kPi / 2, 30, 260},  // left front, seen from the right
                                   {60, 30, 20, kPi / 4, 90 * root, 200 - 30 * root},
                                   {-60, 30, 20, 3 * kPi / 4, 90 * root, 200 + 30 * root}}) {
    Phantom p;
    p.points.push_back({.name = "point", .x = c.x, .y = c.y, .z = c.z, .activity = 1000});
    const ProjectionGeometry geometry = scan(128, 3, 1, 200, c.angle);
    const std::vector<double> image = project(p, geometry, {}, {});
    double total = 0, u = 0, v = 0, uu = 0, vv = 0;
    for (std::size_t row = 0; row < 128; ++row) {
      for (std::size_t bin = 0; bin < 128; ++bin) {
        const double n = image[row * 128 + bin], at_u = (static_cast<double>(bin) - 63.5) * 3,
                     at_v = (static_cast<double>(row) - 63.5) * 3;
        total += n;
        u += n * at_u;
        v += n * at_v;
        uu += n * at_u * at_u;
        vv += n * at_v * at_v;
      }
    }
    u /= total;
    v /= total;
    const double sigma = 1.466 + 0.0163 * c.d;
    EXPECT_NEAR(total, 1000, 1e-5);
    EXPECT_NEAR(u, c.u, 1e-6) << c.angle;
    EXPECT_NEAR(v, c.z, 1e-6);
    // A bin's width adds its own variance (Sheppard).
    EXPECT_NEAR(uu / total - u * u, sigma * sigma + 9.0 / 12, 1e-4) << c.angle;
    EXPECT_NEAR(vv / total - v * v, sigma * sigma + 9.0 / 12, 1e-4);
  }
}

TEST(PhantomProjector, UnattenuatedCountsAreTheActivityInEveryView) {
  for (const std::string& name : preset_names()) {
    const Phantom p = preset(name).or_throw();
    const double n = 48, bin = 1.3 * p.field.count() / n;
    const ProjectionGeometry geometry = scan(48, bin, 2, p.radius.count(), 0.4);
    PhantomPhysics physics;
    physics.attenuation = false;
    ASSERT_TRUE(check(p, geometry, physics)) << name;
    const std::vector<double> image = project(p, geometry, physics, {});
    const Volume truth = truth_volume(p, grid_of(geometry));
    double activity = 0;
    for (const float v : truth.values) activity += v;
    for (std::size_t k = 0; k < 2; ++k) {
      double counts = 0;
      for (std::size_t i = 0; i < 48 * 48; ++i) counts += image[k * 48 * 48 + i];
      EXPECT_NEAR(counts / activity, 1, 2e-4) << name << " view " << k;
    }
  }
}

TEST(PhantomProjector, BallHasItsVolume) {
  const ProjectionGeometry geometry = scan(64, 4, 2, 150, 0.7);
  const std::vector<double> image = project(ball(20, -30, 10, 25), geometry, {}, {});
  EXPECT_NEAR(sum(image) / 2 / (4.0 / 3 * kPi * 25 * 25 * 25), 1, 3e-4);
}

// The same integral by brute force: a fine Cartesian sum over the ball, path lengths by stepping, libm's erf.
TEST(PhantomProjector, AttenuatedBallInABodyAgreesWithASumOverPoints) {
  Phantom p;
  p.regions.push_back(
      {.name = "body", .solids = {{Solid::Shape::Ellipsoid, 5, -5, 0, 80, 60, 70}}, .activity = 0, .mu = 0.0154});
  p.regions.push_back(
      {.name = "bone", .solids = {{Solid::Shape::Box, 0, -30, 0, 30, 8, 40}}, .activity = 0, .mu = 0.03});
  p.regions.push_back(
      {.name = "ball", .solids = {{Solid::Shape::Ellipsoid, 15, 10, 12, 18, 12, 15}}, .activity = 2, .mu = 0.01});
  const double angle = 0.35, radius = 120, bin = 4;
  const std::size_t n = 48;
  const std::vector<double> image = project(p, scan(n, bin, 1, radius, angle), {}, {.level = 1});

  const double c = std::cos(angle), s = std::sin(angle), h = 1.5;
  const auto mu_at = [&](double x, double y, double z) {
    for (std::size_t r = p.regions.size(); r-- > 0;) {
      if (p.regions[r].solids[0].contains(x, y, z)) return p.regions[r].mu;
    }
    return 0.0;
  };
  std::vector<double> direct(n * n, 0.0);
  for (double x = -5 + h / 2; x < 35; x += h) {
    for (double y = -5 + h / 2; y < 25; y += h) {
      for (double z = -5 + h / 2; z < 29; z += h) {
        if (!p.regions[2].solids[0].contains(x, y, z)) continue;
        double path = 0;
        for (double t = 0.125; t < 160; t += 0.25) path += 0.25 * mu_at(x + s * t, y - c * t, z);
        const double u = x * c + y * s, d = radius - x * s + y * c, sigma = 1.466 + 0.0163 * d;
        const double weight = 2 * h * h * h * std::exp(-path);
        const auto share = [&](double at, std::size_t i) {
          const double low = (static_cast<double>(i) - 0.5 * static_cast<double>(n)) * bin - at;
          return 0.5 * (std::erf((low + bin) / sigma / std::sqrt(2.0)) - std::erf(low / sigma / std::sqrt(2.0)));
        };
        std::vector<double> along(n);
        for (std::size_t i = 0; i < n; ++i) along[i] = share(u, i);
        for (std::size_t row = 0; row < n; ++row) {
          const double v = weight * share(z, row);
          if (v < 1e-9) continue;
          for (std::size_t i = 0; i < n; ++i) direct[row * n + i] += v * along[i];
        }
      }
    }
  }
  // The sum's own error: 1.5 mm cells at the ball's surface, 0.25 mm steps along the path.
  EXPECT_LT(change(direct, image), 6e-3);
  EXPECT_NEAR(sum(direct) / sum(image), 1, 3e-3);
}

TEST(PhantomProjector, HalvingChangesEveryPresetByLessThanAThousandth) {
  for (const std::string& name : preset_names()) {
    const Phantom p = preset(name).or_throw();
    const ProjectionGeometry geometry = scan(64, p.field.count() / 64, 2, p.radius.count(), 0.1);
    const Convergence found = converge(p, geometry, {});  // two views: it judges both
    EXPECT_LT(found.change, 1e-3) << name;
    EXPECT_LT(found.sampling.level, 2) << name;
  }
}

// An error of level n that were not one of level n + 1 would show against level n + 2.
TEST(PhantomProjector, ErrorFallsWithEachHalving) {
  Phantom p = ball(0, 0, 0, 60, 0.0154);
  p.regions.push_back(
      {.name = "hot", .solids = {{Solid::Shape::EllipticCylinder, 25, 10, 5, 15, 10, 12}}, .activity = 5, .mu = 0.02});
  const ProjectionGeometry geometry = scan(32, 6, 2, 150, 0.2);
  const std::vector<double> finest = project(p, geometry, {}, {.level = 3});
  const double first = change(project(p, geometry, {}, {.level = 0}), finest);
  const double second = change(project(p, geometry, {}, {.level = 1}), finest);
  EXPECT_LT(second, 0.5 * first);
  EXPECT_LT(second, 2e-4);
}

TEST(PhantomProjector, LaterRegionReplacesAnEarlierOne) {
  Phantom p = ball(0, 0, 0, 40);
  p.regions.push_back({.name = "hole", .solids = {{Solid::Shape::Ellipsoid, 0, 0, 0, 20, 20, 20}}, .activity = 0});
  const ProjectionGeometry geometry = scan(64, 3, 1, 150);
  const double shell = 4.0 / 3 * kPi * (40.0 * 40 * 40 - 20.0 * 20 * 20);
  EXPECT_NEAR(sum(project(p, geometry, {}, {})) / shell, 1, 3e-4);
  std::swap(p.regions[0], p.regions[1]);
  EXPECT_NEAR(sum(project(p, geometry, {}, {})) / (4.0 / 3 * kPi * 40 * 40 * 40), 1, 3e-4);
}

TEST(PhantomProjector, PointBehindAbsorberIsWeakerByTheExponential) {
  Phantom p;
  p.regions.push_back(
      {.name = "water", .solids = {{Solid::Shape::EllipticCylinder, 0, 0, 0, 100, 100, 50}}, .mu = 0.0154});
  p.points.push_back({.name = "point", .x = 0, .y = 40, .z = 0, .activity = 1000});
  // From the front the photon crosses 140 mm, from the back 60 mm.
  EXPECT_NEAR(sum(project(p, scan(64, 4, 1, 150, 0), {}, {})), 1000 * std::exp(-0.0154 * 140), 1e-4);
  EXPECT_NEAR(sum(project(p, scan(64, 4, 1, 150, kPi), {}, {})), 1000 * std::exp(-0.0154 * 60), 1e-4);
}

TEST(PhantomProjector, DecaysOverTheScanAndItsFrames) {
  ProjectionGeometry geometry = scan(32, 6, 2, 150);
  geometry.views[1].start = Seconds(3600);
  geometry.views[0].duration = geometry.views[1].duration = Seconds(600);
  PhantomPhysics physics;
  physics.half_life = Seconds(3600);
  const std::vector<double> decayed = project(ball(0, 0, 0, 30), geometry, physics, {});
  const std::vector<double> steady = project(ball(0, 0, 0, 30), geometry, {}, {});
  const double x = std::log(2.0) / 6, mean = (1 - std::exp(-x)) / x;
  EXPECT_NEAR(decayed[16 * 32 + 16] / steady[16 * 32 + 16], mean, 1e-12);
  EXPECT_NEAR(decayed[1024 + 16 * 32 + 16] / steady[1024 + 16 * 32 + 16], 0.5 * mean, 1e-12);
}

TEST(PhantomProjector, SameBitsForAnyNumberOfThreads) {
  const Phantom p = preset("nema").or_throw();
  const ProjectionGeometry geometry = scan(32, p.field.count() / 32, 7, p.radius.count());
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<double> one = project(p, geometry, {}, {});
  const std::vector<float> counts_one = poisson_counts(one, 3);
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const std::vector<double> many = project(p, geometry, {}, {});
    EXPECT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(double)), 0);
    EXPECT_EQ(poisson_counts(many, 3), counts_one);
  }
  omp_set_num_threads(before);
}

// Recorded bits: another compiler, CPU or library must give the same phantom.
TEST(PhantomProjector, GivesTheRecordedBits) {
  const Phantom p = preset("markers").or_throw();
  const ProjectionGeometry geometry = scan(16, 20, 3, 170, 0.3);
  const std::vector<double> image = project(p, geometry, {}, {});
  const std::vector<float> counts = poisson_counts(image, 7);
  std::uint64_t hash = 1469598103934665603ULL;
  for (std::size_t i = 0; i < image.size(); ++i) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &image[i], sizeof bits);
    hash = (hash ^ bits) * 1099511628211ULL;
    hash = (hash ^ static_cast<std::uint64_t>(counts[i])) * 1099511628211ULL;
  }
  EXPECT_EQ(hash, 7159634935498315569ULL);
}

TEST(PhantomCheck, RefusesByName) {
  const ProjectionGeometry geometry = scan(32, 6, 4, 50);
  const auto hit = check(ball(0, 20, 0, 40), geometry, {});
  ASSERT_FALSE(hit);
  EXPECT_EQ(hit.error().code, ErrorCode::BadInput);
  EXPECT_NE(hit.error().message.find("ball"), std::string::npos);
  Phantom flat = ball(0, 0, 0, 10);
  flat.regions[0].solids[0].c = 0;
  EXPECT_FALSE(check(flat, geometry, {}));
  Phantom negative = ball(0, 0, 0, 10);
  negative.regions[0].activity = -1;
  EXPECT_FALSE(check(negative, geometry, {}));
  EXPECT_FALSE(check(ball(0, 0, 0, 10), scan(0, 6, 4, 50), {}));
  EXPECT_TRUE(check(ball(0, 0, 0, 10), geometry, {}));
  EXPECT_EQ(preset("nothing").error().code, ErrorCode::NotFound);
}

TEST(PhantomSimulation, ScalesToTheCountsAndRepeatsWithItsSeed) {
  const Phantom p = preset("markers").or_throw();
  const ProjectionGeometry geometry = scan(32, p.field.count() / 32, 12, p.radius.count());
  const SimulationRequest request{.counts = 2e5, .seed = 11, .facts = {}};
  const Simulation first = simulate(p, geometry, {}, request).or_throw();
  double expected = 0, counts = 0;
  for (const float v : first.noise_free.values) expected += v;
  for (const float v : first.projections.values) {
    counts += v;
    ASSERT_EQ(v, std::floor(v));
  }
  EXPECT_NEAR(expected / 2e5, 1, 1e-6);
  EXPECT_NEAR(counts, 2e5, 5 * std::sqrt(2e5));
  EXPECT_TRUE(first.projections.facts.counts);
  EXPECT_FALSE(first.noise_free.facts.counts);
  EXPECT_EQ(simulate(p, geometry, {}, request).or_throw().projections.values, first.projections.values);
  SimulationRequest other = request;
  other.seed = 12;
  EXPECT_NE(simulate(p, geometry, {}, other).or_throw().projections.values, first.projections.values);
  EXPECT_FALSE(simulate(p, geometry, {}, {.counts = 0, .facts = {}}));
  EXPECT_FALSE(simulate(Phantom{}, geometry, {}, request));
}

TEST(PhantomNoise, HasThePoissonMeanVarianceAndShape) {
  for (const double mean : {0.05, 0.9, 7.0, 31.0, 33.0, 250.0, 4000.0}) {
    constexpr std::size_t kDraws = 50000;
    const std::vector<float> counts = poisson_counts(std::vector<double>(kDraws, mean), 5);
    double first = 0, second = 0, third = 0;
    for (const float v : counts) first += v;
    first /= kDraws;
    for (const float v : counts) {
      second += (v - first) * (v - first) / kDraws;
      third += (v - first) * (v - first) * (v - first) / kDraws;
    }
    const double error = std::sqrt(mean / kDraws);
    EXPECT_NEAR(first, mean, 4 * error);
    EXPECT_NEAR(second / mean, 1, 4 * std::sqrt((2 + 1 / mean) / kDraws));
    // Skewness of a Poisson number is mean^(-1/2).
    EXPECT_NEAR(third / std::pow(second, 1.5), 1 / std::sqrt(mean), 0.07 * (1 + 1 / std::sqrt(mean)));
  }
  EXPECT_EQ(poisson_counts({0, -1}, 1), (std::vector<float>{0, 0}));
}

TEST(PhantomNoise, FrequenciesPassAChiSquareTest) {
  constexpr double kMean = 3.5;
  constexpr std::size_t kDraws = 100000;
  std::vector<double> seen(13, 0), expected(13, 0);
  for (const float v : poisson_counts(std::vector<double>(kDraws, kMean), 99))
    seen[std::min<std::size_t>(12, static_cast<std::size_t>(v))] += 1;
  double probability = std::exp(-kMean), rest = 1;
  for (std::size_t k = 0; k < 12; ++k) {
    expected[k] = probability * kDraws;
    rest -= probability;
    probability *= kMean / static_cast<double>(k + 1);
  }
  expected[12] = rest * kDraws;
  double chi = 0;
  for (std::size_t k = 0; k < 13; ++k) chi += (seen[k] - expected[k]) * (seen[k] - expected[k]) / expected[k];
  EXPECT_LT(chi, 32.9);  // 12 degrees of freedom, 0.1 %
}

// Left at +u seen from the front and at -u from the back; the head at high rows; the front nearer, so brighter, from
// the front.
TEST(PhantomMarkers, StandWhereTheirNamesSay) {
  const Phantom p = preset("markers").or_throw();
  const ProjectionGeometry geometry = scan(64, p.field.count() / 64, 4, p.radius.count());
  const std::vector<double> image = project(p, geometry, {}, {});
  const auto at = [&](std::size_t view, double u, double v) {
    const double bin = p.field.count() / 64;
    const auto i = static_cast<std::size_t>(std::lround(u / bin + 31.5)),
               j = static_cast<std::size_t>(std::lround(v / bin + 31.5));
    return image[(view * 64 + j) * 64 + i];
  };
  EXPECT_GT(at(0, 80, 0), 4 * at(0, -80, 0));  // front: left at +u
  EXPECT_GT(at(2, -80, 0), 4 * at(2, 80, 0));  // back: left at -u
  EXPECT_GT(at(0, 0, 85), 3 * at(0, 0, -85));  // head at high rows
  EXPECT_GT(at(0, 0, 0), 2 * at(2, 0, 0));     // the front marker from the front and from behind
  EXPECT_GT(at(1, -60, 0), 3 * at(1, 60, 0));  // from the left, y is u: the front lies at -u
  EXPECT_GT(at(3, 60, 0), 3 * at(3, -60, 0));  // from the right, at +u
}

TEST(PhantomScan, HeadsTurnTogether) {
  const ProjectionGeometry geometry = circular_scan(8, 4, Millimetres(5), Millimetres(6),
                                                    {.views = 6,
                                                     .first = Radians(0.1),
                                                     .arc = Radians(-kPi),
                                                     .radius = Millimetres(100),
                                                     .per_view = Seconds(7),
                                                     .heads = 2});
  ASSERT_EQ(geometry.views.size(), 6U);
  EXPECT_EQ(geometry.u0.count(), -17.5);
  EXPECT_EQ(geometry.v0.count(), -9);
  EXPECT_EQ(geometry.views[3].detector, 1U);
  EXPECT_EQ(geometry.views[3].start.count(), 0);
  EXPECT_NEAR(geometry.views[3].angle.count(), 0.1 - kPi / 2, 1e-12);
  EXPECT_EQ(geometry.views[2].start.count(), 14);
}

}  // namespace
}  // namespace tomogrid::image
