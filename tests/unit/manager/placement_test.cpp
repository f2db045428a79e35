#include "manager/placement.h"

#include <gtest/gtest.h>

#include <random>

#include "support/sim_members.h"

namespace tomogrid::manager {

namespace {

using namespace std::chrono_literals;
using test::place_request;

const wire::Now kNow{Instant(1h), WallTime{1'790'000'000'000}};

certs::MemberId member(std::uint8_t number) {
  certs::MemberId id;
  id.bytes[0] = number;
  return id;
}

registry::NodeView view(std::uint8_t number, std::uint32_t cores_free, double rate, std::uint32_t cores_total = 64) {
  registry::NodeView made;
  made.advert = test::idle_node(cores_total, rate);
  made.advert.node = member(number);
  made.advert.name = "node" + std::to_string(number);
  made.advert.cores_free = cores_free;
  made.heard = kNow.instant - 700ms;
  return made;
}

Decision decide(const wire::Place& request, const std::vector<registry::NodeView>& nodes, const Holds& holds = {},
                const Closed& closed = {}) {
  Decision decision = place(Asked{request, member(100), member(200), kNow}, nodes, holds, closed);
  EXPECT_EQ(can_place(request, nodes, holds, closed), decision.outcome == Decision::Outcome::Placed);
  const auto again = replay(decision.record);
  EXPECT_TRUE(again) << again.error().message;
  if (again) {
    EXPECT_EQ(*again, decision.record.winner);
  }
  return decision;
}

std::string rejection_of(const Decision& decision, std::uint8_t number) {
  for (const auto& candidate : decision.record.candidates) {
    if (candidate.node == member(number)) return candidate.rejection;
  }
  return "not considered";
}

TEST(Placement, TheMostFreeFlopsWinNotTheMostCores) {
  const std::vector<registry::NodeView> nodes{view(1, 8, 1e9), view(2, 4, 3e9), view(3, 10, 1e9)};   // the winner points into it
  const auto decision = decide(place_request(1), nodes);
  ASSERT_EQ(decision.outcome, Decision::Outcome::Placed);
  EXPECT_EQ(decision.record.winner, member(2));
  EXPECT_EQ(decision.winner->advert.node, member(2));
  EXPECT_EQ(decision.record.grant.cores, 4u);
  ASSERT_EQ(decision.record.candidates.size(), 3u);
  EXPECT_EQ(decision.record.candidates[0].node, member(2)) << "best first";
  EXPECT_EQ(decision.record.candidates[1].node, member(3));
  EXPECT_EQ(decision.record.candidates[0].age, 700ms);
  EXPECT_EQ(decision.record.client, member(100));
  EXPECT_EQ(decision.record.decided_by, member(200));
}

TEST(Placement, HoldsAreSubtracted) {
  Holds holds;
  holds[member(2)].add({3, gibibytes(1), mebibytes(256)});
  const auto decision = decide(place_request(1), {view(1, 8, 1e9), view(2, 4, 3e9)}, holds);
  EXPECT_EQ(decision.record.winner, member(1));
  EXPECT_EQ(decision.record.candidates[1].cores_held, 3u);
  EXPECT_EQ(decision.record.candidates[1].memory_held, gibibytes(1) + mebibytes(256)) << "scratch is memory";
}

TEST(Placement, EveryRejectionHasItsWord) {
  wire::Place request = place_request(1, 4);
  request.needs.labels = {"gpu"};
  request.excluded = {member(3)};
  std::vector<registry::NodeView> nodes;
  for (std::uint8_t i = 1; i <= 10; ++i) {
    nodes.push_back(view(i, 8, 1e9));
    nodes.back().advert.labels = {"big", "gpu"};
  }
  nodes[0].advert.services = {{"qa.spect", 1}, {"recon.spect", 2}};
  nodes[1].advert.labels = {"big"};
  nodes[3].advert.draining = true;
  nodes[5].advert.cores_per_job_max = 3;
  nodes[6].advert.cores_free = 3;
  nodes[7].advert.memory_free = gibibytes(1);
  nodes[8].advert.scratch_free = mebibytes(255);
  const auto decision = decide(request, nodes, {}, {{member(5), rejections::unreachable}});
  EXPECT_EQ(decision.record.winner, member(10));
  const std::pair<std::uint8_t, std::string_view> expected[] = {{1, rejections::service},     {2, rejections::labels},
                                                                {3, rejections::excluded},    {4, rejections::draining},
                                                                {5, rejections::unreachable}, {6, rejections::cap},
                                                                {7, rejections::cores},       {8, rejections::memory},
                                                                {9, rejections::scratch},     {10, ""}};
  for (const auto& [number, word] : expected) EXPECT_EQ(rejection_of(decision, number), word) << int(number);
}

TEST(Placement, TheGrantIsWhatWasAskedWhatIsFreeAndWhatTheNodeAllows) {
  const auto granted = [](std::uint32_t least, std::uint32_t most, std::uint32_t free, std::uint32_t cap) {
    auto node = view(1, free, 1e9);
    node.advert.cores_per_job_max = cap;
    return decide(place_request(1, least, most), {node}).record.grant.cores;
  };
  EXPECT_EQ(granted(1, 0, 12, 0), 12u);
  EXPECT_EQ(granted(1, 5, 12, 0), 5u);
  EXPECT_EQ(granted(1, 5, 3, 0), 3u);
  EXPECT_EQ(granted(1, 0, 12, 7), 7u);
  EXPECT_EQ(granted(4, 2, 12, 0), 4u) << "most below least: least";
  EXPECT_EQ(granted(0, 0, 12, 0), 12u);
}

TEST(Placement, BusyWaitsAndImpossibleIsPermanent) {
  EXPECT_EQ(decide(place_request(1), {view(1, 0, 1e9)}).outcome, Decision::Outcome::Waiting);
  EXPECT_EQ(decide(place_request(1), {}).outcome, Decision::Outcome::Waiting);
  EXPECT_EQ(decide(place_request(1, 65), {view(1, 64, 1e9, 64)}).outcome, Decision::Outcome::Unplaceable);
  auto drained = view(1, 8, 1e9);
  drained.advert.draining = true;
  EXPECT_EQ(decide(place_request(1), {drained}).outcome, Decision::Outcome::Waiting);
  auto other = view(1, 8, 1e9);
  other.advert.services.clear();
  const auto never = decide(place_request(1), {other});
  EXPECT_EQ(never.outcome, Decision::Outcome::Unplaceable);
  EXPECT_EQ(never.reason, "of 1 node 1 does not offer recon.spect/1");
  wire::Place excluded = place_request(1);
  excluded.excluded = {member(1)};
  EXPECT_EQ(decide(excluded, {view(1, 8, 1e9)}).outcome, Decision::Outcome::Unplaceable);
  EXPECT_EQ(decide(excluded, {view(1, 8, 1e9), view(2, 0, 1e9)}).outcome, Decision::Outcome::Waiting);
  auto full = view(1, 8, 1e9);
  full.advert.memory_free = mebibytes(1);
  EXPECT_EQ(decide(place_request(1), {full}).outcome, Decision::Outcome::Waiting) << "another job's memory comes back";
  full.advert.memory_total = mebibytes(1);
  EXPECT_EQ(decide(place_request(1), {full}).outcome, Decision::Outcome::Unplaceable);
}

TEST(Placement, AbsurdNeedsDoNotOverflow) {
  wire::Place request = place_request(1);
  request.needs.memory = request.needs.scratch = Bytes(UINT64_MAX);
  EXPECT_EQ(decide(request, {view(1, 8, 1e9)}).outcome, Decision::Outcome::Unplaceable);
  request = place_request(1, UINT32_MAX);
  EXPECT_EQ(decide(request, {view(1, 8, 1e9)}).outcome, Decision::Outcome::Unplaceable);
  Holds holds;
  for (int i = 0; i < 3; ++i) holds[member(1)].add({UINT32_MAX / 4, Bytes(UINT64_MAX / 2), Bytes(UINT64_MAX / 2)});
  EXPECT_EQ(decide(place_request(1), {view(1, 8, 1e9)}, holds).outcome, Decision::Outcome::Waiting);
}

TEST(Placement, EqualNodesShareByTheRequestId) {
  const std::vector<registry::NodeView> nodes{view(1, 8, 1e9), view(2, 8, 1e9), view(3, 8, 1e9)};
  std::map<certs::MemberId, int> wins;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    const auto first = decide(place_request(i), nodes), second = decide(place_request(i), nodes);
    EXPECT_EQ(first.record.winner, second.record.winner) << "the same request, the same winner";
    ++wins[*first.record.winner];
  }
  ASSERT_EQ(wins.size(), 3u);
  for (const auto& [node, count] : wins) EXPECT_NEAR(count, 1000, 120);
}

TEST(Placement, AThousandPlacementsEachReleasedBeforeTheNextAllGoToTheLargest) {
  const std::vector<registry::NodeView> nodes{view(1, 16, 2e9), view(2, 8, 5e9), view(3, 30, 1e9)};
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(decide(place_request(i, 1, 4), nodes).record.winner, member(2));
}

TEST(Placement, WithHoldsKeptEachPickIsTheArgMaxOfFiguresLessHolds) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<registry::NodeView> nodes;
    for (std::uint8_t i = 1; i <= 3; ++i)
      nodes.push_back(
          view(i, 40 + static_cast<std::uint32_t>(random() % 200), 1e9 * static_cast<double>(1 + random() % 4), 400));
    Holds holds;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const auto decision = decide(place_request(i, 1, 1), nodes, holds);
      // Computed apart: nodes that still have a core and 1.25 GiB, by (cores less holds) x rate.
      double best = -1;
      for (const auto& node : nodes) {
        const Held held = holds.contains(node.advert.node) ? holds.at(node.advert.node) : Held{};
        const double left = static_cast<double>(node.advert.cores_free) - held.cores;
        const bool fits =
            node.advert.memory_free.count() >= held.memory.count() + (gibibytes(1) + mebibytes(256)).count();
        if (left >= 1 && fits) best = std::max(best, left * node.advert.rate_per_core.count());
      }
      if (best < 0) {
        ASSERT_EQ(decision.outcome, Decision::Outcome::Waiting);
        break;
      }
      ASSERT_EQ(decision.outcome, Decision::Outcome::Placed);
      const auto& winner = decision.record.candidates.front();
      ASSERT_DOUBLE_EQ((winner.rate_per_core * static_cast<double>(winner.cores_free - winner.cores_held)).count(),
                       best)
          << "seed " << seed;
      holds[*decision.record.winner].add(decision.record.grant);
    }
  }
}

