// DNS-SD by the machine's avahi-daemon: says that a role is here, and sees who else is. Suggestions only; certificates
// decide.
//
//   _tomogrid-registry._tcp, _tomogrid-node._tcp    TXT: version, name, key, services, free (GFLOP/s, a power of two)
//
// No daemon, no D-Bus, or a daemon that restarts: said once in the log, and tried again; meanwhile configured addresses
// are what there is. mDNS presence is a hint: a machine that lost its power is listed for an hour.
//
// Thread: all calls and callbacks on one. Joined to any loop by one descriptor:
//   loop.watch(discovery.descriptor(), [&] { discovery.dispatch(); });
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "certs/keys.h"
#include "certs/roles.h"
#include "job/job.h"
#include "wire/machine.h"

namespace tomogrid::registry {

// What a role says of itself on the local network. Nothing here is secret, and nothing of it is believed.
struct Presence {
  certs::Role role = certs::Role::Registry;  // Registry or Node
  std::string name;                          // member name
  std::uint16_t control_port = 0;
  certs::TransportPublicKey transport_key;
  std::vector<job::ServiceName> services = {};  // of a node
  FlopRate free{};                              // of a node; published coarsely, so that small changes cause no traffic
  bool operator==(const Presence&) const = default;
};

class Discovery final {
 public:
  // `suggest` hears of every role of the browsed kinds that appears, changes or goes, `own` excepted. Never throws for
  // want of a daemon.
  Discovery(std::function<void(const wire::Suggestion&)> suggest, const certs::TransportPublicKey& own);
  ~Discovery();
  Discovery(const Discovery&) = delete;
  Discovery& operator=(const Discovery&) = delete;

  int descriptor() const;
  void dispatch();

  // Role::Registry or Role::Node; from now on, daemon or not yet.
  void browse(certs::Role role);
  // Replaces what was published before.
  void publish(const Presence& presence);

  // True while there is a daemon.
  bool available() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// A coarse figure: the power of two at or below, in GFLOP/s. For TXT records and tests.
std::uint64_t coarse_gflops(FlopRate rate);

}  // namespace tomogrid::registry
