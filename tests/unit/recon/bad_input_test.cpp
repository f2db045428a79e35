#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "problem.h"

namespace tomogrid::recon {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

void expect_refused(const std::function<void(Problem&)>& spoil, const std::string& word) {
  Problem p = make_problem();
  with_map(p);
  spoil(p);
  const auto plan = make_plan(p.geometry, p.model, p.options);
  ASSERT_FALSE(plan.has_value()) << word;
  EXPECT_EQ(plan.error().code, ErrorCode::BadInput);
  EXPECT_NE(plan.error().message.find(word), std::string::npos) << plan.error().message;
}

TEST(BadInput, GeometryIsRefusedByTheFieldsName) {
  expect_refused([](Problem& p) { p.geometry.views.clear(); }, "no views");
  expect_refused([](Problem& p) { p.geometry.bins = 0; }, "bins");
  expect_refused(
      [](Problem& p) {
        p.geometry.bins = 100000;
        p.geometry.rows = 100000;
      },
      "100000 bins");
  expect_refused([](Problem& p) { p.geometry.rows = std::numeric_limits<std::size_t>::max(); }, "rows");
  expect_refused([](Problem& p) { p.geometry.bin_mm = Millimetres(0); }, "bin width");
  expect_refused([](Problem& p) { p.geometry.row_mm = Millimetres(kNan); }, "row height");
  expect_refused([](Problem& p) { p.geometry.views[3].angle = Radians(kNan); }, "view 3: the angle");
  expect_refused([](Problem& p) { p.geometry.views[2].radius = Millimetres(-5); }, "view 2: the radius");
  expect_refused([](Problem& p) { p.geometry.views[2].radius = Millimetres(0); }, "radius is unknown");
  expect_refused([](Problem& p) { p.geometry.views[2].duration = Seconds(-1); }, "duration");
  expect_refused([](Problem& p) { p.model.response.slope = 7; }, "slope");
  expect_refused([](Problem& p) { p.model.response.sigma0 = Millimetres(kNan); }, "sigma0");
  expect_refused([](Problem& p) { p.model.half_life = Seconds(0); }, "half-life");
  expect_refused([](Problem& p) { p.options.size = 5000; }, "image size");
  expect_refused([](Problem& p) { p.options.groups = 0; }, "groups");
  expect_refused(
      [](Problem& p) {
        p.options.support_radius = Millimetres(0.1);
        p.options.size = 10;
      },
      "support");
}

TEST(BadInput, MapsAreRefusedByTheFieldsName) {
  expect_refused([](Problem& p) { p.attenuation.values.pop_back(); }, "attenuation map");
  expect_refused([](Problem& p) { p.attenuation.values[9] = std::numeric_limits<float>::quiet_NaN(); },
                 "attenuation map");
  expect_refused([](Problem& p) { p.attenuation.values[9] = -0.1F; }, "negative");
  expect_refused([](Problem& p) { p.attenuation.values[9] = 150.0F; }, "1/mm");
  expect_refused([](Problem& p) { p.attenuation.geometry.x0 = Millimetres(5000); }, "of this body");
  expect_refused([](Problem& p) { p.attenuation.geometry.slice_mm = Millimetres(0); }, "voxel size");
}

TEST(BadInput, CountsAreRefusedByTheirView) {
  Problem p = make_problem();
  const Plan plan = make_plan(p.geometry, with_map(p), p.options).or_throw();
  fill_counts(p, plan);
  const std::size_t view = p.geometry.bins * p.geometry.rows;
  const auto refused = [&](std::vector<float> counts, const std::string& word) {
    const auto result = reconstruct(plan, counts, Settings{});
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::BadInput);
    EXPECT_NE(result.error().message.find(word), std::string::npos) << result.error().message;
  };
  std::vector<float> counts = p.counts;
  counts[4 * view + 1] = std::numeric_limits<float>::quiet_NaN();
  refused(counts, "view 4");
  counts[4 * view + 1] = -1;
  refused(counts, "negative");
  counts[4 * view + 1] = 2e9F;
  refused(counts, "above 1e9");
  counts.pop_back();
  refused(counts, "header says");
}

TEST(BadInput, AScanWithoutCountsGivesAnEmptyVolume) {
  Problem p = make_problem();
  const Plan plan = make_plan(p.geometry, with_map(p), p.options).or_throw();
  const std::vector<float> counts(p.geometry.elements(), 0.0F);
  const auto result = reconstruct(plan, counts, Settings{.iterations = 2});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  for (const float value : result->volume.values) EXPECT_EQ(value, 0.0F);
}

TEST(BadInput, CountsThatNothingCanReachAreReported) {
  Problem p = make_problem();
  p.options.support_radius = Millimetres(25);
  const Plan plan = make_plan(p.geometry, with_map(p), p.options).or_throw();
  std::vector<float> counts(p.geometry.elements(), 0.0F);
  counts[10 * p.geometry.bins + 0] = 7;  // far from the support's shadow
  counts[10 * p.geometry.bins + p.geometry.bins / 2] = 40;
  const auto result = reconstruct(plan, counts, Settings{.iterations = 3});
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(result->counts_excluded, 7.0);
  EXPECT_NEAR(result->counts_modelled, 40.0, 1e-3);
}

}  // namespace
}  // namespace tomogrid::recon
