#include "registry/registry.h"

#include <gtest/gtest.h>

#include "support/sim.h"
#include "support/sim_members.h"

namespace tomogrid::registry {

namespace {

using namespace std::chrono_literals;
using test::idle_node;

// One registry spoken to by hand: who sends what, and what comes back.
class RegistryTest : public ::testing::Test {
 protected:
  wire::Peer peer(const std::string& name, certs::Roles roles) {
    const certs::Identity& identity = members.get(name, roles);
    wire::Peer made;
    made.id = ++peers;
    made.member = identity.member();
    made.name = name;
    made.roles = identity.roles();
    made.signing_key = identity.certificate().signing_key;
    return made;
  }
  certs::Signed advert(const std::string& node, std::uint64_t boot, std::uint64_t sequence,
                       std::uint32_t cores_free = 4) {
    const certs::Identity& identity = members.get(node, certs::Role::Node);
    wire::Advert content = idle_node(8, 1e9, boot);
    content.node = identity.member();
    content.name = node;
    content.signing_key = identity.certificate().signing_key;
    content.transport_key = identity.transport_key();
    content.sequence = sequence;
    content.cores_free = cores_free;
    return identity.signed_record(certs::kinds::advert, wire::encode_body(content));
  }
  template <class M>
  std::vector<std::pair<wire::PeerId, M>> sent(const wire::Effects& effects) {
    std::vector<std::pair<wire::PeerId, M>> found;
    for (const wire::Effect& effect : effects) {
      const auto* send = std::get_if<wire::Send>(&effect);
      if (send == nullptr) continue;
      if (const auto* message = std::get_if<M>(&send->message)) found.emplace_back(send->peer, *message);
    }
    return found;
  }
  std::string closed(const wire::Effects& effects) {
    for (const wire::Effect& effect : effects) {
      if (const auto* close = std::get_if<wire::ClosePeer>(&effect)) return close->code;
    }
    return "";
  }
  std::string refusal(const wire::Effects& effects) {
    const auto found = sent<wire::LeaseRefused>(effects);
    return found.size() == 1 ? found[0].second.code : "";
  }
  wire::Effects tell(const wire::Peer& from, wire::Message message) {
    return registry.handle(now, wire::Received{from, std::move(message)});
  }
  void pass(Duration time) {
    now.instant += time;
    now.wall = now.wall + std::chrono::duration_cast<std::chrono::milliseconds>(time);
  }

