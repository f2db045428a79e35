// Registry, manager, node and client machines over real sockets on 127.0.0.1, each with a loop and a thread of its own:
// how long a change takes, how many placements a second, and what a dead registry means. Whole processes are in
// managed_test and failure_test.
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "certs/certs.h"
#include "manager/decision_log.h"
#include "manager/manager.h"
#include "registry/registry.h"
#include "support/sim_members.h"
#include "wire/loop.h"

namespace tomogrid::test {

namespace {

using namespace std::chrono_literals;
using Timer = std::chrono::steady_clock;

// A machine on a loop of its own. `look` is called on that thread after everything that has happened.
class Role final : public wire::Machine {
 public:
  Role(certs::Authority& authority, const std::filesystem::path& folder, const std::string& name, certs::Roles roles)
      : member_(certs::make_identity(authority, name, roles, clock_.wall()).or_throw(),
                folder / (name + ".revocations")) {}
  ~Role() override { stop(); }
  wire::Effects handle(const wire::Now& at, const wire::Event& event) override {
    return after(machine_->handle(at, event));
  }
  wire::Effects advance(const wire::Now& at) override { return after(machine_->advance(at)); }
  std::optional<Instant> next_deadline() const override { return machine_->next_deadline(); }

  const certs::Identity& identity() const { return member_.identity(); }
  // Serves on a free port of 127.0.0.1 when `role` is given.
  void open(wire::Machine& machine, std::optional<certs::Role> role, wire::Journal* journal = nullptr,
            std::uint16_t port = 0) {
    machine_ = &machine;
    wire::Ports ports;
    ports.journal = journal;
    loop_ = std::make_unique<wire::Loop>(member_, clock_, *this, ports);
    if (!role) return;
    target_.host = "127.0.0.1";
    target_.control_port = loop_->listen("127.0.0.1", port, 0, false).control_port;
    target_.transport_key = identity().transport_key();
    target_.role = *role;
  }
  void start() {
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    loop_->stop();
    thread_.join();
    loop_.reset();
  }
  const wire::Target& target() const { return target_; }
  wire::Now now() const { return {clock_.now(), clock_.wall()}; }
  wire::Traffic traffic() const { return loop_->traffic(); }

  // Calls the machine directly, on its thread.
  void act(std::function<wire::Effects(const wire::Now&)> call) {
    loop_->post([this, call = std::move(call)] { loop_->perform(call(now())); });
  }
  // True when `reached` holds on the machine's thread within `limit`; looked at after every event.
  bool wait(std::function<bool()> reached, std::chrono::milliseconds limit) {
    auto done = std::make_shared<std::promise<void>>();
    auto future = done->get_future();
    loop_->post([this, reached = std::move(reached), done] {
      look_ = [reached, done, told = false]() mutable {
        if (!told && reached()) {
          told = true;
          done->set_value();
        }
      };
      look_();
    });
    const bool in_time = future.wait_for(limit) == std::future_status::ready;
    std::promise<void> cleared;
    loop_->post([this, &cleared] {
      look_ = nullptr;
      cleared.set_value();
    });
    cleared.get_future().wait();
    return in_time;
  }

 private:
  wire::Effects after(wire::Effects effects) {
    if (look_) look_();
    return effects;
  }

  SystemClock clock_;
  certs::Member member_;
  wire::Machine* machine_ = nullptr;
  std::unique_ptr<wire::Loop> loop_;
  wire::Target target_;
  std::function<void()> look_;
  std::thread thread_;
};

class OverSockets : public ::testing::Test {
 protected:
  // `cores` of each node, at 1 GFLOP/s a core.
  void start(const std::vector<std::uint32_t>& cores) {
    registry_role.open(registry, certs::Role::Registry);
    registry_role.start();
    for (std::size_t i = 0; i < cores.size(); ++i) {
      const std::string name = "node" + std::to_string(i + 1);
      auto role = std::make_unique<Role>(authority, folder.path(), name, certs::Role::Node);
      nodes.push_back(std::make_unique<AnnouncingNode>(role->identity(), std::vector{registry_role.target()},
                                                       idle_node(cores[i], 1e9)));
      role->open(*nodes.back(), certs::Role::Node);
      nodes.back()->content().routes = {{"direct", "127.0.0.1", role->target().control_port}};
      role->start();
      node_roles.push_back(std::move(role));
    }
    manager::ManagerOptions options;
    options.registries = {registry_role.target()};
    manager = std::make_unique<manager::Manager>(manager_role.identity(), options);
    decisions = std::make_unique<manager::DecisionLog>(folder.path() / "decisions.log",
                                                       manager_role.identity().certificate().signing_key);
    manager_role.open(*manager, certs::Role::Manager, decisions.get());
    manager_role.start();
    client = std::make_unique<AskingClient>(manager_role.target());
    client_role.open(*client, std::nullopt);
    client_role.start();
    ASSERT_TRUE(manager_role.wait([this, &cores] { return manager->nodes_met() == cores.size(); }, 20s));
  }
  // Asks on the client's thread and waits there for the answer.
  std::optional<wire::Ticket> place(std::uint64_t number, std::uint32_t cores) {
    client_role.act(
        [this, number, cores](const wire::Now&) { return client->place(place_request(number, cores, cores)); });
    const auto request = id_of<job::RequestId>(number);
    std::optional<wire::Ticket> ticket;
    client_role.wait(
        [this, request, &ticket] {
          const auto found = client->placed().find(request);
          if (found == client->placed().end()) return false;
          ticket = wire::decode_ticket(found->second.ticket.body).or_throw();
          return true;
        },
        10s);
    return ticket;
  }
  void TearDown() override {
    client_role.stop();
    manager_role.stop();
    for (auto& role : node_roles) role->stop();
    registry_role.stop();
  }

