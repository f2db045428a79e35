#include "registry/watcher.h"

#include <gtest/gtest.h>

#include "registry/registry.h"
#include "support/sim.h"
#include "support/sim_members.h"

namespace tomogrid::registry {

namespace {

using namespace std::chrono_literals;
using test::AnnouncingNode;
using test::Sim;
using test::WatchingMember;

// Two registries, three nodes that know both, one watcher.
class Watching : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 2; ++i) {
      const std::string name = "registry" + std::to_string(i + 1);
      registry_hosts.push_back(sim.add(name, members.get(name, certs::Role::Registry)));
      registries.push_back(std::make_unique<Registry>());
      sim.start(registry_hosts.back(), *registries.back());
      targets.push_back(sim.target(registry_hosts.back(), certs::Role::Registry));
    }
    for (int i = 0; i < 3; ++i) {
      const std::string name = "node" + std::to_string(i + 1);
      const certs::Identity& identity = members.get(name, certs::Role::Node);
      ids.push_back(identity.member());
      node_hosts.push_back(sim.add(name, identity));
      nodes.push_back(std::make_unique<AnnouncingNode>(identity, targets, test::idle_node(4, 1e9)));
      sim.start(node_hosts.back(), *nodes.back());
    }
    watcher_host = sim.add("manager1", members.get("manager1", certs::Role::Manager));
    watcher = std::make_unique<WatchingMember>(targets);
    sim.start(watcher_host, *watcher);
  }
  std::size_t listed() const { return watcher->watcher().nodes().size(); }
  bool wait_listed(std::size_t count, Duration limit = 5s) {
    return sim.run_until([&] { return listed() == count; }, limit);
  }

  test::Members members;
  Sim sim{1};
  std::vector<Sim::Host> registry_hosts, node_hosts;
  Sim::Host watcher_host = 0;
  std::vector<std::unique_ptr<Registry>> registries;
  std::vector<std::unique_ptr<AnnouncingNode>> nodes;
  std::vector<wire::Target> targets;
  std::vector<certs::MemberId> ids;
  std::unique_ptr<WatchingMember> watcher;
};

TEST_F(Watching, EveryNodeIsListedByIdAndComplete) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(100ms);
  EXPECT_TRUE(watcher->watcher().complete());
  EXPECT_EQ(watcher->watcher().registries_up(), 2u);
  const auto all = watcher->watcher().nodes();
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(),
                             [](const auto& a, const auto& b) { return a.advert.node < b.advert.node; }));
  for (const auto& node : nodes) EXPECT_EQ(node->announcer().registries_granted(), 2u);
}

TEST_F(Watching, AChangeIsVisibleWithinAHundredMilliseconds) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(1s);
  nodes[1]->content().cores_free = 1;
  sim.perform_effects(node_hosts[1], nodes[1]->publish(sim.now()));
  const auto seen = [&] { return watcher->watcher().find(ids[1])->advert.cores_free == 1; };
  EXPECT_FALSE(seen());
  EXPECT_TRUE(sim.run_until(seen, 100ms));
}

TEST_F(Watching, ADeadNodeIsGoneWithinALeaseAndAHalfSecond) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(5s);
  sim.crash(node_hosts[0]);
  sim.run_for(1900ms);
  EXPECT_EQ(listed(), 3u) << "a closed connection is no loss";
  EXPECT_TRUE(wait_listed(2, 1600ms));
  EXPECT_FALSE(watcher->lists(ids[0]));
  sim.run_for(30s);
  EXPECT_EQ(listed(), 2u) << "the others stay";
}

TEST_F(Watching, AWithdrawnNodeIsGoneAtOnce) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(1s);
  sim.perform_effects(node_hosts[2], nodes[2]->withdraw(sim.now()));
  EXPECT_TRUE(wait_listed(2, 50ms));
}

TEST_F(Watching, OneRegistryDyingChangesNothing) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(2s);
  const auto revision = watcher->watcher().revision();
  sim.crash(registry_hosts[0]);
  sim.run_for(20s);
  EXPECT_EQ(listed(), 3u);
  EXPECT_EQ(watcher->watcher().revision(), revision);
}

TEST_F(Watching, WithEveryRegistryDeadTheListingEndsAfterOneLeaseAndComesBack) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(2s);
  for (const auto host : registry_hosts) sim.crash(host);
  sim.run_for(1900ms);
  EXPECT_EQ(listed(), 3u) << "still within one lease of the last pulse";
  EXPECT_TRUE(wait_listed(0, 1200ms));
  EXPECT_FALSE(watcher->watcher().complete());
  Registry again;
  sim.start(registry_hosts[1], again);
  EXPECT_TRUE(wait_listed(3, 5s));
}

