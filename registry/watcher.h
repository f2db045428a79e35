// Pure: the listing of nodes as told by every registry that can be reached, merged. Part of the manager and of the
// client.
//
// Not a machine of its own: its owner hands it every event, every advance() and performs what it answers. Its sessions
// are its own (their dials carry kWatcherDial); events of others it ignores.
//
// What is believed, and until when:
// - An advert counts when it is signed by the key whose hash is its node's id; the newest (boot, sequence) wins. So a
// registry
//   can hide a node or invent one, but cannot alter what a node says; that a node is a member at all shows when it is
//   dialled.
// - A registry vouches for a node from its Listing for the remaining lease, counted from hearing, and after each Pulse
// for one
//   lease more, until it says Lost. A node is listed while any registry vouches for its present boot.
// - A session that ends is no loss: what that registry said runs out one lease after its last word.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "certs/signed.h"
#include "registry/registries.h"
#include "wire/machine.h"

namespace tomogrid::registry {

// One node of the listing.
struct NodeView {
  wire::Advert advert;
  certs::Signed record;  // the advert as signed, to hand on
  Instant heard;         // last sign of life, by way of a registry
};

struct WatcherOptions {
  std::chrono::milliseconds lease{3000};         // a registry silent for so long vouches for nothing
  std::chrono::milliseconds lease_most{60'000};  // more than this is not believed of any Listing
  std::size_t nodes_max = 10'000;                // full: further nodes are not listed until there is room
};

class Watcher final {
 public:
  explicit Watcher(std::vector<wire::Target> registries, WatcherOptions options = {});

  wire::Effects handle(const wire::Now& now, const wire::Event& event);
  // Drops what nobody vouches for at or before `now`, and dials what is due.
  wire::Effects advance(const wire::Now& now);
  std::optional<Instant> next_deadline() const;

  // By id of the node; valid until the next handle() or advance().
  std::span<const NodeView> nodes() const { return nodes_; }
  const NodeView* find(const certs::MemberId& node) const;
  // Grows whenever an advert appears, changes or vanishes.
  std::uint64_t revision() const { return revision_; }
  // True while at least one registry has told all it knows: an empty listing then means that there are no nodes.
  bool complete() const;
  // Registries with a session, and registries known.
  std::size_t registries_up() const;
  std::size_t registries_known() const { return registries_.links().size(); }
  const Dialer& links() const { return registries_.links(); }

  bool owns(std::uint64_t dial) const { return registries_.links().marks(dial); }

 private:
  using Key = Dialer::Key;
  struct Telling {
    bool complete = false;  // its snapshot of this session has ended
    std::set<certs::MemberId> in_snapshot;
  };
  void on_message(const wire::Now& now, const Key& from, const wire::Message& message);
  void on_listing(const wire::Now& now, const Key& from, const wire::Listing& listing);
  void on_snapshot(const wire::Now& now, const Key& from, const wire::Snapshot& snapshot);
  void on_lost(const Key& from, const wire::Lost& lost);
  void on_pulse(const wire::Now& now, const Key& from);
  void vouch(const Key& from, const certs::MemberId& node, Instant until);
  void withdraw_vouch(const Key& from, const certs::MemberId& node);
  void forget(const certs::MemberId& node);
  std::vector<NodeView>::iterator place_of(const certs::MemberId& node);

  WatcherOptions options_;
  Registries registries_;
  std::map<Key, Telling> telling_;                             // by registry with a session
  std::vector<NodeView> nodes_;                                // by id
  std::map<certs::MemberId, std::map<Key, Instant>> vouched_;  // of listed nodes: by whom, until when
  std::optional<Instant> check_at_;  // no vouch ends before this; pulses may have moved the first end further out
  std::uint64_t revision_ = 0;
};

// What is wrong with an advert that came by way of others: signature, key and id, form. Its content when it holds.
Result<wire::Advert> open_advert(const certs::Signed& record);

}  // namespace tomogrid::registry