TEST(Placement, AfterAChangeOfCapacityTheNextGoesToTheNewLargest) {
  std::vector<registry::NodeView> nodes{view(1, 8, 1e9), view(2, 16, 1e9), view(3, 4, 1e9)};
  EXPECT_EQ(decide(place_request(1), nodes).record.winner, member(2));
  nodes[1].advert.cores_free = 2;
  EXPECT_EQ(decide(place_request(1), nodes).record.winner, member(1));
  nodes[2].advert.cores_free = 64;
  EXPECT_EQ(decide(place_request(1), nodes).record.winner, member(3));
}

// Random federations: no decision exceeds a node's figures, and every record replays, also after its encoding.
TEST(Placement, PropertiesOverRandomFederations) {
  test::Members members;
  const certs::Identity& manager = members.get("manager1", certs::Role::Manager);
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<registry::NodeView> nodes;
    Holds holds;
    Closed closed;
    const int count = static_cast<int>(random() % 12);
    for (int i = 0; i < count; ++i) {
      auto node = view(static_cast<std::uint8_t>(i + 1), static_cast<std::uint32_t>(random() % 17),
                       static_cast<double>(random() % 4) * 1e9, 16);
      node.advert.cores_per_job_max = static_cast<std::uint32_t>(random() % 3 * 4);
      node.advert.memory_free = gibibytes(random() % 4);
      node.advert.scratch_free = mebibytes(random() % 1000);
      node.advert.draining = random() % 5 == 0;
      if (random() % 4 == 0) node.advert.services.clear();
      if (random() % 3 == 0)
        holds[node.advert.node].add(
            {static_cast<std::uint32_t>(random() % 20), mebibytes(random() % 3000), mebibytes(random() % 500)});
      if (random() % 6 == 0)
        closed[node.advert.node] = random() % 2 == 0 ? rejections::unreachable : rejections::promised;
      nodes.push_back(std::move(node));
    }
    wire::Place request =
        place_request(seed, 1 + static_cast<std::uint32_t>(random() % 8), static_cast<std::uint32_t>(random() % 9));
    if (random() % 3 == 0) request.excluded = {member(1), member(3)};
    Decision decision = place(Asked{request, member(100), manager.member(), kNow}, nodes, holds, closed);
    if (decision.outcome == Decision::Outcome::Placed) {
      const auto& advert = decision.winner->advert;
      const Held held = holds.contains(advert.node) ? holds.at(advert.node) : Held{};
      const job::Grant& grant = decision.record.grant;
      EXPECT_LE(grant.cores + held.cores, advert.cores_free);
      EXPECT_LE(held.memory.count() + grant.memory.count() + grant.scratch.count(), advert.memory_free.count());
      EXPECT_LE(held.scratch.count() + grant.scratch.count(), advert.scratch_free.count());
      EXPECT_GE(grant.cores, std::max(1u, request.needs.cores_min));
      EXPECT_FALSE(advert.draining);
      EXPECT_FALSE(closed.contains(advert.node));
    }
    const certs::Signed record = manager.signed_record(certs::kinds::decision, wire::encode_body(decision.record));
    const auto checked = check_decision(record, manager.certificate().signing_key);
    ASSERT_TRUE(checked) << "seed " << seed << ": " << checked.error().message;
    EXPECT_EQ(checked->winner, decision.record.winner);
  }
}

