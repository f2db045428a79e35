#include "manager/manager.h"

#include <gtest/gtest.h>

#include "base/text.h"
#include "registry/registry.h"
#include "support/sim.h"
#include "support/sim_members.h"

namespace tomogrid::manager {

namespace {

using namespace std::chrono_literals;
using test::AnnouncingNode;
using test::AskingClient;
using test::place_request;
using test::Sim;

// A registry, three nodes of 4, 8 and 16 cores, one manager and two clients.
class Federation {
 public:
  explicit Federation(std::uint64_t seed = 1, ManagerOptions options = {},
                      std::vector<std::uint32_t> cores = {4, 8, 16})
      : sim(seed) {
    registry_host = sim.add("registry1", members.get("registry1", certs::Role::Registry));
    sim.start(registry_host, registry);
    targets = {sim.target(registry_host, certs::Role::Registry)};
    for (std::size_t i = 0; i < cores.size(); ++i) {
      const std::string name = "node" + std::to_string(i + 1);
      const certs::Identity& identity = members.get(name, certs::Role::Node);
      node_hosts.push_back(sim.add(name, identity));
      ids.push_back(identity.member());
      wire::Advert content = test::idle_node(cores[i], 1e9);
      content.routes = {sim.route(node_hosts.back())};
      nodes.push_back(std::make_unique<AnnouncingNode>(identity, targets, content));
      sim.start(node_hosts.back(), *nodes.back());
    }
    options.registries = targets;
    manager_host = sim.add("manager1", members.get("manager1", certs::Role::Manager));
    manager = std::make_unique<Manager>(members.get("manager1", certs::Role::Manager), options);
    sim.start(manager_host, *manager);
    add_client("alice", certs::Role::Clinician);
    add_client("bob", certs::Role::Researcher);
    sim.run_until([&] { return manager->nodes_met() == nodes.size(); }, 5s);
    sim.run_for(100ms);
  }
  std::size_t add_client(const std::string& name, certs::Roles roles, Sim::Host at_manager = SIZE_MAX) {
    client_hosts.push_back(sim.add(name, members.get(name, roles)));
    clients.push_back(std::make_unique<AskingClient>(
        sim.target(at_manager == SIZE_MAX ? manager_host : at_manager, certs::Role::Manager)));
    sim.start(client_hosts.back(), *clients.back());
    return clients.size() - 1;
  }
  void ask(std::size_t client, const wire::Place& place) {
    sim.perform_effects(client_hosts[client], clients[client]->place(place));
  }
  void cancel(std::size_t client, std::uint64_t number) {
    sim.perform_effects(client_hosts[client], clients[client]->cancel(test::id_of<job::RequestId>(number)));
  }
  const wire::Placed* answer(std::size_t client, std::uint64_t number, Duration limit = 1s) {
    const auto request = test::id_of<job::RequestId>(number);
    sim.run_until([&] { return clients[client]->placed().contains(request); }, limit);
    const auto found = clients[client]->placed().find(request);
    return found == clients[client]->placed().end() ? nullptr : &found->second;
  }
  certs::MemberId winner(const wire::Placed& placed) const {
    return wire::decode_ticket(placed.ticket.body).or_throw().node;
  }
  void set_free(std::size_t node, std::uint32_t cores) {
    nodes[node]->content().cores_free = cores;
    sim.perform_effects(node_hosts[node], nodes[node]->publish(sim.now()));
  }

