#include "registry/service.h"

#include <iostream>
#include <optional>

#include "certs/secret.h"
#include "registry/discovery.h"
#include "wire/loop.h"

namespace tomogrid::registry {

int serve(const RegistryConfig& config) {
  certs::harden_process();
  const SystemClock clock;
  const auto member = load_serving_member(config.serving, clock, certs::Verb::ServeRegistry);
  const certs::Identity& identity = member->identity();
  AuditReporter reporter(config.serving.home / "audit.log", clock);
  Registry machine(config.machine);

  wire::LoopOptions options;
  options.sessions_max = config.machine.nodes_max + config.machine.watchers_max;
  wire::Ports ports;
  ports.reporter = &reporter;
  wire::Loop loop(*member, clock, machine, ports, options);
  const wire::StopOnSignal stop(loop);
  const auto listening = loop.listen(config.serving.listen_host, config.serving.control_port, 0, false);

  std::optional<Discovery> discovery;
  if (config.serving.discovery) {
    discovery.emplace([](const wire::Suggestion&) {}, identity.transport_key());
    discovery->publish({certs::Role::Registry, identity.name(), listening.control_port, identity.transport_key()});
    loop.watch(discovery->descriptor(), [&discovery] { discovery->dispatch(); });
  }
  each(loop, std::chrono::seconds(1), [&reporter] { reporter.sync(); });
  loop.post([&] {
    say_ready(std::cout, config.serving.json, "registry", identity, advertised_host(config.serving), listening);
  });
  loop.run();
  reporter.sync();
  return 0;
}

}  // namespace tomogrid::registry
