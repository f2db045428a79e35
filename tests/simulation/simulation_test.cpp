// The whole federation, many seeds: jobs are submitted while everything that can break breaks; then the faults end, and
// every job must have come to an end that its user heard of, with a result of its own input or none.
#include <gtest/gtest.h>

#include <map>

#include "certs/content_hash.h"
#include "client/client.h"
#include "job/service.h"
#include "manager/manager.h"
#include "node/node.h"
#include "registry/registry.h"
#include "simulation/world.h"

namespace tomogrid::simulation {
namespace {

using namespace std::chrono_literals;

constexpr const char* kService = R"({"name": "recon.spect", "version": 1, "command": ["worker"], "input": "streamed",
  "parameters": [{"name": "iterations", "type": "integer", "min": 1, "max": 100, "default": 10}],
  "inputs": [{"name": "projections.json", "max_bytes": 100000}, {"name": "projections.f32", "max_bytes": 100000000}],
  "outputs": [{"name": "volume.json", "max_bytes": 1000000}, {"name": "volume.f32", "max_bytes": 1000000}]})";

job::ServiceDescriptor service() { return job::parse_service(kService).value(); }

// One user's job, as the user sees it.
struct Asked {
  client::JobRequest request;
  std::optional<job::JobId> id;
  std::optional<Error> error;
  bool delivered = false, ended = false;
  int verified = 0;
};

class Federation {
 public:
  Federation(std::uint64_t seed, std::size_t registries, std::size_t managers, std::size_t nodes, std::size_t clients) : world(seed) {
    for (std::size_t i = 0; i < registries; ++i) {
      registry_members.push_back(world.add("registry" + std::to_string(i), certs::Role::Registry,
                                           [](World&, Index) { return std::make_unique<registry::Registry>(); }));
    }
    std::vector<wire::Target> registry_targets;
    for (const Index i : registry_members) registry_targets.push_back(world.target(i, certs::Role::Registry));
    for (std::size_t i = 0; i < managers; ++i) {
      manager_members.push_back(world.add("manager" + std::to_string(i), certs::Role::Manager, [registry_targets](World& w, Index self) {
        return std::make_unique<manager::Manager>(*w.member(self).identity, manager::ManagerOptions{.registries = registry_targets});
      }));
    }
    std::vector<wire::Target> manager_targets;
    for (const Index i : manager_members) manager_targets.push_back(world.target(i, certs::Role::Manager));
    for (std::size_t i = 0; i < nodes; ++i) {
      node_members.push_back(world.add("node" + std::to_string(i), certs::Role::Node, [registry_targets, i](World& w, Index self) {
        node::NodeOptions options;
        options.boot = w.member(self).life;
        options.rate_per_core = FlopRate(1e9 * static_cast<double>(i + 1));
        options.registries = registry_targets;
        auto machine = std::make_unique<node::Node>(*w.member(self).identity, std::vector{service()}, options);
        const wire::Target here = w.target(self, certs::Role::Node);
        machine->set_routes({{"direct", here.host, here.control_port}});
        return machine;
      }));
      world.member(node_members.back()).cores = static_cast<std::uint32_t>(1 + i);
    }
    for (std::size_t i = 0; i < clients; ++i) {
      const Index who = world.add("client" + std::to_string(i), certs::Role::Clinician, [registry_targets, manager_targets](World& w, Index self) {
        client::ClientOptions options;
        options.registries = registry_targets;
        options.managers = manager_targets;
        return std::make_unique<client::Client>(*w.member(self).identity, options);
      });
      client_members.push_back(who);
      world.member(who).after_call = [this](World&, Index self) { read_updates(self); };
    }
    world.on_worker = [this](Index who, const wire::StartWorker& effect) { check_capacity(who, effect); };
  }

  void start() {
    for (Index i = 0; i < world.size(); ++i) world.start(i);
  }