  test::Members members;
  Sim sim;
  registry::Registry registry;
  Sim::Host registry_host = 0, manager_host = 0;
  std::vector<Sim::Host> node_hosts, client_hosts;
  std::vector<certs::MemberId> ids;
  std::vector<wire::Target> targets;
  std::vector<std::unique_ptr<AnnouncingNode>> nodes;
  std::unique_ptr<Manager> manager;
  std::vector<std::unique_ptr<AskingClient>> clients;
};

TEST(Manager, PlacesOnTheLargestTellsTheNodeAndSignsWhatItSays) {
  Federation f;
  f.ask(0, place_request(1, 1, 6));
  const wire::Placed* placed = f.answer(0, 1);
  ASSERT_NE(placed, nullptr);
  const auto& key = f.members.get("manager1", certs::Role::Manager).certificate().signing_key;
  ASSERT_TRUE(certs::verify(placed->ticket, certs::kinds::ticket, key));
  const auto ticket = wire::decode_ticket(placed->ticket.body).or_throw();
  EXPECT_EQ(ticket.node, f.ids[2]);
  EXPECT_EQ(ticket.boot, 1u);
  EXPECT_EQ(ticket.client, f.members.get("alice", certs::Role::Clinician).member());
  EXPECT_EQ(ticket.job, place_request(1).job);
  EXPECT_EQ(ticket.grant, (job::Grant{6, gibibytes(1), mebibytes(256)}));
  EXPECT_EQ(ticket.ttl, 60s);
  const auto decision = check_decision(placed->decision, key);
  ASSERT_TRUE(decision) << decision.error().message;
  EXPECT_EQ(decision->winner, ticket.node);
  EXPECT_EQ(decision->place, place_request(1, 1, 6));
  EXPECT_EQ(registry::open_advert(placed->advert)->node, ticket.node);
  f.sim.run_for(50ms);
  ASSERT_EQ(f.nodes[2]->reserved().size(), 1u);
  EXPECT_EQ(f.nodes[2]->reserved().begin()->first, ticket.id);
}

TEST(Manager, AThousandPlacementsEachReleasedBeforeTheNextAllGoToTheLargest) {
  Federation f;
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    f.ask(0, place_request(i, 1, 4));
    const wire::Placed* placed = f.answer(0, i);
    ASSERT_NE(placed, nullptr) << i;
    ASSERT_EQ(f.winner(*placed), f.ids[2]) << i;
    f.cancel(0, i);
    // Released: the node says so in its next advert.
    ASSERT_TRUE(f.sim.run_until(
        [&] { return f.nodes[2]->reserved().empty() && f.manager->watcher().find(f.ids[2])->advert.cores_free == 16; },
        1s));
    f.sim.run_for(25ms);
  }
  EXPECT_TRUE(f.manager->holds().empty());
  const auto& key = f.members.get("manager1", certs::Role::Manager).certificate().signing_key;
  std::size_t replayed = 0;
  for (const auto& [row, body] : f.sim.disk(f.manager_host)) {
    if (row.first != "decision") continue;
    const auto bytes = from_hex(body);
    ASSERT_TRUE(bytes);
    const auto record = certs::decode_signed(*bytes).or_throw();
    const auto checked = check_decision(record, key);
    ASSERT_TRUE(checked) << checked.error().message;
    ++replayed;
  }
  EXPECT_EQ(replayed, 1000u);
}

TEST(Manager, WithHoldsKeptEachPickIsTheArgMaxAndNothingIsHeldTwice) {
  Federation f;
  std::map<certs::MemberId, std::uint32_t> left{{f.ids[0], 4}, {f.ids[1], 8}, {f.ids[2], 16}};
  for (std::uint64_t i = 1; i <= 28; ++i) f.ask(i % 2, place_request(i, 1, 1));  // at once: only holds can tell
  for (std::uint64_t i = 1; i <= 28; ++i) {
    const wire::Placed* placed = f.answer(i % 2, i);
    ASSERT_NE(placed, nullptr) << i;
  }
  std::vector<wire::DecisionRecord> decisions;
  for (const auto& [row, body] : f.sim.disk(f.manager_host)) {
    decisions.push_back(wire::decode_decision(certs::decode_signed(*from_hex(body)).or_throw().body).or_throw());
  }
  ASSERT_EQ(decisions.size(), 28u);
  for (const auto& decision : decisions) --left[*decision.winner];
  for (const auto& [node, cores] : left) EXPECT_EQ(cores, 0u);
  f.sim.run_for(100ms);
  EXPECT_EQ(f.nodes[0]->refused() + f.nodes[1]->refused() + f.nodes[2]->refused(), 0u);
  EXPECT_TRUE(f.manager->holds().empty()) << "every ticket is in its node's advert by now";
}

TEST(Manager, AfterAChangeTheNextGoesToTheNewLargestWithinAHundredMilliseconds) {
  Federation f;
  f.set_free(2, 2);
  f.sim.run_for(100ms);
  f.ask(0, place_request(1, 1, 1));
  EXPECT_EQ(f.winner(*f.answer(0, 1)), f.ids[1]);
}

TEST(Manager, BusyWaitsWithItsPositionAndIsPlacedWhenRoomComes) {
  Federation f;
  for (std::size_t i = 0; i < 3; ++i) f.set_free(i, 0);
  f.sim.run_for(100ms);
  for (std::uint64_t i = 1; i <= 3; ++i) f.ask(0, place_request(i, 1, 1));
  f.sim.run_for(3s);
  EXPECT_EQ(f.manager->pending(), 3u);
  const auto& waiting = f.clients[0]->waiting();
  for (std::uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(waiting.at(test::id_of<job::RequestId>(i)).position, i);
  EXPECT_EQ(waiting.begin()->second.reason, "of 3 nodes 3 have too few cores");
  f.set_free(1, 1);
  ASSERT_NE(f.answer(0, 1), nullptr);
  EXPECT_EQ(f.manager->pending(), 2u);
  f.sim.run_for(2s);
  EXPECT_EQ(f.clients[0]->waiting().at(test::id_of<job::RequestId>(2)).position, 1u);
}

TEST(Manager, MembersTakeTurns) {
  Federation f;
  for (std::size_t i = 0; i < 3; ++i) f.set_free(i, 0);
  f.sim.run_for(100ms);
  for (std::uint64_t i = 1; i <= 20; ++i) f.ask(0, place_request(i, 1, 1));
  f.sim.run_for(50ms);
  f.ask(1, place_request(100, 1, 1));
  f.sim.run_for(2s);
  EXPECT_EQ(f.clients[1]->waiting().at(test::id_of<job::RequestId>(100)).position, 2u)
      << "after one of alice's, not after twenty";
  f.set_free(0, 2);
  EXPECT_NE(f.answer(0, 1), nullptr);
  EXPECT_NE(f.answer(1, 100), nullptr);
  EXPECT_EQ(f.manager->pending(), 19u);
}

TEST(Manager, ASmallRequestOvertakesOnlyForAWhile) {
  Federation f(1, {}, {4, 4});
  f.set_free(0, 2);
  f.set_free(1, 2);
  f.sim.run_for(100ms);
  f.ask(0, place_request(1, 4, 4));
  f.sim.run_for(1s);
  f.ask(1, place_request(2, 1, 1));
  EXPECT_NE(f.answer(1, 2), nullptr) << "overtakes: the large one fits nowhere";
  f.sim.run_for(31s);
  f.ask(1, place_request(3, 1, 1));
  f.sim.run_for(2s);
  EXPECT_FALSE(f.clients[1]->placed().contains(test::id_of<job::RequestId>(3)))
      << "the nodes are kept for the large one now";
  EXPECT_EQ(f.clients[1]->waiting().at(test::id_of<job::RequestId>(3)).reason,
            "of 2 nodes 2 are kept for an earlier request");
  f.set_free(1, 4);
  ASSERT_NE(f.answer(0, 1), nullptr);
  EXPECT_NE(f.answer(1, 3), nullptr);
}

TEST(Manager, UnplaceableOnlyOnceTheListingHasSettledAndWithASignedReason) {
  Federation f;
  wire::Place place = place_request(1);
  place.service = {"recon.spect", 9};
  f.ask(0, place);
  f.sim.run_for(1s);
  EXPECT_TRUE(f.clients[0]->unplaceable().empty());
  f.sim.run_for(6s);
  ASSERT_EQ(f.clients[0]->unplaceable().size(), 1u);
  const auto& never = f.clients[0]->unplaceable().begin()->second;
  EXPECT_EQ(never.reason, "of 3 nodes 3 do not offer recon.spect/9");
  const auto decision =
      check_decision(never.decision, f.members.get("manager1", certs::Role::Manager).certificate().signing_key);
  ASSERT_TRUE(decision);
  EXPECT_FALSE(decision->winner);
  EXPECT_EQ(f.manager->pending(), 0u);
}

TEST(Manager, WithoutAnyNodeItWaits) {
  Federation f(1, {}, {});
  f.ask(0, place_request(1));
  f.sim.run_for(20s);
  EXPECT_EQ(f.manager->pending(), 1u);
  EXPECT_EQ(f.clients[0]->waiting().begin()->second.reason, "no node is listed");
}

TEST(Manager, TheSameRequestAskedAgainGetsTheSameAnswerAndHoldsOnce) {
  Federation f;
  f.ask(0, place_request(1, 1, 2));
  const wire::Placed first = *f.answer(0, 1);
  f.sim.reset(f.client_hosts[0], f.manager_host);
  f.sim.run_for(1s);
  std::size_t answers = 0;
  f.sim.on_message = [&](Sim::Host, Sim::Host to, const wire::Message& message) {
    if (to != f.client_hosts[0]) return;
    if (const auto* placed = std::get_if<wire::Placed>(&message)) {
      ++answers;
      EXPECT_EQ(*placed, first);
    }
  };
  f.ask(0, place_request(1, 1, 2));
  f.sim.run_for(100ms);
  EXPECT_EQ(answers, 1u);
  EXPECT_EQ(f.nodes[2]->reserved().size(), 1u);
}

TEST(Manager, AWaitingClientThatIsCutKeepsItsPlaceForAWhile) {
  Federation f;
  for (std::size_t i = 0; i < 3; ++i) f.set_free(i, 0);
  f.sim.run_for(100ms);
  f.ask(0, place_request(1, 1, 1));
  f.sim.run_for(50ms);
  f.ask(1, place_request(2, 1, 1));
  f.sim.run_for(1s);
  f.sim.reset(f.client_hosts[0], f.manager_host);  // the client dials again and asks again
  f.sim.run_for(2s);
  EXPECT_EQ(f.clients[0]->waiting().begin()->second.position, 1u);
  f.sim.crash(f.client_hosts[0]);
  f.sim.run_for(5s);
  EXPECT_EQ(f.manager->pending(), 2u);
  f.set_free(0, 1);
  ASSERT_NE(f.answer(1, 2), nullptr) << "whoever is away is not placed";
  f.sim.run_for(10s);
  EXPECT_EQ(f.manager->pending(), 0u);
}

TEST(Manager, CancellingReleasesAtTheNode) {
  Federation f;
  f.ask(0, place_request(1, 1, 2));
  ASSERT_NE(f.answer(0, 1), nullptr);
  f.sim.run_for(100ms);
  EXPECT_EQ(f.nodes[2]->reserved().size(), 1u);
  f.cancel(0, 1);
  f.sim.run_for(100ms);
  EXPECT_TRUE(f.nodes[2]->reserved().empty());
  for (std::size_t i = 0; i < 3; ++i) f.set_free(i, 0);
  f.sim.run_for(100ms);
  f.ask(0, place_request(2));
  f.sim.run_for(100ms);
  f.cancel(0, 2);
  f.sim.run_for(100ms);
  EXPECT_EQ(f.manager->pending(), 0u);
}

TEST(Manager, AHoldEndsWithItsTicketWhenTheNodeNeverListsIt) {
  Federation f;
  f.sim.perform_effects(f.node_hosts[2], {});
  f.sim.isolate(f.node_hosts[2]);  // still listed for a lease, and its session looks alive for 1.5 s
  f.ask(0, place_request(1, 1, 2));
  const wire::Placed* placed = f.answer(0, 1);
  ASSERT_NE(placed, nullptr);
  ASSERT_EQ(f.winner(*placed), f.ids[2]);
  EXPECT_EQ(f.manager->holds().at(f.ids[2]).cores, 2u);
  f.sim.run_for(59s);
  EXPECT_EQ(f.manager->holds().size(), 1u);
  f.sim.run_for(2s);
  EXPECT_TRUE(f.manager->holds().empty());
}

TEST(Manager, ANodeThatWasCutHearsOfItsReservationWhenItIsBack) {
  Federation f;
  f.sim.cut(f.node_hosts[2], f.manager_host);
  f.ask(0, place_request(1, 1, 2));
  ASSERT_EQ(f.winner(*f.answer(0, 1)), f.ids[2]);
  f.sim.run_for(5s);  // the session has ended; the node is still listed
  EXPECT_TRUE(f.nodes[2]->reserved().empty());
  f.ask(0, place_request(2, 1, 1));
  EXPECT_EQ(f.winner(*f.answer(0, 2)), f.ids[1]) << "a node it has no session with is not taken";
  f.sim.mend(f.node_hosts[2], f.manager_host);
  f.sim.run_for(5s);
  EXPECT_EQ(f.nodes[2]->reserved().size(), 1u);
}

TEST(Manager, ARefusedReservationIsHeldUntilTheNodeSaysNewFigures) {
  Federation f;
  f.nodes[2]->content().cores_free = 1;  // the node knows better than its advert
  f.ask(0, place_request(1, 2, 4));
  ASSERT_EQ(f.winner(*f.answer(0, 1)), f.ids[2]);
  f.sim.run_for(100ms);
  EXPECT_EQ(f.nodes[2]->refused(), 1u);
  EXPECT_EQ(f.manager->holds().at(f.ids[2]).cores, 4u);
  f.set_free(2, 1);
  f.sim.run_for(100ms);
  EXPECT_TRUE(f.manager->holds().empty());
}

TEST(Manager, ARestartedNodeVoidsItsTickets) {
  Federation f;
  f.sim.cut(f.node_hosts[2], f.registry_host);  // its advert will not list the ticket
  f.ask(0, place_request(1, 1, 2));
  ASSERT_EQ(f.winner(*f.answer(0, 1)), f.ids[2]);
  EXPECT_EQ(f.manager->holds().size(), 1u);
  f.sim.crash(f.node_hosts[2]);
  f.sim.mend(f.node_hosts[2], f.registry_host);
  wire::Advert content = test::idle_node(16, 1e9, 2);
  content.routes = {f.sim.route(f.node_hosts[2])};
  AnnouncingNode again(f.members.get("node3", certs::Role::Node), f.targets, content);
  f.sim.start(f.node_hosts[2], again);
  f.sim.run_for(1s);
  EXPECT_TRUE(f.manager->holds().empty());
  f.sim.run_for(3s);
  f.sim.crash(f.node_hosts[2]);
}

TEST(Manager, TwoManagersAtOnceOvercommitNothingBecauseTheNodeHasTheLastWord) {
  Federation f;
  ManagerOptions options;
  options.registries = f.targets;
  const auto host = f.sim.add("manager2", f.members.get("manager2", certs::Role::Manager));
  Manager second(f.members.get("manager2", certs::Role::Manager), options);
  f.sim.start(host, second);
  f.sim.run_until([&] { return second.nodes_met() == 3; }, 5s);
  const std::size_t carol = f.add_client("carol", certs::Role::Clinician, host);
  f.sim.run_for(1s);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    f.ask(0, place_request(i, 2, 2));
    f.ask(carol, place_request(100 + i, 2, 2));
    f.sim.run_for(3ms);
  }
  f.sim.run_for(5s);
  std::uint32_t reserved = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    std::uint32_t cores = 0;
    for (const auto& [id, ticket] : f.nodes[i]->reserved()) cores += ticket.grant.cores;
    EXPECT_LE(cores, f.nodes[i]->content().cores_total);
    reserved += cores;
  }
  EXPECT_EQ(reserved, 28u) << "and everything is used";
  EXPECT_EQ(f.manager->holds(), second.holds());
}

