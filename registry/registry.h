// Which nodes are in the federation, and until when we believe it.
//
// Pure state machine (wire/machine.h): soft state, nothing on disk, no agreement with other registries. Lost with the
// process; nodes notice ("unknown") and announce again.
//
// A node:   Absent -announce-> Live -renew-> Live -lease ends | withdraws | is revoked-> Absent, told to watchers
// exactly once.
//   Adverts are believed from the session of the member they speak of only, signed by that session's key. A newer
//   (boot, sequence) replaces, an older boot is refused ("stale-boot"). A closed connection alone is no loss: the lease
//   decides.
// A watcher: hears everything, then every change at once, every loss, and a pulse each second: "all others live".
//
// Bounds: `nodes_max` (full: announce refused, "full"), `watchers_max` (full: session closed, "full"), one snapshot a
// second and watcher, one change per `push_interval` and node (later ones replace the waiting one).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "wire/machine.h"

namespace tomogrid::registry {

struct RegistryOptions {
  std::chrono::milliseconds lease{3000};  // a node silent for so long is lost
  std::chrono::milliseconds pulse{1000};
  std::chrono::milliseconds push_interval{10};  // least time between two changes of one node, against floods
  std::size_t nodes_max = 2000;
  std::size_t watchers_max = 500;
};

class Registry final : public wire::Machine {
 public:
  // Requires lease and pulse above zero.
  explicit Registry(RegistryOptions options = {});

  wire::Effects handle(const wire::Now& now, const wire::Event& event) override;
  // Reports every node whose lease ended at or before `now`, each exactly once, in id order.
  wire::Effects advance(const wire::Now& now) override;
  std::optional<Instant> next_deadline() const override;

  // What a watcher would hear now, in id order.
  std::vector<wire::Listing> listing(const wire::Now& now) const;
  std::size_t watchers() const { return watchers_.size(); }

 private:
  struct Entry {
    certs::Signed record;
    std::string name;
    std::uint64_t boot = 0, sequence = 0;
    Instant until;
    Instant pushed;  // last Changed
    bool push_due = false;
  };
  struct Watching {
    std::string name;
    Instant snapshot_at;
  };
  void on_announce(const wire::Now& now, const wire::Peer& peer, const wire::Announce& announce);
  void on_renew(const wire::Now& now, const wire::Peer& peer, const wire::Renew& renew);
  void on_withdraw(const wire::Now& now, const wire::Peer& peer, const wire::Withdraw& withdraw);
  void on_watch(const wire::Now& now, const wire::Peer& peer);
  void on_down(const wire::PeerDown& down);
  void grant(const wire::Now& now, const wire::Peer& peer, Entry& entry);
  void refuse(const wire::Peer& peer, const std::string& code, const std::string& reason);
  void push(const wire::Now& now, const certs::MemberId& node, Entry& entry);
  void lose(const certs::MemberId& node, const std::string& reason);
  void tell_watchers(const wire::Message& message);

  RegistryOptions options_;
  std::map<certs::MemberId, Entry> nodes_;
  std::set<std::pair<Instant, certs::MemberId>> leases_;  // ends, one per node
  std::set<std::pair<Instant, certs::MemberId>> pushes_;  // changes that wait for push_interval
  std::map<wire::PeerId, Watching> watchers_;
  std::optional<Instant> next_pulse_;  // while there are watchers
  std::uint64_t pulses_ = 0;
  wire::Effects effects_;  // of the call being handled
};

}  // namespace tomogrid::registry
