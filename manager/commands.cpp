#include "manager/commands.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "certs/keys.h"
#include "manager/decision_log.h"
#include "manager/service.h"
#include "registry/address.h"

namespace tomogrid::manager {

namespace fs = std::filesystem;

namespace {

int run_manager(const Arguments& arguments) {
  ManagerConfig config;
  config.serving = registry::read_serving(arguments);
  config.machine.registries = registry::read_addresses(arguments.texts("registry"), certs::Role::Registry).or_throw();
  if (config.machine.registries.empty() && !config.serving.discovery) {
    throw Failure(ErrorCode::Usage,
                  "without --registry and with --no-discovery this manager would never see a node; give --registry "
                  "HOST:PORT,KEY");
  }
  config.machine.queue_per_member_max = static_cast<std::size_t>(arguments.integer("queue-per-member", 1, 4096));
  config.machine.held_per_member_max = static_cast<std::size_t>(arguments.integer("held-per-member", 1, 4096));
  config.machine.overtake = std::chrono::seconds(arguments.integer("overtake-s", 0, 86'400));
  return serve(config);
}

int run_replay(const Arguments& arguments) {
  const auto home = arguments.optional_text("home");
  const fs::path file = !arguments.positional().empty() ? fs::path(arguments.positional().front())
                                                        : (home ? fs::path(*home) : tomogrid_home()) / "decisions.log";
  std::optional<certs::MemberId> expected;
  if (const auto text = arguments.optional_text("decider")) {
    expected = certs::parse_member_id(*text);
    if (!expected)
      throw Failure(ErrorCode::Usage, "--decider " + *text + " is not a member id of 52 letters and digits");
  }
  const ReplayReport report = replay_log(file, expected).or_throw();
  const std::uint64_t good = report.placed + report.unplaceable;
  if (arguments.flag("json")) {
    nlohmann::json faults = nlohmann::json::array();
    for (const auto& fault : report.faults) faults.push_back({{"line", fault.line}, {"reason", fault.reason}});
    std::cout << nlohmann::json{{"file", file.string()},
                                {"decisions", good + report.faults_total},
                                {"replayed", good},
                                {"placed", report.placed},
                                {"unplaceable", report.unplaceable},
                                {"faults", faults},
                                {"faults_total", report.faults_total}}
                     .dump()
              << "\n";
  } else {
    for (const auto& fault : report.faults)
      std::cout << file.string() << ":" << fault.line << ": " << fault.reason << "\n";
    if (report.faults_total == 0) {
      std::cout << "all " << good << " recorded decisions replay to the same winner (" << report.placed << " placed, "
                << report.unplaceable << " unplaceable)\n";
    } else {
      std::cout << report.faults_total << " of " << good + report.faults_total << " recorded decisions do not hold\n";
    }
  }
  return report.faults_total == 0 ? 0 : static_cast<int>(ErrorCode::Unverified);
}

}  // namespace

Command manager_command() {
  std::vector<Option> options = registry::serving_options("*:7422");
  options.push_back({"registry", "HOST:PORT,KEY", "a registry to watch, or a file with one a line; several allowed",
                     std::nullopt, true});
  options.push_back({"queue-per-member", "N", "requests of one member that may wait; further ones are refused", "256"});
  options.push_back(
      {"held-per-member", "N", "placements of one member that are not used yet; further ones wait", "64"});
  options.push_back({"overtake-s", "S", "how long smaller requests may overtake one that fits nowhere yet", "30"});
  return {.name = "tomogrid manager",
          .summary = "pick a node for each request: the one with the most free FLOPs that can run it",
          .usage = "[--registry HOST:PORT,KEY]... [options]",
          .description =
              "Serves until it is interrupted. It watches registries, holds what it has promised until the node says "
              "so itself, and "
              "signs every decision with the figures it saw: clients get them, and decisions.log under --home keeps "
              "them. Any number "
              "of managers may serve one federation; the node has the last word. No image data passes through it.",
          .options = std::move(options),
          .examples = {"tomogrid manager --listen 10.0.0.5:7422 --registry registries.txt",
                       "tomogrid manager --home /srv/manager --listen 127.0.0.1:0 --registry 127.0.0.1:7421,KEY "
                       "--no-discovery --json"},
          .run = run_manager};
}

Command manager_replay_command() {
  return {.name = "tomogrid manager replay",
          .summary = "check that every recorded decision leads to the winner it names",
          .usage = "[FILE | --home DIR] [options]",
          .description =
              "For each line of a decision log: the signature, that the figures of the candidates lead to the recorded "
              "winner and "
              "grant, and that no candidate is called feasible that is not. Exit status 12 when any does not hold.",
          .options = {{"home", "DIR", "whose decisions.log is read [$TOMOGRID_HOME, else the XDG data folder]"},
                      {"decider", "MEMBER", "the member id that must have decided them; without it whoever signed"}},
          .examples = {"tomogrid manager replay --home /srv/manager", "tomogrid manager replay decisions.log --json"},
          .positional_min = 0,
          .positional_max = 1,
          .run = run_replay};
}

}  // namespace tomogrid::manager