TEST(Manager, OnlyThoseWhoMayPlaceAreAnswered) {
  Federation f;
  const std::size_t admin = f.add_client("root", certs::Role::Admin);
  f.sim.run_for(1s);
  bool audited = false;
  f.sim.on_report = [&](Sim::Host, const wire::Report& report) {
    audited = audited || (report.audit && report.event == "place");
  };
  f.ask(admin, place_request(1));
  f.sim.run_for(1s);
  EXPECT_TRUE(f.clients[admin]->placed().empty());
  EXPECT_TRUE(audited);
  EXPECT_EQ(f.manager->pending(), 0u);
}

TEST(Manager, QueueAndHoldsAreBoundedPerMember) {
  ManagerOptions options;
  options.queue_per_member_max = 5;
  options.held_per_member_max = 2;
  Federation f(1, options, {64});
  for (std::uint64_t i = 1; i <= 7; ++i) f.ask(0, place_request(i, 1, 1));
  f.ask(1, place_request(100, 1, 1));
  ASSERT_NE(f.answer(1, 100), nullptr) << "another member is not held up";
  f.sim.run_for(5s);
  EXPECT_EQ(f.clients[0]->placed().size() + f.clients[0]->unplaceable().size(), 7u)
      << "tickets in the node's advert count no more";
}