TEST(Placement, ATamperedDecisionIsFound) {
  test::Members members;
  const certs::Identity& manager = members.get("manager1", certs::Role::Manager);
  const auto& key = manager.certificate().signing_key;
  wire::Place request = place_request(1, 2, 4);
  request.excluded = {member(4)};
  auto draining = view(5, 50, 1e9);
  draining.advert.draining = true;
  const auto good = place(Asked{request, member(100), manager.member(), kNow},
                          std::vector{view(1, 8, 1e9), view(2, 4, 3e9), view(3, 1, 1e9), view(4, 64, 1e9), draining})
                        .record;
  certs::Signed record = manager.signed_record(certs::kinds::decision, wire::encode_body(good));
  ASSERT_TRUE(check_decision(record, key));
  // Bytes changed after signing, any of them.
  for (std::size_t i = 0; i < record.body.size(); ++i) {
    record.body[i] ^= 1;
    EXPECT_FALSE(check_decision(record, key)) << i;
    record.body[i] ^= 1;
  }
  // Signed, but not what its own figures say: by a manager that favours a node.
  const auto refused = [&](auto&& change) {
    wire::DecisionRecord changed = good;
    change(changed);
    const auto result = check_decision(manager.signed_record(certs::kinds::decision, wire::encode_body(changed)), key);
    return !result && result.error().code == ErrorCode::Unverified;
  };
  EXPECT_TRUE(refused([](auto& r) { r.winner = member(1); }));
  EXPECT_TRUE(refused([](auto& r) { r.winner.reset(); }));
  EXPECT_TRUE(refused([](auto& r) { r.grant.cores = 3; }));
  EXPECT_TRUE(refused([](auto& r) { r.candidates[0].cores_free = 2; }));  // the winner's figures lowered
  EXPECT_TRUE(refused([](auto& r) { r.candidates[1].rate_per_core = FlopRate(9e9); }));
  EXPECT_TRUE(refused([](auto& r) {
    std::swap(r.candidates[0], r.candidates[1]);
    r.winner = member(1);
    r.grant.cores = 4;
  }));
  EXPECT_TRUE(refused([](auto& r) { r.candidates[0].rejection = "cores"; }));
  EXPECT_TRUE(refused([](auto& r) { r.place.excluded = {member(2)}; }));
  EXPECT_TRUE(refused([](auto& r) { r.candidates[0].draining = true; }));
  EXPECT_TRUE(refused([](auto& r) { r.decided_by = member(9); }));
  for (std::size_t i = 0; i < good.candidates.size(); ++i) {
    if (good.candidates[i].rejection.empty()) continue;
    EXPECT_TRUE(refused([i](auto& r) { r.candidates[i].rejection.clear(); })) << i;
  }
  // Another manager's key.
  EXPECT_FALSE(check_decision(record, members.get("manager2", certs::Role::Manager).certificate().signing_key));
}

TEST(Placement, OfManyCandidatesTheBestAreKeptAndTheRestCounted) {
  std::vector<registry::NodeView> nodes;
  for (int i = 0; i < 250; ++i)
    nodes.push_back(view(static_cast<std::uint8_t>(i), static_cast<std::uint32_t>(i + 1), 1e9, 300));
  const auto decision = decide(place_request(1), nodes);
  EXPECT_EQ(decision.record.candidates.size(), wire::kCandidatesMax);
  EXPECT_EQ(decision.record.candidates_left_out, 50u);
  EXPECT_EQ(decision.record.winner, member(249));
}

}  // namespace

}  // namespace tomogrid::manager
