// How many placements a second: the pure decision over N nodes, and a whole manager in process (request in, ticket,
// signed decision and reservation out, hold kept until released), without a network. Limits: two Ed25519 signatures
// (about 25 us each) a placement.
#include <benchmark/benchmark.h>

#include <deque>

#include "manager/manager.h"
#include "manager/placement.h"
#include "support/sim_members.h"

namespace tomogrid {

namespace {

using namespace std::chrono_literals;

std::vector<registry::NodeView> views(std::int64_t count) {
  std::vector<registry::NodeView> nodes;
  for (std::int64_t i = 0; i < count; ++i) {
    registry::NodeView node;
    node.advert = test::idle_node(64, 1e9 * static_cast<double>(1 + i % 7));
    node.advert.node.bytes[0] = static_cast<std::uint8_t>(i >> 8);
    node.advert.node.bytes[1] = static_cast<std::uint8_t>(i);
    node.advert.cores_free = static_cast<std::uint32_t>(1 + i * 37 % 64);
    nodes.push_back(std::move(node));
  }
  return nodes;
}

void decide(benchmark::State& state) {
  const auto nodes = views(state.range(0));
  const wire::Now now{Instant(1h), WallTime{1'790'000'000'000}};
  std::uint64_t number = 0;
  for (auto _ : state) {
    const wire::Place request = test::place_request(++number, 1, 4);
    benchmark::DoNotOptimize(manager::place({request, {}, {}, now}, nodes));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(decide)->Arg(3)->Arg(30)->Arg(200)->Arg(1000)->Unit(benchmark::kMicrosecond);

// A manager spoken to by hand: one registry tells it of N nodes, every node's session stands.
class Spoken {
 public:
  explicit Spoken(std::int64_t count) : manager(members.get("manager1", certs::Role::Manager), options()) {
    std::deque<wire::Effect> todo;
    const auto take = [&todo](wire::Effects effects) {
      std::move(effects.begin(), effects.end(), std::back_inserter(todo));
    };
    take(manager.handle(now, wire::Entropy{}));
    std::vector<wire::Listing> listings;
    for (std::int64_t i = 0; i < count; ++i) {
      const certs::Identity& identity = members.get("node" + std::to_string(i), certs::Role::Node);
      wire::Advert advert = test::idle_node(64, 1e9 * static_cast<double>(1 + i % 7));
      advert.node = identity.member();
      advert.name = identity.name();
      advert.signing_key = identity.certificate().signing_key;
      advert.transport_key = identity.transport_key();
      advert.sequence = 1;
      listings.push_back({identity.signed_record(certs::kinds::advert, wire::encode_body(advert)), 60s});
    }
    while (!todo.empty()) {
      const wire::Effect effect = std::move(todo.front());
      todo.pop_front();
      if (const auto* connect = std::get_if<wire::Connect>(&effect)) {
        wire::Peer peer;
        peer.id = ++peers;
        peer.dial = connect->dial;
        if (connect->target.member) peer.member = *connect->target.member;
        take(manager.handle(now, wire::PeerUp{peer}));
        if (connect->target.role == certs::Role::Registry) {
          for (auto& part : wire::split_snapshot(listings))
            take(manager.handle(now, wire::Received{peer, std::move(part)}));
        }
      }
    }
    client.id = ++peers;
    const certs::Identity& alice = members.get("alice", certs::Role::Clinician);
    client.member = alice.member();
    client.roles = alice.roles();
  }
  static manager::ManagerOptions options() {
    manager::ManagerOptions made;
    made.registries.emplace_back();
    made.registries.back().role = certs::Role::Registry;
    return made;
  }
  test::Members members;
  wire::Now now{Instant(1h), WallTime{1'790'000'000'000}};
  wire::PeerId peers = 0;
  wire::Peer client;
  manager::Manager manager;
};

void whole_manager(benchmark::State& state) {
  Spoken spoken(state.range(0));
  if (spoken.manager.nodes_met() != static_cast<std::size_t>(state.range(0)))
    return state.SkipWithError("the nodes are not met");
  std::uint64_t number = 0;
  for (auto _ : state) {
    const wire::Place request = test::place_request(++number, 1, 4);
    spoken.manager.handle(spoken.now, wire::Received{spoken.client, request});
    const auto effects = spoken.manager.advance(spoken.now);
    if (effects.size() != 4) return state.SkipWithError("not placed");  // row, report, reservation, answer
    spoken.manager.handle(spoken.now, wire::Received{spoken.client, wire::CancelPlace{request.request}});
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(whole_manager)->Arg(3)->Arg(30)->Arg(200)->Unit(benchmark::kMicrosecond);

}  // namespace

}  // namespace tomogrid

BENCHMARK_MAIN();
