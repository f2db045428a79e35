#include <gtest/gtest.h>

#include <cmath>

#include "problem.h"

namespace tomogrid::recon {
namespace {

double sum(const std::vector<float>& values) {
  double total = 0;
  for (const float value : values) total += static_cast<double>(value);
  return total;
}

struct Case {
  Problem problem;
  Plan plan;
};

Case make_run(std::size_t subsets, bool attenuated = true, ProblemShape shape = {}) {
  Problem p = make_problem(shape);
  p.options.subsets = subsets;
  Plan plan = make_plan(p.geometry, with_map(p, attenuated), p.options).or_throw();
  fill_counts(p, plan);
  return {std::move(p), std::move(plan)};
}

TEST(MlEm, LikelihoodNeverFallsAndCountsAreKept) {
  for (const bool attenuated : {false, true}) {
    Case run = make_run(1, attenuated);
    Settings settings{.iterations = 60};
    const auto result = reconstruct(run.plan, run.problem.counts, settings);
    ASSERT_TRUE(result.has_value()) << result.error().message;
    const double with_model = result->counts_measured - result->counts_excluded;
    for (std::size_t i = 1; i < result->history.size(); ++i) {
      const double before = result->history[i - 1].log_likelihood, now = result->history[i].log_likelihood;
      EXPECT_GE(now, before - 1e-9 * std::fabs(before)) << "iteration " << i + 1;
      EXPECT_NEAR(result->history[i].expected_counts / with_model, 1.0, 1e-5);
    }
    EXPECT_NEAR(result->counts_modelled / with_model, 1.0, 1e-5);
    for (const float value : result->volume.values) EXPECT_TRUE(value >= 0 && std::isfinite(value));
  }
}

TEST(MlEm, RecoversWhatMadeNoiseFreeCounts) {
  Case run = make_run(1);
  const std::vector<float> exact = forward_project(run.plan, run.problem.activity);
  const auto result = reconstruct(run.plan, exact, Settings{.iterations = 200});
  ASSERT_TRUE(result.has_value());
  double error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) size += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
  const std::vector<float> again = forward_project(run.plan, result->volume.values);
  for (std::size_t i = 0; i < exact.size(); ++i)
    error += std::pow(static_cast<double>(again[i]) - static_cast<double>(exact[i]), 2);
  EXPECT_LT(std::sqrt(error / size), 0.005);
}

TEST(MlEm, ABackgroundIsExplainedNotReconstructed) {
  Case run = make_run(1);
  std::vector<float> background(run.problem.counts.size(), 3.0F), counts = run.problem.counts;
  for (float& value : counts) value += 3.0F;
  const auto clean = reconstruct(run.plan, run.problem.counts, Settings{.iterations = 20});
  const auto scattered = reconstruct(run.plan, counts, Settings{.iterations = 20, .background = background});
  ASSERT_TRUE(clean.has_value() && scattered.has_value());
  EXPECT_NEAR(sum(scattered->volume.values) / sum(clean->volume.values), 1.0, 0.03);
}

TEST(Osem, SubsetsAreBalancedAndReachTheSameLikelihoodSooner) {
  ProblemShape shape;
  shape.views = 24;
  Case em = make_run(1, true, shape), os = make_run(5, true, shape);
  ASSERT_EQ(os.plan.subsets(), 5U);
  std::size_t least = 100, most = 0;
  for (std::size_t s = 0; s < 5; ++s) {
    least = std::min(least, os.plan.views_in_subset(s));
    most = std::max(most, os.plan.views_in_subset(s));
  }
  EXPECT_GE(least, 4U);
  EXPECT_LE(most - least, 1U);
  const auto slow = reconstruct(em.plan, em.problem.counts, Settings{.iterations = 4});
  const auto fast = reconstruct(os.plan, em.problem.counts, Settings{.iterations = 4});
  ASSERT_TRUE(slow.has_value() && fast.has_value());
  EXPECT_GT(fast->history.back().log_likelihood, slow->history.back().log_likelihood);
}

TEST(Penalty, TakesNoiseAndKeepsTheMean) {
  Case run = make_run(3);
  const auto plain = reconstruct(run.plan, run.problem.counts, Settings{.iterations = 20});
  const auto smooth =
      reconstruct(run.plan, run.problem.counts, Settings{.iterations = 20, .penalty = {.strength = 0.05}});
  ASSERT_TRUE(plain.has_value() && smooth.has_value());
  struct Figures {
    double mean = 0, deviation = 0;
  };
  const auto figures = [&](const std::vector<float>& values) {  // where the activity is 2, well inside
    double n = 0, total = 0, square = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (run.problem.activity[i] != 2.0F) continue;
      n += 1;
      total += static_cast<double>(values[i]);
      square += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    return Figures{total / n, std::sqrt(square / n - total / n * (total / n))};
  };
  const Figures before = figures(plain->volume.values), after = figures(smooth->volume.values);
  EXPECT_LT(after.deviation, 0.7 * before.deviation);
  EXPECT_NEAR(after.mean / before.mean, 1.0, 0.05);
  const double counts = smooth->counts_measured - smooth->counts_excluded;
  EXPECT_LE(smooth->history.back().expected_counts, counts);  // U is homogeneous: sum(s x) = sum(y) - strength U
  EXPECT_NEAR(smooth->history.back().expected_counts / counts, 1.0, 0.03);
  EXPECT_FALSE(reconstruct(run.plan, run.problem.counts, Settings{.penalty = {.strength = -1}}).has_value());
}

TEST(Osem, SubsetsNeverHaveFewerThanFourViews) {
  ProblemShape shape;
  shape.views = 19;
  EXPECT_EQ(make_run(16, false, shape).plan.subsets(), 4U);
}

TEST(Reconstruct, CheckpointsResumeToTheSameBits) {
  Case run = make_run(3);
  std::vector<std::uint8_t> saved;
  Settings settings{.iterations = 6};
  settings.after_iteration = [&](const IterationReport& report, const auto&, const auto& checkpoint) {
    if (report.iteration == 3) saved = encode(checkpoint());
    return true;
  };
  const auto whole = reconstruct(run.plan, run.problem.counts, settings);
  const auto parsed = parse_checkpoint(saved);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
  Settings resumed{.iterations = 6, .resume = &*parsed};
  const auto rest = reconstruct(run.plan, run.problem.counts, resumed);
  ASSERT_TRUE(whole.has_value() && rest.has_value());
  EXPECT_EQ(whole->volume.values, rest->volume.values);
  ASSERT_EQ(whole->history.size(), rest->history.size());
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(whole->history[i].log_likelihood, rest->history[i].log_likelihood);

  std::vector<float> others = run.problem.counts;
  others[5] += 1;
  EXPECT_FALSE(reconstruct(run.plan, others, resumed).has_value()) << "a checkpoint of another scan was taken";
  for (const std::size_t at : {std::size_t{0}, std::size_t{20}, saved.size() / 2, saved.size() - 1}) {
    std::vector<std::uint8_t> altered = saved;
    altered[at] ^= 0x10;
    EXPECT_FALSE(parse_checkpoint(altered).has_value()) << "byte " << at;
  }
  for (std::size_t length = 0; length < saved.size(); length += 97) {
    EXPECT_FALSE(parse_checkpoint(std::span(saved).first(length)).has_value()) << length;
  }
}

TEST(Reconstruct, StopsWhenTheLikelihoodHasSettledAndWhenTold) {
  Case run = make_run(1);
  const auto settled = reconstruct(run.plan, run.problem.counts, Settings{.iterations = 500, .stop_change = 1e-4});
  ASSERT_TRUE(settled.has_value());
  EXPECT_TRUE(settled->stopped_early);
  EXPECT_LT(settled->history.size(), 500U);
  Settings told{.iterations = 50};
  told.after_iteration = [](const IterationReport& report, const auto&, const auto&) { return report.iteration < 3; };
  const auto cancelled = reconstruct(run.plan, run.problem.counts, told);
  ASSERT_FALSE(cancelled.has_value());
  EXPECT_EQ(cancelled.error().code, ErrorCode::Cancelled);
}

TEST(Smooth, KeepsCountsAndGivesTheAskedWidth) {
  image::Volume volume{image::centred_grid(41, 41, 41, Millimetres(2), Millimetres(2), Millimetres(2)), {}, ""};
  volume.values.assign(41 * 41 * 41, 0.0F);
  volume.values[(20 * 41 + 20) * 41 + 20] = 1000.0F;
  smooth(volume, Millimetres(9));
  double total = 0, square = 0;
  for (std::size_t i = 0; i < volume.values.size(); ++i) {
    const double x = (static_cast<double>(i % 41) - 20) * 2;
    total += static_cast<double>(volume.values[i]);
    square += static_cast<double>(volume.values[i]) * x * x;
  }
  EXPECT_NEAR(total, 1000.0, 0.01);
  EXPECT_NEAR(std::sqrt(square / total) * 2.3548, 9.0, 0.05);
}

}  // namespace
}  // namespace tomogrid::recon
