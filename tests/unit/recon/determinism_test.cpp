// The promise that a job may move between machines: one result, however many threads, ranks and lanes compute it.
#include <gtest/gtest.h>
#include <omp.h>

#include "plan_content.h"
#include "problem.h"
#include "thread_ranks.h"

namespace tomogrid::recon {
namespace {

struct Outcome {
  std::uint64_t plan = 0, projection = 0, image = 0, checkpoint = 0;
  bool operator==(const Outcome&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Outcome& o) {
  return out << "{" << o.plan << "ULL, " << o.projection << "ULL, " << o.image << "ULL, " << o.checkpoint << "ULL}";
}

// A x with every rank's views, as forward_project() gives it on one.
std::uint64_t projection_of(const Plan& plan, const std::vector<float>& activity, Ranks& ranks) {
  const PlanData& p = plan.data();
  Projector projector(p, ranks);
  Buffer<float> image(p.image_size()), planes(p.views.size() * p.plane_size());
  to_image(p, activity, image.data());
  projector.forward(image.data(), planes.data());
  std::vector<double> all(p.projections.elements(), 0.0);
  for (std::size_t v = 0; v < p.views.size(); ++v) {
    for (std::size_t row = 0; row < p.projections.rows; ++row) {
      for (std::size_t bin = 0; bin < p.projections.bins; ++bin)
        all[(p.views[v].view * p.projections.rows + row) * p.projections.bins + bin] =
            static_cast<double>(planes.data()[v * p.plane_size() + bin * p.axial.line() + p.axial.at(row)]);
    }
  }
  ranks.merge(all);
  return fingerprint(std::vector<float>(all.begin(), all.end()));
}

Outcome outcome_of(Problem p, std::size_t subsets, int threads, InstructionSet set, Ranks& ranks) {
  omp_set_num_threads(threads);
  p.options.subsets = subsets;
  p.options.instructions = set;
  Outcome outcome;
  const Plan plan = make_plan(p.geometry, with_map(p), p.options, &ranks).or_throw();
  outcome.plan = plan_content(plan, ranks);
  outcome.projection = projection_of(plan, p.activity, ranks);
  Settings settings{.iterations = 3, .penalty = {.strength = subsets > 1 ? 0.02 : 0.0}};
  settings.after_iteration = [&](const IterationReport& report, const auto&, const auto& checkpoint) {
    if (report.iteration != 2) return true;
    const std::vector<std::uint8_t> bytes = encode(checkpoint());  // history with likelihoods, fingerprint, estimate
    outcome.checkpoint = fingerprint(std::vector<float>(bytes.begin(), bytes.end()));
    return true;
  };
  outcome.image = fingerprint(reconstruct(plan, p.counts, settings, &ranks).or_throw().volume.values);
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

// The bits as g++ 12 and clang++ 14 made them: any other compiler, version or processor must repeat them. If a change
// of the model changes them on purpose, kNumericalContract is raised and both are written here anew.
struct Golden {
  std::size_t subsets;
  Outcome outcome;
};
constexpr std::uint64_t kContract = 2;
constexpr Golden kGolden[] = {
    {1, {17561586809831001062ULL, 11792289548998192793ULL, 13222437220695946878ULL, 2777610185079087841ULL}},
    {3, {10091148464590712835ULL, 11792289548998192793ULL, 4792578920901986873ULL, 5083784706845773608ULL}}};

TEST(Determinism, StoredBitsBelongToThisNumericalContract) {
  EXPECT_EQ(kNumericalContract, kContract);
}

TEST(Determinism, SameBitsForAnyThreadsRanksInstructionSetAndCompiler) {
  const Problem p = counted_problem();
  for (const Golden& golden : kGolden) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
      for (const int threads : {1, 2, 3}) {
        for (const InstructionSet set : {InstructionSet::Scalar, InstructionSet::Avx2, InstructionSet::Avx512}) {
          if (!has(set)) continue;
          std::vector<Outcome> outcomes(size);
          with_ranks(size,
                     [&](Ranks& rank) { outcomes[rank.rank()] = outcome_of(p, golden.subsets, threads, set, rank); });
          for (const Outcome& outcome : outcomes)
            EXPECT_EQ(outcome, golden.outcome) << golden.subsets << " subsets, " << size << " ranks of " << threads
                                               << " threads, set " << static_cast<int>(set);
        }
      }
    }
  }
}

TEST(Determinism, FactorsMadeForEachViewAgainGiveTheBitsOfStoredOnes) {
  Problem p = counted_problem();
  const auto image = [&] {
    const Plan plan = make_plan(p.geometry, with_map(p), p.options).or_throw();
    return fingerprint(reconstruct(plan, p.counts, Settings{.iterations = 2}).or_throw().volume.values);
  };
  const std::uint64_t stored = image();
  p.options.attenuation_memory = Bytes(0);
  EXPECT_EQ(image(), stored);
}

TEST(Determinism, OneRankOfTheLibraryIsForwardProject) {
  const Problem p = counted_problem();
  Problem q = p;
  SingleRank alone;
  const Plan plan = make_plan(q.geometry, with_map(q), q.options).or_throw();
  EXPECT_EQ(projection_of(plan, p.activity, alone), fingerprint(forward_project(plan, p.activity)));
}

}  // namespace
}  // namespace tomogrid::recon
