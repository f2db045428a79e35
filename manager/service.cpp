#include "manager/service.h"

#include <iostream>
#include <optional>

#include "certs/secret.h"
#include "manager/decision_log.h"
#include "registry/discovery.h"
#include "wire/loop.h"

namespace tomogrid::manager {

int serve(const ManagerConfig& config) {
  certs::harden_process();
  const SystemClock clock;
  const auto member = registry::load_serving_member(config.serving, clock, certs::Verb::ServePlacement);
  const certs::Identity& identity = member->identity();
  registry::AuditReporter reporter(config.serving.home / "audit.log", clock);
  DecisionLog decisions(config.serving.home / "decisions.log", identity.certificate().signing_key);
  Manager machine(identity, config.machine);

  wire::LoopOptions options;
  options.sessions_max = config.machine.nodes_max + 1000;
  wire::Ports ports;
  ports.journal = &decisions;
  ports.reporter = &reporter;
  wire::Loop loop(*member, clock, machine, ports, options);
  const wire::StopOnSignal stop(loop);
  const auto listening = loop.listen(config.serving.listen_host, config.serving.control_port, 0, false);

  std::optional<registry::Discovery> discovery;
  if (config.serving.discovery) {
    discovery.emplace([&loop](const wire::Suggestion& seen) { loop.feed(wire::Discovered{seen}); },
                      identity.transport_key());
    discovery->browse(certs::Role::Registry);
    loop.watch(discovery->descriptor(), [&discovery] { discovery->dispatch(); });
  }
  registry::each(loop, std::chrono::seconds(1), [&] {
    reporter.sync();
    decisions.sync();
  });
  loop.post([&] {
    registry::say_ready(std::cout, config.serving.json, "manager", identity, registry::advertised_host(config.serving),
                        listening);
  });
  loop.run();
  reporter.sync();
  return 0;
}

}  // namespace tomogrid::manager
