// Pure: keeps a node's advert alive in every registry that can be reached. Part of the node.
//
// As in Jini's join protocol: it registers with every registry it finds, renews each lease after a third of it,
// announces again when a registry does not know it, and withdraws on a clean shutdown. Its owner hands it every event
// and every advance() and performs what it answers; its sessions are its own (their dials carry kAnnouncerDial).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "certs/identity.h"
#include "registry/registries.h"
#include "wire/machine.h"

namespace tomogrid::registry {

struct AnnouncerOptions {
  std::vector<wire::Target> registries = {};  // configured; discovered ones join as they are seen
  std::chrono::milliseconds lease = std::chrono::milliseconds(3000);  // until a registry says its own
  std::chrono::milliseconds gather = std::chrono::milliseconds(20);   // changes within this go out as one
};

class Announcer final {
 public:
  // `identity` outlives it, and signs.
  Announcer(const certs::Identity& identity, AnnouncerOptions options);

  // The node's content has changed. Requires content.boot to be this start's. Fills in node, name, keys, sequence and
  // time, signs, and tells every registry: at once, or when `gather` has passed since the last time.
  wire::Effects publish(const wire::Now& now, wire::Advert content);
  // A clean goodbye; nothing is announced after it.
  wire::Effects withdraw(const wire::Now& now);

  wire::Effects handle(const wire::Now& now, const wire::Event& event);
  wire::Effects advance(const wire::Now& now);
  std::optional<Instant> next_deadline() const;

  bool owns(std::uint64_t dial) const { return registries_.links().marks(dial); }
  // Registries that have granted a lease in their present session.
  std::size_t registries_granted() const;
  // As last signed; nullopt before the first publish().
  const std::optional<certs::Signed>& record() const { return record_; }

 private:
  using Key = Dialer::Key;
  struct Registration {
    wire::PeerId peer = 0;
    bool granted = false;
    std::chrono::milliseconds lease{0};
    std::optional<Instant> next;  // renew, or after a refusal announce again
    bool announce_next = false;
    std::string refusal;  // the last one, so that it is reported once
  };
  void sign_and_tell(const wire::Now& now, wire::Effects& effects);
  void announce(const wire::Now& now, Registration& at, wire::Effects& effects);
  void on_granted(const wire::Now& now, const Key& from, const wire::LeaseGranted& granted, wire::Effects& effects);
  void on_refused(const wire::Now& now, const Key& from, const wire::LeaseRefused& refused, wire::Effects& effects);

  const certs::Identity& identity_;
  AnnouncerOptions options_;
  Registries registries_;
  std::map<Key, Registration> at_;  // registries with a session
  std::optional<wire::Advert> content_;
  std::optional<certs::Signed> record_;
  std::uint64_t sequence_ = 0;
  bool changed_ = false;  // content_ is newer than record_
  Instant signed_at_{};
  bool withdrawn_ = false;
};

}  // namespace tomogrid::registry
