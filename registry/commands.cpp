#include "registry/commands.h"

#include "registry/service.h"

namespace tomogrid::registry {

namespace {

int run_registry(const Arguments& arguments) {
  RegistryConfig config;
  config.serving = read_serving(arguments);
  config.machine.lease = std::chrono::milliseconds(arguments.integer("lease-ms", 200, 3'600'000));
  // Several pulses within a lease, so that one that is late is no silence.
  config.machine.pulse = std::min<std::chrono::milliseconds>(std::chrono::seconds(1), config.machine.lease / 3);
  config.machine.nodes_max = static_cast<std::size_t>(arguments.integer("nodes-max", 1, 10'000));
  config.machine.watchers_max = static_cast<std::size_t>(arguments.integer("watchers-max", 1, 10'000));
  return serve(config);
}

}  // namespace

Command registry_command() {
  std::vector<Option> options = serving_options("*:7421");
  options.push_back({"lease-ms", "MS", "a node silent for so long is lost; nodes renew after a third of it", "3000"});
  options.push_back({"nodes-max", "N", "nodes listed at most; further ones are refused", "2000"});
  options.push_back({"watchers-max", "N", "managers and clients served at most; further ones are refused", "500"});
  return {.name = "tomogrid registry",
          .summary = "keep the list of nodes that are here, and tell whoever may watch",
          .usage = "[options]",
          .description =
              "Serves until it is interrupted. It keeps nothing on disk but its audit log: nodes announce themselves "
              "again after a "
              "restart, and any number of registries may serve one federation without knowing each other. The line "
              "that it prints "
              "when it serves is its address for --registry of nodes, managers and clients.",
          .options = std::move(options),
          .examples = {"tomogrid registry --listen 10.0.0.5:7421",
                       "tomogrid registry --home /srv/registry --listen 127.0.0.1:0 --no-discovery --json"},
          .run = run_registry};
}

}  // namespace tomogrid::registry