TEST_F(Watching, AnIsolatedRegistryStopsVouchingAfterOneLease) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(2s);
  sim.crash(registry_hosts[0]);
  sim.run_for(5s);
  sim.isolate(registry_hosts[1]);
  EXPECT_TRUE(wait_listed(0, 3100ms));
  sim.rejoin(registry_hosts[1]);
  EXPECT_TRUE(wait_listed(3, 8s));
}

TEST_F(Watching, ANodeOutOfReachOfOneRegistryIsListedByTheOther) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(2s);
  sim.cut(node_hosts[0], registry_hosts[0]);
  sim.run_for(20s);
  EXPECT_EQ(listed(), 3u);
  EXPECT_EQ(registries[0]->listing(sim.now()).size(), 2u);
  sim.crash(node_hosts[0]);
  EXPECT_TRUE(wait_listed(2, 3500ms));
}

TEST_F(Watching, ARestartedNodeIsOneNodeWithItsNewFigures) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(2s);
  sim.crash(node_hosts[0]);
  AnnouncingNode again(members.get("node1", certs::Role::Node), targets, test::idle_node(7, 1e9, 2));
  sim.start(node_hosts[0], again);
  EXPECT_TRUE(
      sim.run_until([&] { return watcher->lists(ids[0]) && watcher->watcher().find(ids[0])->advert.boot == 2; }, 1s));
  EXPECT_EQ(watcher->watcher().find(ids[0])->advert.cores_free, 7u);
  sim.run_for(10s);
  EXPECT_EQ(listed(), 3u);
}

TEST_F(Watching, AShortCutHealsWithoutAnyoneNoticing) {
  ASSERT_TRUE(wait_listed(3));
  sim.run_for(2s);
  const auto revision = watcher->watcher().revision();
  for (int i = 0; i < 10; ++i) {
    sim.isolate(node_hosts[i % 3]);
    sim.run_for(1s);
    sim.rejoin(node_hosts[i % 3]);
    sim.run_for(1s);
  }
  EXPECT_EQ(watcher->watcher().revision(), revision);
}

TEST_F(Watching, DiscoveredRegistriesJoinAndConfiguredOnesStay) {
  WatchingMember other({});
  const auto host = sim.add("manager2", members.get("manager2", certs::Role::Manager));
  sim.start(host, other);
  const auto suggestion = [&](std::size_t i, bool gone) {
    return wire::Discovered{
        {certs::Role::Registry, "r", targets[i].host, targets[i].control_port, targets[i].transport_key, gone}};
  };
  sim.feed(host, suggestion(0, false));
  EXPECT_TRUE(sim.run_until([&] { return other.watcher().nodes().size() == 3; }, 3s));
  sim.feed(host, suggestion(0, true));
  sim.run_for(5s);
  EXPECT_EQ(other.watcher().nodes().size(), 3u) << "mDNS only suggests: the session stands";
  sim.feed(watcher_host, suggestion(0, true));
  sim.run_for(5s);
  EXPECT_EQ(watcher->watcher().registries_up(), 2u);
}

TEST_F(Watching, InventedRegistriesDoNotCrowdOutRealOnes) {
  WatchingMember other({});
  const auto host = sim.add("manager2", members.get("manager2", certs::Role::Manager));
  sim.start(host, other);
  for (int i = 0; i < 1000; ++i) {
    wire::Suggestion invented{certs::Role::Registry, "x" + std::to_string(i), "nowhere", 9, {}, false};
    invented.transport_key.bytes[0] = static_cast<std::uint8_t>(i);
    invented.transport_key.bytes[1] = static_cast<std::uint8_t>(i >> 8);
    invented.transport_key.bytes[2] = 1;
    sim.feed(host, wire::Discovered{invented});
  }
  sim.run_for(1s);
  EXPECT_LE(other.watcher().registries_known(), Registries::suggested_max);
  sim.feed(host, wire::Discovered{{certs::Role::Registry, "r", targets[0].host, targets[0].control_port,
                                   targets[0].transport_key, false}});
  EXPECT_TRUE(sim.run_until([&] { return other.watcher().nodes().size() == 3; }, 3s));
}

// ---- a registry that lies
// --------------------------------------------------------------------------------------------

