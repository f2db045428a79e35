// The promise that a job may move between machines: one result, however many threads, ranks and lanes compute it.
#include <gtest/gtest.h>
#include <omp.h>

#include <barrier>
#include <thread>

#include "problem.h"

namespace tomogrid::recon {
namespace {

// Ranks as threads of this process, exchanging through shared memory.
class Meeting {
 public:
  explicit Meeting(std::size_t size) : size_(size), barrier_(static_cast<std::ptrdiff_t>(size)), views_(size) {}
  struct View {
    std::span<const float> send;
    std::span<const std::size_t> counts;
    std::span<float> all;
    std::span<double> doubles;
  };
  void wait() { barrier_.arrive_and_wait(); }
  std::size_t size_;
  std::barrier<> barrier_;
  std::vector<View> views_;
};

class ThreadRank final : public Ranks {
 public:
  ThreadRank(Meeting& meeting, std::size_t rank) : meeting_(meeting), rank_(rank) {}
  std::size_t rank() const override { return rank_; }
  std::size_t size() const override { return meeting_.size_; }
  void exchange(std::span<const float> send, std::span<const std::size_t> send_counts, std::span<float> receive,
                std::span<const std::size_t>) override {
    meeting_.views_[rank_] = {send, send_counts, {}, {}};
    meeting_.wait();
    std::size_t out = 0;
    for (const Meeting::View& from : meeting_.views_) {
      std::size_t begin = 0;
      for (std::size_t r = 0; r < rank_; ++r) begin += from.counts[r];
      std::copy_n(from.send.begin() + static_cast<std::ptrdiff_t>(begin), from.counts[rank_],
                  receive.begin() + static_cast<std::ptrdiff_t>(out));
      out += from.counts[rank_];
    }
    meeting_.wait();
  }
  void gather(std::span<float> all, std::span<const std::size_t> counts) override {
    meeting_.views_[rank_] = {{}, counts, all, {}};
    meeting_.wait();
    std::size_t begin = 0;
    for (std::size_t r = 0; r < size(); ++r) {
      if (r != rank_)
        std::copy_n(meeting_.views_[r].all.begin() + static_cast<std::ptrdiff_t>(begin), counts[r],
                    all.begin() + static_cast<std::ptrdiff_t>(begin));
      begin += counts[r];
    }
    meeting_.wait();
  }
  void merge(std::span<double> values) override {
    meeting_.views_[rank_] = {{}, {}, {}, values};
    meeting_.wait();
    std::vector<double> sum(values.size(), 0.0);
    for (const Meeting::View& from : meeting_.views_) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += from.doubles[i];
    }
    meeting_.wait();
    std::copy(sum.begin(), sum.end(), values.begin());
    meeting_.wait();
  }

 private:
  Meeting& meeting_;
  std::size_t rank_;
};

struct Outcome {
  std::uint64_t plan = 0, projection = 0, image = 0, checkpoint = 0;
  double likelihood = 0;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(Problem p, std::size_t subsets, int threads, InstructionSet set, Ranks* ranks) {
  omp_set_num_threads(threads);
  p.options.subsets = subsets;
  p.options.instructions = set;
  Outcome outcome;
  const Plan plan = make_plan(p.geometry, with_map(p), p.options, ranks).or_throw();
  outcome.plan = plan.fingerprint();
  if (ranks == nullptr) outcome.projection = fingerprint(forward_project(plan, p.activity));
  Settings settings{.iterations = 3, .penalty = {.strength = subsets > 1 ? 0.02 : 0.0}};
  settings.after_iteration = [&](const IterationReport& report, const auto&, const auto& checkpoint) {
    if (report.iteration == 2) outcome.checkpoint = fingerprint(checkpoint().estimate);
    return true;
  };
  const Reconstruction result = reconstruct(plan, p.counts, settings, ranks).or_throw();
  outcome.image = fingerprint(result.volume.values);
  outcome.likelihood = result.history.back().log_likelihood;
  return outcome;
}

Problem counted_problem() {
  ProblemShape shape;
  shape.rows = 40;  // three steps, with padding
  Problem p = make_problem(shape);
  const Plan plan = make_plan(p.geometry, with_map(p), p.options).or_throw();
  fill_counts(p, plan);
  return p;
}

TEST(Determinism, SameBitsForAnyThreadsAndInstructionSet) {
  const Problem p = counted_problem();
  for (const std::size_t subsets : {std::size_t{1}, std::size_t{3}}) {
    const Outcome reference = outcome_of(p, subsets, 1, InstructionSet::Scalar, nullptr);
    for (const int threads : {1, 2, 3}) {
      for (const InstructionSet set : {InstructionSet::Scalar, InstructionSet::Avx2, InstructionSet::Avx512}) {
        if (!has(set)) continue;
        EXPECT_EQ(outcome_of(p, subsets, threads, set, nullptr), reference)
            << threads << " threads, set " << static_cast<int>(set);
      }
    }
  }
}

TEST(Determinism, SameBitsForAnyNumberOfRanks) {
  const Problem p = counted_problem();
  for (const std::size_t subsets : {std::size_t{1}, std::size_t{3}}) {
    Outcome reference = outcome_of(p, subsets, 2, InstructionSet::Best, nullptr);
    reference.projection = 0;
    for (const std::size_t size : {std::size_t{2}, std::size_t{3}}) {
      Meeting meeting(size);
      std::vector<Outcome> outcomes(size);
      std::vector<std::thread> threads;
      for (std::size_t r = 0; r < size; ++r) {
        threads.emplace_back([&, r] {
          ThreadRank rank(meeting, r);
          outcomes[r] = outcome_of(p, subsets, 1, InstructionSet::Best, &rank);
        });
      }
      for (std::thread& thread : threads) thread.join();
      for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome, reference) << size << " ranks";
    }
  }
}

// The bits as g++ 12 and clang++ 14 made them on the first machine: any other compiler or processor must repeat them.
TEST(Determinism, BitsAreThoseOfEveryOtherMachine) {
  const Outcome outcome = outcome_of(counted_problem(), 1, 2, InstructionSet::Best, nullptr);
  EXPECT_EQ(outcome.image, 43225641049833362ULL);
}

}  // namespace
}  // namespace tomogrid::recon