  TemporaryFolder folder;
  certs::Authority authority{"north"};
  Role registry_role{authority, folder.path(), "registry1", certs::Role::Registry};
  Role manager_role{authority, folder.path(), "manager1", certs::Role::Manager};
  Role client_role{authority, folder.path(), "alice", certs::Role::Clinician};
  registry::Registry registry;
  std::vector<std::unique_ptr<Role>> node_roles;
  std::vector<std::unique_ptr<AnnouncingNode>> nodes;
  std::unique_ptr<manager::Manager> manager;
  std::unique_ptr<manager::DecisionLog> decisions;
  std::unique_ptr<AskingClient> client;
};

TEST_F(OverSockets, AChangeIsVisibleAtTheManagerWithinAHundredMilliseconds) {
  start({4, 8, 16});
  const auto id = node_roles[0]->identity().member();
  std::vector<double> milliseconds;
  for (std::uint32_t i = 0; i < 20; ++i) {
    const std::uint32_t free = 100 + i;
    const auto before = Timer::now();
    node_roles[0]->act([this, free](const wire::Now& now) {
      nodes[0]->content().cores_free = nodes[0]->content().cores_total = free;
      return nodes[0]->publish(now);
    });
    Timer::time_point seen;
    ASSERT_TRUE(manager_role.wait(
        [&] {
          const auto* view = manager->watcher().find(id);
          seen = Timer::now();
          return view != nullptr && view->advert.cores_free == free;
        },
        5s));
    milliseconds.push_back(std::chrono::duration<double, std::milli>(seen - before).count());
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("change visible after %.1f ms median, %.1f ms at most\n", milliseconds[10], milliseconds.back());
  EXPECT_LT(milliseconds[10], 100);
}

TEST_F(OverSockets, PlacementsGoToTheLargestAreHeldAndReplay) {
  start({4, 8, 16});
  for (std::uint64_t i = 1; i <= 14; ++i) {
    const auto ticket = place(i, 2);
    ASSERT_TRUE(ticket) << i;
    if (i == 1) {
      EXPECT_EQ(ticket->node, node_roles[2]->identity().member());
    }
  }
  // 28 cores in all, two at a time: each node has exactly what it has room for, though it was all asked at once.
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(node_roles[i]->wait(
        [this, i] { return nodes[i]->reserved().size() == nodes[i]->content().cores_total / 2; }, 5s));
    EXPECT_EQ(nodes[i]->refused(), 0u);
  }
  manager_role.stop();
  const auto report = manager::replay_log(folder.path() / "decisions.log", manager_role.identity().member());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->placed, 14u);
  EXPECT_EQ(report->faults_total, 0u);
}

TEST_F(OverSockets, PlacementsPerSecond) {
  start({64, 64, 64});
  constexpr std::uint64_t kCount = 500;
  std::uint64_t asked = 0;
  const auto before = Timer::now();
  // One after the other, each given back before the next: the client's thread asks again as soon as it is answered.
  const auto next = [this, &asked] {
    const auto last = id_of<job::RequestId>(asked);
    if (asked > 0 && !client->placed().contains(last)) return false;
    if (asked == kCount) return true;
    client_role.act([this, last, number = asked + 1, first = asked == 0](const wire::Now&) {
      wire::Effects effects = first ? wire::Effects{} : client->cancel(last);
      for (auto& effect : client->place(place_request(number, 1, 1))) effects.push_back(std::move(effect));
      return effects;
    });
    ++asked;
    return false;
  };
  ASSERT_TRUE(client_role.wait(next, 60s)) << asked << " asked";
  const double seconds = std::chrono::duration<double>(Timer::now() - before).count();
  std::printf("%.0f placements/s over the socket, one at a time\n", static_cast<double>(kCount) / seconds);
  EXPECT_GT(static_cast<double>(kCount) / seconds, 20);
}

TEST_F(OverSockets, ARegistryThatDiesAndComesBackIsJoinedAgain) {
  start({4});
  registry_role.stop();
  EXPECT_TRUE(manager_role.wait([this] { return manager->watcher().nodes().empty(); }, 6s));
  // At the same address with the same keys, and knowing nothing.
  registry = registry::Registry();
  registry_role.open(registry, certs::Role::Registry, nullptr, registry_role.target().control_port);
  registry_role.start();
  EXPECT_TRUE(manager_role.wait([this] { return manager->nodes_met() == 1; }, 10s));
}

}  // namespace

}  // namespace tomogrid::test