class Lying : public ::testing::Test {
 protected:
  void SetUp() override {
    wire::Target target;
    target.transport_key.bytes[0] = 7;
    watcher = std::make_unique<Watcher>(std::vector{target});
    const auto dialled = watcher->advance(now);
    ASSERT_EQ(dialled.size(), 1u);
    registry.id = 1;
    registry.dial = std::get<wire::Connect>(dialled[0]).dial;
    EXPECT_TRUE(watcher->owns(registry.dial));
    const auto asked = watcher->handle(now, wire::PeerUp{registry});
    ASSERT_EQ(asked.size(), 1u);
    EXPECT_TRUE(std::holds_alternative<wire::Watch>(std::get<wire::Send>(asked[0]).message));
    content = test::idle_node(8, 1e9, 5);
    content.node = node.member();
    content.name = "node1";
    content.signing_key = node.certificate().signing_key;
    content.sequence = 3;
  }
  void tell(wire::Message message) { watcher->handle(now, wire::Received{registry, std::move(message)}); }
  wire::Listing listing(const wire::Advert& advert, const certs::Identity& signer,
                        std::chrono::milliseconds remaining = 3000ms) {
    return {signer.signed_record(certs::kinds::advert, wire::encode_body(advert)), remaining};
  }

  test::Members members;
  const certs::Identity& node = members.get("node1", certs::Role::Node);
  const certs::Identity& other = members.get("node2", certs::Role::Node);
  wire::Now now{Instant(1h), WallTime{1'790'000'000'000}};
  wire::Peer registry;
  wire::Advert content;
  std::unique_ptr<Watcher> watcher;
};

TEST_F(Lying, AlteredAndForgedAdvertsAreNotListed) {
  auto altered = listing(content, node);
  altered.advert.body[40] ^= 1;
  tell(wire::Changed{altered});
  tell(wire::Changed{listing(content, other)});  // signed by someone else
  wire::Advert stolen = content;
  stolen.signing_key = other.certificate().signing_key;  // another key under that node's id
  tell(wire::Changed{listing(stolen, other)});
  auto ticket = listing(content, node);
  ticket.advert.kind = certs::kinds::ticket;
  tell(wire::Changed{ticket});
  EXPECT_TRUE(watcher->nodes().empty());
  tell(wire::Changed{listing(content, node)});
  EXPECT_EQ(watcher->nodes().size(), 1u);
}

TEST_F(Lying, AnOldAdvertDoesNotReplaceANewerOne) {
  tell(wire::Changed{listing(content, node)});
  wire::Advert old = content;
  old.sequence = 2;
  old.cores_free = 1;
  tell(wire::Changed{listing(old, node)});
  old.boot = 4;
  old.sequence = 9;
  tell(wire::Snapshot{{listing(old, node)}, true});
  ASSERT_EQ(watcher->nodes().size(), 1u);
  EXPECT_EQ(watcher->nodes()[0].advert.cores_free, 8u);
  EXPECT_EQ(watcher->nodes()[0].advert.boot, 5u);
}

TEST_F(Lying, RemainingLeaseIsCountedFromHearingAndIsBounded) {
  tell(wire::Changed{listing(content, node, 400ms)});
  now.instant += 399ms;
  watcher->advance(now);
  EXPECT_EQ(watcher->nodes().size(), 1u);
  EXPECT_EQ(watcher->next_deadline(), now.instant + 1ms);
  now.instant += 1ms;
  watcher->advance(now);
  EXPECT_TRUE(watcher->nodes().empty());
  tell(wire::Changed{listing(content, node, std::chrono::hours(24 * 365))});
  now.instant += 60s;
  watcher->advance(now);
  EXPECT_TRUE(watcher->nodes().empty());
}

TEST_F(Lying, LossOfAnEarlierBootOrOfAStrangerIsIgnored) {
  tell(wire::Changed{listing(content, node)});
  tell(wire::Lost{node.member(), 4, "lease"});
  tell(wire::Lost{other.member(), 9, "lease"});
  EXPECT_EQ(watcher->nodes().size(), 1u);
  tell(wire::Lost{node.member(), 5, "lease"});
  EXPECT_TRUE(watcher->nodes().empty());
}

TEST_F(Lying, PeersThatAreNoRegistryAreNotHeard) {
  wire::Peer stranger;
  stranger.id = 99;
  watcher->handle(now, wire::Received{stranger, wire::Changed{listing(content, node)}});
  EXPECT_TRUE(watcher->nodes().empty());
}

}  // namespace

}  // namespace tomogrid::registry