  // Asks as `who`, with a scan of its own.
  Asked& submit(Index who, std::uint64_t scan) {
    Asked asked;
    asked.request.service = {"recon.spect", 1};
    asked.request.parameters = {{"iterations", static_cast<std::int64_t>(1 + scan % 20)}};
    asked.request.needs.memory = mebibytes(100);
    asked.request.needs.cores_max = 1 + static_cast<std::uint32_t>(scan % 2);
    for (const char* name : {"projections.json", "projections.f32"}) {
      const std::uint64_t length = name[12] == 'j' ? 500 : 200'000 + scan % 7 * 50'000;
      asked.request.inputs.push_back({name, Bytes(length), certs::sha256(bytes_of(name + std::to_string(scan)))});
    }
    asked.request.outputs_required = {"volume.json", "volume.f32"};
    asked_[who].push_back(asked);
    ask(who, asked_[who].back());
    return asked_[who].back();
  }

  // The user runs every command again whose client was killed or gave up without an answer for good.
  void run_again(Index who) {
    for (Asked& asked : asked_[who]) {
      if (asked.delivered || (asked.ended && !resumable_[&asked])) continue;
      asked.ended = false;
      asked.error.reset();
      ask(who, asked);
    }
  }

  bool all_ended() const {
    for (const auto& [who, list] : asked_) {
      for (const Asked& asked : list) {
        if (!asked.ended) return false;
      }
    }
    return true;
  }

  std::map<Index, std::deque<Asked>>& asked() { return asked_; }
  std::string story() const {
    std::string text;
    for (std::size_t i = world.reports.size() > 60 ? world.reports.size() - 60 : 0; i < world.reports.size(); ++i) text += world.reports[i] + "\n";
    for (std::size_t i = said_.size() > 60 ? said_.size() - 60 : 0; i < said_.size(); ++i) text += said_[i] + "\n";
    return text;
  }

  World world;
  std::vector<Index> registry_members, manager_members, node_members, client_members;
  std::size_t over_capacity = 0, wrong_results = 0;

 private:
  client::Client* machine(Index who) { return static_cast<client::Client*>(world.member(who).machine.get()); }

  void ask(Index who, Asked& asked) {
    if (!world.member(who).machine) return;
    submitting_ = &asked;
    const wire::Effects effects = machine(who)->submit(world.now(), asked.request);
    world.perform(who, effects);
    submitting_ = nullptr;
  }

  Asked* find(Index who, const job::JobId& id) {
    for (Asked& asked : asked_[who]) {
      if (asked.id == id) return &asked;
    }
    return nullptr;
  }

  void read_updates(Index who) {
    for (const client::Update& update : machine(who)->take_updates()) {
      if (const auto* started = std::get_if<client::Started>(&update)) {
        if (submitting_ != nullptr) submitting_->id = started->job;
      } else if (const auto* opened = std::get_if<client::AttemptOpened>(&update)) {
        lend(who, *opened);
      } else if (const auto* verified = std::get_if<client::ResultVerified>(&update)) {
        on_verified(who, *verified);
      } else if (const auto* said = std::get_if<client::Said>(&update)) {
        said_.push_back(world.member(who).name + " " + job::short_text(said->job) + " " + said->sentence);
      } else if (const auto* ended = std::get_if<client::Ended>(&update)) {
        if (Asked* asked = find(who, ended->job)) {
          asked->ended = true;
          asked->error = ended->error;
          asked->delivered = asked->delivered || !ended->error;
          resumable_[asked] = ended->resumable;
          if (ended->error) said_.push_back(world.member(who).name + " " + job::short_text(ended->job) + " ended: " + ended->error->message);
        }
      }
    }
  }

  void lend(Index who, const client::AttemptOpened& opened) {
    Asked* asked = find(who, opened.job);
    if (asked == nullptr) asked = submitting_;
    if (asked == nullptr) return;
    Member& member = world.member(who);
    for (const job::StreamFact& input : asked->request.inputs) {
      member.store[{{member.identity->member(), opened.stream_job}, "in/" + input.name}] = {input.length.count(), input.root, input.length.count(), input.root};
    }
  }

  void on_verified(Index who, const client::ResultVerified& verified) {
    Asked* asked = find(who, verified.job);
    ASSERT_NE(asked, nullptr);
    ++asked->verified;
    const auto parameters = job::complete_parameters(service(), asked->request.parameters).value();
    for (const job::StreamFact& output : verified.record.outputs) {
      if (output.root != worker_root(output.name, parameters, asked->request.inputs)) ++wrong_results;
    }
    world.at(5ms, [this, who, id = verified.job, life = world.member(who).life] {
      if (world.member(who).life != life || !world.member(who).machine) return;
      const wire::Effects effects = machine(who)->delivered(world.now(), id);
      world.perform(who, effects);
    });
  }