  test::Members members;
  wire::Now now{Instant(1h), WallTime{1'790'000'000'000}};
  Registry registry;
  wire::PeerId peers = 0;
};

TEST_F(RegistryTest, AnnounceIsGrantedAndTellsWatchersAtOnce) {
  const auto watcher = peer("manager1", certs::Role::Manager), node = peer("node1", certs::Role::Node);
  const auto snapshot = sent<wire::Snapshot>(tell(watcher, wire::Watch{}));
  ASSERT_EQ(snapshot.size(), 1u);
  EXPECT_TRUE(snapshot[0].second.listings.empty());
  EXPECT_TRUE(snapshot[0].second.last);

  const auto effects = tell(node, wire::Announce{advert("node1", 5, 1)});
  const auto granted = sent<wire::LeaseGranted>(effects);
  ASSERT_EQ(granted.size(), 1u);
  EXPECT_EQ(granted[0].first, node.id);
  EXPECT_EQ(granted[0].second, (wire::LeaseGranted{5, 1, 3000ms}));
  const auto changed = sent<wire::Changed>(effects);
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(changed[0].first, watcher.id);
  EXPECT_EQ(changed[0].second.listing.remaining, 3000ms);
}

TEST_F(RegistryTest, SilentNodesAreReportedLostOnceInIdOrder) {
  const auto watcher = peer("manager1", certs::Role::Manager);
  tell(watcher, wire::Watch{});
  std::vector<certs::MemberId> ids;
  for (const char* name : {"node1", "node2", "node3"}) {
    const auto node = peer(name, certs::Role::Node);
    ids.push_back(node.member);
    tell(node, wire::Announce{advert(name, 5, 1)});
  }
  std::sort(ids.begin(), ids.end());
  pass(2999ms);
  EXPECT_TRUE(sent<wire::Lost>(registry.advance(now)).empty());
  pass(1ms);
  const auto lost = sent<wire::Lost>(registry.advance(now));
  ASSERT_EQ(lost.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(lost[i].second, (wire::Lost{ids[i], 5, "lease"}));
  pass(10s);
  EXPECT_TRUE(sent<wire::Lost>(registry.advance(now)).empty());
}

TEST_F(RegistryTest, RenewalKeepsANodeAndSendsWatchersNothing) {
  const auto watcher = peer("manager1", certs::Role::Manager), node = peer("node1", certs::Role::Node);
  tell(watcher, wire::Watch{});
  tell(node, wire::Announce{advert("node1", 5, 1)});
  for (int i = 0; i < 20; ++i) {
    pass(1s);
    const auto due = registry.advance(now);
    EXPECT_TRUE(sent<wire::Lost>(due).empty());
    const auto effects = tell(node, wire::Renew{5, 1});
    EXPECT_EQ(sent<wire::LeaseGranted>(effects).size(), 1u);
    EXPECT_TRUE(sent<wire::Changed>(effects).empty());
  }
}

TEST_F(RegistryTest, APulseEachSecondWhileSomeoneWatches) {
  EXPECT_FALSE(registry.next_deadline());
  const auto watcher = peer("manager1", certs::Role::Manager);
  tell(watcher, wire::Watch{});
  for (std::uint64_t number = 1; number <= 3; ++number) {
    ASSERT_EQ(registry.next_deadline(), now.instant + 1s);
    pass(1s);
    const auto pulses = sent<wire::Pulse>(registry.advance(now));
    ASSERT_EQ(pulses.size(), 1u);
    EXPECT_EQ(pulses[0].second.number, number);
  }
  registry.handle(now, wire::PeerDown{watcher, "reset"});
  EXPECT_FALSE(registry.next_deadline());
}

TEST_F(RegistryTest, ANewerBootReplacesAndAnOlderIsRefused) {
  const auto node = peer("node1", certs::Role::Node);
  tell(node, wire::Announce{advert("node1", 5, 9)});
  EXPECT_EQ(refusal(tell(node, wire::Announce{advert("node1", 4, 99)})), "stale-boot");
  EXPECT_EQ(refusal(tell(node, wire::Renew{4, 99})), "stale-boot");
  EXPECT_EQ(refusal(tell(node, wire::Announce{advert("node1", 6, 1)})), "");
  ASSERT_EQ(registry.listing(now).size(), 1u);
  EXPECT_EQ(wire::decode_advert(registry.listing(now)[0].advert.body)->boot, 6u);
}

TEST_F(RegistryTest, AnOlderSequenceOfTheSameBootChangesNothingButCountsAsLife) {
  const auto node = peer("node1", certs::Role::Node);
  tell(node, wire::Announce{advert("node1", 5, 9, 2)});
  pass(2s);
  const auto granted = sent<wire::LeaseGranted>(tell(node, wire::Announce{advert("node1", 5, 8, 7)}));
  ASSERT_EQ(granted.size(), 1u);
  EXPECT_EQ(granted[0].second.sequence, 9u);
  EXPECT_EQ(wire::decode_advert(registry.listing(now)[0].advert.body)->cores_free, 2u);
  EXPECT_EQ(registry.listing(now)[0].remaining, 3000ms);
}

TEST_F(RegistryTest, RenewalOfWhatItDoesNotKnowAsksForAnAnnounce) {
  const auto node = peer("node1", certs::Role::Node);
  EXPECT_EQ(refusal(tell(node, wire::Renew{5, 1})), "unknown");
  tell(node, wire::Announce{advert("node1", 5, 1)});
  EXPECT_EQ(refusal(tell(node, wire::Renew{5, 2})), "unknown");
  EXPECT_EQ(refusal(tell(node, wire::Renew{6, 1})), "unknown");
}

TEST_F(RegistryTest, OnlyTheMemberItselfMayAnnounceItself) {
  const auto node = peer("node1", certs::Role::Node), other = peer("node2", certs::Role::Node),
             user = peer("alice", certs::Role::Clinician);
  EXPECT_EQ(refusal(tell(other, wire::Announce{advert("node1", 5, 1)})), "signature");
  EXPECT_EQ(refusal(tell(user, wire::Announce{advert("node1", 5, 1)})), "role");
  certs::Signed altered = advert("node1", 5, 1);
  altered.body[20] ^= 1;
  EXPECT_EQ(refusal(tell(node, wire::Announce{altered})), "signature");
  // Signed by its sender, but speaking of someone else.
  wire::Advert content = idle_node(8, 1e9);
  content.node = node.member;
  content.name = "node1";
  content.signing_key = other.signing_key;
  const auto forged =
      members.get("node2", certs::Role::Node).signed_record(certs::kinds::advert, wire::encode_body(content));
  EXPECT_EQ(refusal(tell(other, wire::Announce{forged})), "signature");
  EXPECT_TRUE(registry.listing(now).empty());
}

TEST_F(RegistryTest, WithdrawalIsALossAtOnceUnlessItIsOfAnEarlierStart) {
  const auto watcher = peer("manager1", certs::Role::Manager), node = peer("node1", certs::Role::Node);
  tell(watcher, wire::Watch{});
  tell(node, wire::Announce{advert("node1", 5, 1)});
  EXPECT_TRUE(sent<wire::Lost>(tell(node, wire::Withdraw{4})).empty());
  const auto lost = sent<wire::Lost>(tell(node, wire::Withdraw{5}));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].second.reason, "withdrawn");
  pass(10s);
  EXPECT_TRUE(sent<wire::Lost>(registry.advance(now)).empty());
}

TEST_F(RegistryTest, AClosedConnectionIsNoLossButARevokedMemberIs) {
  const auto watcher = peer("manager1", certs::Role::Manager), node = peer("node1", certs::Role::Node);
  tell(watcher, wire::Watch{});
  tell(node, wire::Announce{advert("node1", 5, 1)});
  EXPECT_TRUE(registry.handle(now, wire::PeerDown{node, "connection reset"}).empty());
  EXPECT_EQ(registry.listing(now).size(), 1u);
  const auto lost = sent<wire::Lost>(registry.handle(now, wire::PeerDown{node, "the certificate of node1 was revoked", "revoked"}));
  ASSERT_EQ(lost.size(), 1u);
  EXPECT_EQ(lost[0].second.reason, "revoked");
}

TEST_F(RegistryTest, WatchingNeedsARoleThatMayAndEveryRoleIsTried) {
  for (const certs::Role role : certs::kAllRoles) {
    const auto who = peer("some-" + std::string(certs::to_string(role)), role);
    const auto effects = tell(who, wire::Watch{});
    if (certs::may(role, certs::Verb::WatchMembers)) {
      EXPECT_EQ(sent<wire::Snapshot>(effects).size(), 1u) << certs::to_string(role);
    } else {
      EXPECT_EQ(closed(effects), "role") << certs::to_string(role);
      EXPECT_TRUE(sent<wire::Snapshot>(effects).empty());
    }
  }
}

TEST_F(RegistryTest, ALargeSnapshotComesInPartsThatFitAndOnlyTheLastSaysSo) {
  for (int i = 0; i < 300; ++i) {
    const std::string name = "node" + std::to_string(i);
    tell(peer(name, certs::Role::Node), wire::Announce{advert(name, 5, 1)});
  }
  const auto parts = sent<wire::Snapshot>(tell(peer("manager1", certs::Role::Manager), wire::Watch{}));
  ASSERT_GT(parts.size(), 1u);
  std::size_t listed = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_TRUE(wire::fits(parts[i].second));
    EXPECT_EQ(parts[i].second.last, i + 1 == parts.size());
    listed += parts[i].second.listings.size();
  }
  EXPECT_EQ(listed, 300u);
}

