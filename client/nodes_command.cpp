// `tomogrid nodes`, `drain`, `undrain`.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "client/commands.h"
#include "client/session.h"

namespace tomogrid::client {

namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kLook{20};
constexpr std::chrono::milliseconds kComplete{3000};

// Runs until a registry has told all it knows, or `kComplete` has passed.
void listen(Session& session) {
  int looks = 0;
  std::function<void()> look = [&] {
    if (session.client().watcher().complete() || ++looks * kLook > kComplete) return session.stop();
    session.after(kLook, look);
  };
  session.on_interrupt = [&session](bool) { session.stop(); };
  session.after(kLook, look);
  session.run();
}

json as_json(const wire::Advert& advert) {
  json services = json::array();
  for (const job::ServiceName& service : advert.services) services.push_back(job::to_string(service));
  return {{"name", advert.name},
          {"member", certs::to_string(advert.node)},
          {"cores_free", advert.cores_free},
          {"cores_total", advert.cores_total},
          {"gflops_per_core", advert.rate_per_core.count() / 1e9},
          {"gflops_free", advert.free_rate().count() / 1e9},
          {"memory_free", advert.memory_free.count()},
          {"scratch_free", advert.scratch_free.count()},
          {"draining", advert.draining},
          {"jobs_running", advert.jobs_running},
          {"jobs_queued", advert.jobs_queued},
          {"labels", advert.labels},
          {"services", services},
          {"boot", advert.boot},
          {"sequence", advert.sequence},
          {"software", advert.software}};
}

void print(const wire::Advert& advert) {
  char figures[160];
  std::snprintf(figures, sizeof figures, "%-16s %s  %3u of %3u cores  %8.1f GFLOP/s free  %10s  %u running, %u queued",
                printable(advert.name).c_str(), certs::short_text(advert.node).c_str(), advert.cores_free,
                advert.cores_total, advert.free_rate().count() / 1e9, human_bytes(advert.memory_free.count()).c_str(),
                advert.jobs_running, advert.jobs_queued);
  std::cout << figures << (advert.draining ? "  draining" : "") << " ";
  for (const job::ServiceName& service : advert.services) std::cout << " " << job::to_string(service);
  std::cout << "\n";
}

int run_nodes(const Arguments& arguments) {
  Session session(arguments);
  listen(session);
  const registry::Watcher& watcher = session.client().watcher();
  if (!watcher.complete()) {
    throw Failure(ErrorCode::Unreachable,
                  watcher.registries_known() == 0
                      ? "no registry is known: give --registry, or settings, or run where one is found by DNS-SD"
                      : "none of " + std::to_string(watcher.registries_known()) + " known registries answers");
  }
  std::vector<wire::Advert> nodes;
  for (const registry::NodeView& node : watcher.nodes()) nodes.push_back(node.advert);
  std::stable_sort(nodes.begin(), nodes.end(), [](const wire::Advert& a, const wire::Advert& b) {
    return a.free_rate() != b.free_rate() ? a.free_rate() > b.free_rate() : a.name < b.name;
  });
  json list = json::array();
  for (const wire::Advert& advert : nodes) {
    if (arguments.flag("json")) {
      list.push_back(as_json(advert));
    } else {
      print(advert);
    }
  }
  if (arguments.flag("json")) std::cout << list.dump() << "\n";
  if (watcher.nodes().empty() && !arguments.flag("json")) std::cerr << "no nodes are listed\n";
  return 0;
}

int run_drain(const Arguments& arguments, bool on) {
  Session session(arguments);
  const NodePin node = parse_node(arguments.positional().front()).or_throw();
  std::optional<Answered> answer;
  session.on_update = [&](const Update& update) {
    if (const auto* one = std::get_if<Answered>(&update)) {
      answer = *one;
      session.stop();
    }
  };
  session.on_interrupt = [&session](bool) { session.stop(); };
  session.act([&](Client& client, const wire::Now& now) { return client.ask(now, node, wire::Drain{on}); });
  session.run();
  if (!answer) return static_cast<int>(ErrorCode::Interrupted);
  if (answer->error) throw Failure(*answer->error);
  if (const auto* refused = std::get_if<wire::JobRefused>(&*answer->message)) {
    throw Failure(ErrorCode::Refused, "node " + answer->node + ": " + refused->reason);
  }
  const auto* drained = std::get_if<wire::Drained>(&*answer->message);
  if (drained == nullptr) throw Failure(ErrorCode::Refused, "node " + node.name + " answered something else");
  if (arguments.flag("json")) {
    std::cout << json{{"node", answer->node}, {"draining", drained->on}, {"jobs_left", drained->jobs_left}}.dump()
              << "\n";
  } else if (drained->on) {
    std::cout << "node " << answer->node << " takes no more work; " << drained->jobs_left << " jobs are left\n";
  } else {
    std::cout << "node " << answer->node << " takes work again\n";
  }
  return 0;
}

}  // namespace

Command nodes_command() {
  return {.name = "tomogrid nodes",
          .summary = "nodes of the federation, what they offer and what is free",
          .usage = "[options]",
          .description = "",
          .options = with_settings({}),
          .examples = {"tomogrid nodes", "tomogrid nodes --json"},
          .run = run_nodes};
}

Command drain_command(bool on) {
  return {.name = on ? "tomogrid drain" : "tomogrid undrain",
          .summary = on ? "let a node finish what runs and take no more" : "let a drained node take work again",
          .usage = "NODE [options]",
          .description = "Needs a member with the role admin.",
          .options = with_settings({}),
          .examples = {std::string(on ? "tomogrid drain" : "tomogrid undrain") + " node-1 --member admin"},
          .positional_min = 1,
          .positional_max = 1,
          .run = [on](const Arguments& arguments) { return run_drain(arguments, on); }};
}

}  // namespace tomogrid::client