  void check_capacity(Index who, const wire::StartWorker& effect) {
    Member& member = world.member(who);
    std::uint64_t cores = effect.order.grant.cores;
    for (const auto& [job, run] : member.workers) {
      if (job != effect.job) cores += member.orders[job].order.grant.cores;
    }
    if (cores > member.cores) ++over_capacity;
  }

  std::map<Index, std::deque<Asked>> asked_;
  std::map<const Asked*, bool> resumable_;
  std::vector<std::string> said_;
  Asked* submitting_ = nullptr;
};

TEST(Simulation, AQuietFederationDeliversEveryJob) {
  Federation federation(1, 1, 1, 3, 2);
  federation.start();
  federation.world.run(5s);
  for (std::uint64_t scan = 0; scan < 6; ++scan) federation.submit(federation.client_members[scan % 2], scan);
  federation.world.run(300s, [&] { return federation.all_ended(); });
  for (const auto& [who, list] : federation.asked()) {
    for (const Asked& asked : list) EXPECT_TRUE(asked.delivered) << (asked.error ? asked.error->message : "not ended") << "\n" << federation.story();
  }
  EXPECT_EQ(federation.wrong_results, 0U);
  EXPECT_EQ(federation.over_capacity, 0U);
}

class Storm : public testing::TestWithParam<int> {};

TEST_P(Storm, NoJobIsLostUnreportedOrAnsweredWithAnothersResult) {
  const auto seed = static_cast<std::uint64_t>(GetParam());
  SCOPED_TRACE("seed " + std::to_string(seed));
  Federation federation(seed, 2, 2, 4, 3);
  World& world = federation.world;
  federation.start();
  world.run(3s);
  world.faults.break_chance = 0.004;
  world.faults.worker_death = 0.15;
  const auto any = [&](const std::vector<Index>& list) { return list[world.below(list.size())]; };
  std::uint64_t scan = seed * 1000;
  for (int round = 0; round < 60; ++round) {
    if (round < 30 && world.chance(0.5)) {
      const Index who = any(federation.client_members);
      if (world.member(who).machine) federation.submit(who, scan++);
    }
    if (world.chance(0.15)) {
      const Index victim = world.below(world.size());
      world.crash(victim);
      if (world.chance(0.2)) world.lose_scratch(victim);
      world.at(std::chrono::milliseconds(200 + world.below(15'000)), [&federation, &world, victim] {
        if (world.member(victim).machine) return;
        world.start(victim);
        federation.run_again(victim);
      });
    }
    if (world.chance(0.1)) world.cut(world.below(world.size()), world.below(world.size()));
    if (world.chance(0.1)) world.heal();
    world.run(std::chrono::milliseconds(500 + world.below(2000)));
  }
  world.faults = {};
  world.heal();
  world.run(20s);   // the last ones come back
  // The weather is fine again: a user who runs an unfinished command again gets its result.
  for (int again = 0; again < 5; ++again) {
    world.run(600s, [&] { return federation.all_ended(); });
    for (const Index who : federation.client_members) federation.run_again(who);
  }
  world.run(600s, [&] { return federation.all_ended(); });
  std::size_t jobs = 0;
  for (const auto& [who, list] : federation.asked()) {
    for (const Asked& asked : list) {
      ++jobs;
      EXPECT_TRUE(asked.ended) << "a job without an end its user heard of\n" << federation.story();
      EXPECT_TRUE(asked.delivered) << (asked.error ? asked.error->message : "no error") << "\n" << federation.story();
    }
  }
  EXPECT_GT(jobs, 0U);
  EXPECT_GT(world.sessions_broken, 0U);
  EXPECT_EQ(federation.wrong_results, 0U);
  EXPECT_EQ(federation.over_capacity, 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Storm, testing::Range(1, 21));

}  // namespace
}  // namespace tomogrid::simulation