TEST_F(RegistryTest, AFloodOfChangesIsThinnedAndTheLastOneArrives) {
  const auto watcher = peer("manager1", certs::Role::Manager), node = peer("node1", certs::Role::Node);
  tell(watcher, wire::Watch{});
  std::size_t told = 0;
  std::uint32_t last = 0;
  const auto count = [&](const wire::Effects& effects) {
    for (const auto& [to, changed] : sent<wire::Changed>(effects)) {
      ++told;
      last = wire::decode_advert(changed.listing.advert.body)->cores_free;
    }
  };
  for (std::uint32_t i = 1; i <= 100; ++i) {
    count(tell(node, wire::Announce{advert("node1", 5, i, i % 7)}));
    pass(1ms);
    count(registry.advance(now));
  }
  pass(10ms);
  count(registry.advance(now));
  EXPECT_LE(told, 12u);
  EXPECT_GE(told, 10u);
  EXPECT_EQ(last, 100 % 7u);
  EXPECT_FALSE(sent<wire::Changed>(registry.advance(now)).size());
}

TEST_F(RegistryTest, BoundsOnNodesAndWatchersHold) {
  registry = Registry(RegistryOptions{.nodes_max = 2, .watchers_max = 1});
  for (const char* name : {"node1", "node2"})
    EXPECT_EQ(refusal(tell(peer(name, certs::Role::Node), wire::Announce{advert(name, 5, 1)})), "");
  EXPECT_EQ(refusal(tell(peer("node3", certs::Role::Node), wire::Announce{advert("node3", 5, 1)})), "full");
  EXPECT_EQ(refusal(tell(peer("node1", certs::Role::Node), wire::Announce{advert("node1", 5, 2)})), "")
      << "who is listed may go on";
  const auto first = peer("manager1", certs::Role::Manager);
  EXPECT_EQ(closed(tell(first, wire::Watch{})), "");
  EXPECT_EQ(closed(tell(peer("manager2", certs::Role::Manager), wire::Watch{})), "full");
  EXPECT_TRUE(tell(first, wire::Watch{}).empty()) << "one snapshot a second";
  pass(1s);
  EXPECT_FALSE(sent<wire::Snapshot>(tell(first, wire::Watch{})).empty());
}

