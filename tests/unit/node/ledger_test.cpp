#include "node/ledger.h"

#include <gtest/gtest.h>

#include <random>

#include "world.h"

namespace tomogrid::node::test {
namespace {

constexpr wire::Capacity kCapacity{8, 6, gibibytes(4), gibibytes(2)};

job::Needs needs(std::uint32_t least, std::uint32_t most, Bytes memory = {}, Bytes scratch = {}) {
  return {least, most, memory, scratch, FlopCount(), {}};
}

TEST(Ledger, GrantsWhatIsAskedFreeAndCapped) {
  Ledger ledger;
  ledger.set_capacity(kCapacity);
  EXPECT_EQ(ledger.fit(needs(1, 4), 0)->cores, 4U);
  EXPECT_EQ(ledger.fit(needs(1, 0), 0)->cores, 6U) << "0: all that are free";
  EXPECT_EQ(ledger.fit(needs(1, 0), 3)->cores, 3U);
  EXPECT_FALSE(ledger.fit(needs(7, 0), 0).has_value());
  EXPECT_FALSE(ledger.fit(needs(4, 0), 3).has_value()) << "the cap is below the least";
  EXPECT_TRUE(ledger.could_ever_fit(needs(8, 8), 0));
  EXPECT_FALSE(ledger.could_ever_fit(needs(9, 9), 0));
}

TEST(Ledger, ScratchCountsAsMemoryToo) {
  Ledger ledger;
  ledger.set_capacity(kCapacity);
  EXPECT_TRUE(ledger.fit(needs(1, 1, gibibytes(2), gibibytes(2)), 0).has_value());
  EXPECT_FALSE(ledger.fit(needs(1, 1, gibibytes(3), gibibytes(2)), 0).has_value());
  EXPECT_FALSE(ledger.fit(needs(1, 1, {}, gibibytes(3)), 0).has_value());
  EXPECT_FALSE(ledger.fit(needs(1, 1, Bytes(UINT64_MAX), Bytes(1)), 0).has_value()) << "sums do not wrap";
}

TEST(Ledger, HoldCountsOnceWhenItGrowsIntoAGrant) {
  Ledger ledger;
  ledger.set_capacity(kCapacity);
  const Holder holder = wire::JobKey{};
  ledger.hold(holder, {0, Bytes(), gibibytes(2)});
  EXPECT_FALSE(ledger.fit(needs(1, 1, {}, gibibytes(2)), 0).has_value());
  EXPECT_TRUE(ledger.fit(needs(1, 1, {}, gibibytes(2)), 0, holder).has_value());
}

// Any order of events: what is newly promised always fits what there is at that moment.
TEST(Node, PropertyAdmittedNeverExceedsCapacity) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const auto pick = [&](std::uint32_t below) { return static_cast<std::uint32_t>(random() % below); };
    NodeOptions options;
    options.per_member.jobs = 1000;
    options.per_member.opens_per_minute = 1'000'000;
    options.cores_per_job_max = pick(2) * 3;
    World world(options);
    const auto manager = world.connect(*members().manager);
    std::vector<wire::Peer> clients{world.connect(*members().alice), world.connect(*members().bob)};
    const std::vector<const certs::Identity*> who{members().alice.get(), members().bob.get()};
    const auto held = [&] {
      std::uint64_t cores = 0, memory = 0;
      for (const auto& [holder, grant] : world.node->ledger().holds()) {
        cores += grant.cores;
        memory += grant.memory.count() + grant.scratch.count();
      }
      return std::pair{cores, memory};
    };
    std::uint32_t capacity = 8;
    for (int step = 0; step < 400; ++step) {
      const auto before = held();
      const std::uint8_t number = static_cast<std::uint8_t>(1 + pick(40));
      const std::size_t client = pick(2);
      const auto key = World::key(*who[client], number);
      switch (pick(9)) {
        case 0:
        case 1: {
          auto open = world.open(number, 1000, pick(2) == 0 ? "recon.test/1" : "qa.test/1");
          open.needs = {1 + pick(3), 0, mebibytes(pick(4000)), mebibytes(pick(400)), FlopCount(), {}};
          if (pick(2) == 0) open.needs.cores_max = open.needs.cores_min + pick(4);
          if (pick(3) == 0) {
            auto ticket = world.ticket(*who[client], number, 1 + pick(4));
            ticket.service = open.service;
            open.ticket = World::sign(ticket);
            if (pick(2) == 0) world.say(manager, wire::Reserve{*open.ticket});
          }
          world.say(clients[client], open);
          break;
        }
        case 2:
          world.say(manager, wire::Reserve{World::sign(world.ticket(*who[client], number, 1 + pick(9)))});
          break;
        case 3:
          world.send_input(clients[client], number);
          break;
        case 4:
          if (world.workers.erase(key) == 1) world.worker_succeeds(key, pick(2) == 0 ? "volume.f32" : "report.json");
          break;
        case 5:
          if (world.workers.erase(key) == 1) world.feed(wire::WorkerExited{key, -9, {}, {}});
          break;
        case 6:
          world.say(clients[client], wire::CancelJob{job_id(number)});
          break;
        case 7:
          world.say(clients[client], wire::Collected{job_id(number)});
          break;
        case 8:
          if (pick(4) == 0) {
            capacity = 1 + pick(12);
            world.capacity(capacity, gibibytes(1 + pick(16)), gibibytes(8));
          } else {
            world.pass(std::chrono::milliseconds(pick(90'000)));
          }
          break;
      }
      const auto after = held();
      const auto total = world.node->ledger().capacity();
      if (after.first > before.first) {
        ASSERT_LE(after.first, total.cores_free) << "step " << step;
      }
      if (after.second > before.second) {
        ASSERT_LE(after.second, total.memory_free.count()) << "step " << step;
      }
      world.forget();
    }
  }
}

}  // namespace
}  // namespace tomogrid::node::test
