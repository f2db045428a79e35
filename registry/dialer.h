// Pure: keeps one session to each of a set of peers, dialling again after a pause that doubles with every failure.
//
// Whoever owns a Dialer hands it every PeerUp, PeerDown and ConnectFailed; it answers only for the dials that carry its
// own mark (`mark`: one high bit of wire::Connect::dial, a different one per Dialer in a process), so several live in
// one machine. A link is known by the transport key of its target, because that is what the certificate at the other
// end must show.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "wire/machine.h"

namespace tomogrid::registry {

// Marks of the dialers in this code; a room with another kind of session takes another bit.
inline constexpr std::uint64_t kWatcherDial = std::uint64_t{1} << 61;
inline constexpr std::uint64_t kAnnouncerDial = std::uint64_t{1} << 60;
inline constexpr std::uint64_t kManagerDial = std::uint64_t{1} << 59;

struct DialerOptions {
  std::chrono::milliseconds pause_least{100};  // after the first failure
  std::chrono::milliseconds pause_most{2000};  // doubles up to here
  std::chrono::milliseconds settled{3000};     // a session that stood this long clears the count of failures
};

class Dialer final {
 public:
  explicit Dialer(std::uint64_t mark, DialerOptions options = {}) : mark_(mark), options_(options) {}

  struct Link {
    wire::Target target;
    std::optional<wire::Peer> peer;  // the session, while there is one
    unsigned failures = 0;           // in a row
    std::optional<Error> last_error;
  };
  using Key = certs::TransportPublicKey;

  // Dials until unwant(). The same key with another address: that address from now on, dialled at once when there is no
  // session.
  void want(const wire::Now& now, const wire::Target& target, wire::Effects& effects) {
    want(now, target.transport_key, target, effects);
  }
  // The same under a key of the owner's choice, where two targets may claim one transport key.
  void want(const wire::Now& now, const Key& key, const wire::Target& target, wire::Effects& effects);
  // Ends its session, or lets the dial under way come to nothing.
  void unwant(const Key& key, wire::Effects& effects);

  // The link that changed; nullopt when the event belongs to someone else.
  std::optional<Key> on(const wire::Now& now, const wire::PeerUp& event, wire::Effects& effects);
  std::optional<Key> on(const wire::Now& now, const wire::PeerDown& event);
  std::optional<Key> on(const wire::Now& now, const wire::ConnectFailed& event);
  void advance(const wire::Now& now, wire::Effects& effects);
  std::optional<Instant> next_deadline() const;

  const Link* find(const Key& key) const;
  std::optional<Key> key_of(wire::PeerId peer) const;
  std::size_t size() const { return links_.size(); }
  bool marks(std::uint64_t dial) const { return (dial & mark_) != 0; }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& [key, entry] : links_) visit(key, static_cast<const Link&>(entry));
  }

 private:
  struct Entry : Link {
    std::uint64_t dial = 0;  // under way; 0: none
    Instant retry_at{};
    Instant up_since{};
  };
  void dial(const Key& key, Entry& entry, wire::Effects& effects);
  void pause(const wire::Now& now, const Key& key, Entry& entry);

  const std::uint64_t mark_;
  const DialerOptions options_;
  std::map<Key, Entry> links_;
  std::map<wire::PeerId, Key> sessions_;
  std::map<std::uint64_t, Key> dials_;   // under way
  std::multimap<Instant, Key> retries_;  // may name links that no longer wait: checked when due
  std::uint64_t dialled_ = 0;
};

}  // namespace tomogrid::registry