TEST_F(RegistryTest, MessagesOfOtherRolesEndTheSession) {
  EXPECT_EQ(closed(tell(peer("alice", certs::Role::Clinician), test::place_request(1))), "protocol");
}

// Any order of announces, renewals, withdrawals, resets and time: a node is listed exactly while its lease says so.
TEST_F(RegistryTest, RandomLifeAgainstTheSimplestModel) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random(seed);
    registry = Registry();
    const auto watcher = peer("manager1", certs::Role::Manager);
    tell(watcher, wire::Watch{});
    struct Model {
      std::uint64_t boot = 0, sequence = 0;
      Instant until;
    };
    std::map<std::string, Model> model;
    std::map<certs::MemberId, std::string> names;
    std::set<std::string> seen_by_watcher;
    const auto watch = [&](const wire::Effects& effects) {
      for (const wire::Effect& effect : effects) {
        const auto* send = std::get_if<wire::Send>(&effect);
        if (send == nullptr || send->peer != watcher.id) continue;
        if (const auto* changed = std::get_if<wire::Changed>(&send->message)) {
          seen_by_watcher.insert(wire::decode_advert(changed->listing.advert.body)->name);
        } else if (const auto* lost = std::get_if<wire::Lost>(&send->message)) {
          EXPECT_EQ(seen_by_watcher.erase(names.at(lost->node)), 1u) << "lost twice, seed " << seed;
        }
      }
    };
    for (int i = 0; i < 400; ++i) {
      const std::string name = "node" + std::to_string(random() % 4);
      const auto node = peer(name, certs::Role::Node);
      names[node.member] = name;
      auto& known = model[name];
      const bool listed = known.until > now.instant;
      const std::uint64_t boot = 1 + random() % 3, sequence = 1 + random() % 5;
      const auto version = std::tuple(boot, sequence), present = std::tuple(known.boot, known.sequence);
      switch (random() % 4) {
        case 0:
          watch(tell(node, wire::Announce{advert(name, boot, sequence)}));
          if (listed && boot < known.boot) break;
          if (!listed || version > present) {
            known.boot = boot;
            known.sequence = sequence;
          }
          known.until = now.instant + 3s;
          break;
        case 1:
          watch(tell(node, wire::Renew{boot, sequence}));
          if (listed && boot == known.boot && version <= present) known.until = now.instant + 3s;
          break;
        case 2:
          if (random() % 4 != 0) break;
          watch(tell(node, wire::Withdraw{boot}));
          if (listed && boot >= known.boot) known.until = now.instant;
          break;
        default:
          pass(std::chrono::milliseconds(random() % 2000));
          watch(registry.advance(now));
      }
      std::set<std::string> expected;
      for (const auto& [who, m] : model) {
        if (m.until > now.instant) expected.insert(who);
      }
      std::set<std::string> listing;
      for (const auto& entry : registry.listing(now)) listing.insert(wire::decode_advert(entry.advert.body)->name);
      ASSERT_EQ(listing, expected) << "seed " << seed << " step " << i;
      ASSERT_EQ(seen_by_watcher, expected) << "seed " << seed << " step " << i;
    }
  }
}

}  // namespace

}  // namespace tomogrid::registry