TEST(Manager, WhenTheJournalFailsNobodyIsAnsweredAndNothingIsHeldUntilItWorksAgain) {
  Federation f;
  f.sim.fail_storage(f.manager_host, true);
  f.ask(0, place_request(1, 1, 2));
  f.sim.run_for(5s);
  EXPECT_TRUE(f.clients[0]->placed().empty());
  EXPECT_TRUE(f.manager->holds().empty());
  EXPECT_TRUE(f.nodes[2]->reserved().empty());
  f.sim.fail_storage(f.manager_host, false);
  ASSERT_NE(f.answer(0, 1, 2s), nullptr);
  f.sim.run_for(100ms);
  EXPECT_EQ(f.nodes[2]->reserved().size(), 1u);
}

TEST(Manager, ALostRegistryDoesNotStopPlacement) {
  Federation f;
  f.sim.crash(f.registry_host);
  f.sim.run_for(1s);
  f.ask(0, place_request(1, 1, 1));
  EXPECT_NE(f.answer(0, 1), nullptr) << "within a lease of the last pulse";
  f.sim.run_for(5s);
  f.ask(0, place_request(2, 1, 1));
  f.sim.run_for(2s);
  EXPECT_EQ(f.clients[0]->waiting().at(test::id_of<job::RequestId>(2)).reason, "no registry can be reached yet");
  registry::Registry again;
  f.sim.start(f.registry_host, again);
  EXPECT_NE(f.answer(0, 2, 10s), nullptr) << "and it goes on when a registry is back";
  f.sim.crash(f.registry_host);
}

TEST(Manager, AnInventedNodeIsNeverTaken) {
  Federation f;
  // Listed by a registry, signed by its own key, and with more FLOPs than anyone; but nobody with a certificate answers
  // there.
  const certs::Identity& invented = f.members.get("giant", certs::Role::Node);
  wire::Advert content = test::idle_node(10'000, 1e12);
  content.routes = {f.sim.route(f.node_hosts[0])};
  AnnouncingNode giant(invented, f.targets, content);
  const auto host = f.sim.add("giant", invented);
  f.sim.cut(host, f.manager_host);
  f.sim.start(host, giant);
  ASSERT_TRUE(f.sim.run_until([&] { return f.manager->watcher().nodes().size() == 4; }, 5s));
  f.sim.run_for(1s);
  f.ask(0, place_request(1, 1, 1));
  const wire::Placed* placed = f.answer(0, 1);
  ASSERT_NE(placed, nullptr);
  EXPECT_EQ(f.winner(*placed), f.ids[2]);
  EXPECT_EQ(wire::decode_decision(placed->decision.body)->candidates.back().rejection, "unreachable");
}

// The longest advert and the most candidates still fit one frame.
TEST(Manager, ALargeDecisionFitsAFrame) {
  Federation f(1, {}, std::vector<std::uint32_t>(220, 4));
  auto& content = f.nodes[0]->content();
  content.cores_free = content.cores_total = 64;
  for (std::size_t i = 0; i < wire::kRecentTicketsMax; ++i)
    content.recent_tickets.push_back(test::id_of<job::TicketId>(i));
  for (std::size_t i = 1; i < wire::kServicesMax; ++i)
    content.services.push_back({std::string(63, 'a' + static_cast<char>(i % 26)), 1});
  for (std::size_t i = 0; i < wire::kLabelsMax; ++i)
    content.labels.push_back(std::string(64, 'a' + static_cast<char>(i)));
  f.sim.perform_effects(f.node_hosts[0], f.nodes[0]->publish(f.sim.now()));
  f.sim.run_for(1s);
  ASSERT_EQ(f.manager->nodes_met(), 220u);
  wire::Place place = place_request(1);
  for (std::uint8_t i = 0; i < wire::kExcludedMax; ++i) {
    place.excluded.emplace_back();
    place.excluded.back().bytes[5] = i;
  }
  f.ask(0, place);
  const wire::Placed* placed = f.answer(0, 1);  // the simulation refuses to send what does not fit
  ASSERT_NE(placed, nullptr);
  const auto decision =
      check_decision(placed->decision, f.members.get("manager1", certs::Role::Manager).certificate().signing_key);
  ASSERT_TRUE(decision);
  EXPECT_EQ(decision->candidates.size() + decision->candidates_left_out, 220u);
}

// Loads, cuts and crashes from a seed; in the end everyone is answered, nothing is over capacity, and every decision
// replays.
TEST(Manager, RandomLifeKeepsItsPromises) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    Federation f(seed);
    auto& random = f.sim.random();
    std::uint64_t asked = 0;
    std::vector<std::unique_ptr<AnnouncingNode>> earlier;
    for (int step = 0; step < 120; ++step) {
      const std::size_t node = random() % 3;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
          f.ask(random() % 2, place_request(++asked, 1 + static_cast<std::uint32_t>(random() % 4), 4));
          break;
        case 3:
          if (!f.nodes[node]->reserved().empty() && f.sim.running(f.node_hosts[node])) {
            const auto ticket = f.nodes[node]->reserved().begin()->first;
            f.sim.perform_effects(f.node_hosts[node], f.nodes[node]->give_back(f.sim.now(), ticket));
          }
          break;
        case 4:
          f.sim.cut(f.node_hosts[node], f.manager_host);
          break;
        case 5:
          f.sim.rejoin(f.node_hosts[node]);
          break;
        case 6:
          f.sim.reset(f.client_hosts[random() % 2], f.manager_host);
          break;
        default: {
          f.sim.crash(f.node_hosts[node]);
          wire::Advert content = f.nodes[node]->content();
          content.boot += 1;
          content.cores_free = content.cores_total;
          content.recent_tickets.clear();
          earlier.push_back(std::move(f.nodes[node]));
          f.nodes[node] = std::make_unique<AnnouncingNode>(
              f.members.get("node" + std::to_string(node + 1), certs::Role::Node), f.targets, content);
          f.sim.start(f.node_hosts[node], *f.nodes[node]);
        }
      }
      f.sim.run_for(std::chrono::milliseconds(random() % 400));
      for (const auto& each : f.nodes) {
        std::uint32_t cores = 0;
        for (const auto& [id, ticket] : each->reserved()) cores += ticket.grant.cores;
        ASSERT_LE(cores, each->content().cores_total) << "seed " << seed;
      }
    }
    for (std::size_t i = 0; i < 3; ++i) f.sim.rejoin(f.node_hosts[i]);
    // Jobs end, one after the other, until nobody waits.
    const bool all = f.sim.run_until(
        [&] {
          for (std::size_t i = 0; i < 3; ++i) {
            if (f.nodes[i]->reserved().empty()) continue;
            const auto ticket = f.nodes[i]->reserved().begin()->first;
            f.sim.perform_effects(f.node_hosts[i], f.nodes[i]->give_back(f.sim.now(), ticket));
          }
          return f.clients[0]->placed().size() + f.clients[1]->placed().size() == asked;
        },
        300s);
    EXPECT_TRUE(all) << "seed " << seed << ": " << asked << " asked, " << f.manager->pending() << " pending";
    EXPECT_TRUE(f.clients[0]->unplaceable().empty() && f.clients[1]->unplaceable().empty()) << "seed " << seed;
    f.sim.run_for(61s);
    EXPECT_TRUE(f.manager->holds().empty()) << "seed " << seed;
    const auto& key = f.members.get("manager1", certs::Role::Manager).certificate().signing_key;
    for (const auto& [row, body] : f.sim.disk(f.manager_host)) {
      ASSERT_TRUE(check_decision(certs::decode_signed(*from_hex(body)).or_throw(), key)) << "seed " << seed;
    }
  }
}

}  // namespace

}  // namespace tomogrid::manager
