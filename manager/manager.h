// Picks a node per request, and can explain every pick.
//
// Pure state machine (wire/machine.h). It watches every registry (registry/watcher.h) and keeps a session to every node
// listed: to tell it of reservations, and because only a node whose certificate has been seen is placed on (a registry
// may invent nodes).
//
// A request:  Place -> pending -> placed | unplaceable
//   pending     in fair order: members take turns, first come first served within a member. A smaller request may
//   overtake one
//               that fits nowhere yet, but only until that one has waited `overtake`: from then on the nodes that could
//               run it are kept for it. Busy is never an error: the client hears its position.
//   placed      advert, ticket and signed decision to the client, and Reserve(ticket) to the node, in one pass. The
//   granted capacity
//               is held in this manager's own view until an advert of the node lists the ticket, or the ticket ends.
//   unplaceable only once a registry has been telling everything for `settle`: nodes announce again after a registry
//   restarts.
// The same request asked again (a new session after a cut) keeps its place, or gets the same answer while the ticket
// lives.
//
// Every decision is persisted (table "decision") in the pass that answers. advance() makes decisions in passes of their
// own, so that when the journal fails nothing but decisions is undone: they return to the queue and are made again a
// second later.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "certs/identity.h"
#include "manager/placement.h"
#include "registry/dialer.h"
#include "registry/watcher.h"
#include "wire/ids.h"
#include "wire/machine.h"

namespace tomogrid::manager {

struct ManagerOptions {
  std::vector<wire::Target> registries = {};  // configured; discovered ones join as they are seen
  std::chrono::milliseconds ticket_ttl = std::chrono::seconds(60);
  std::chrono::milliseconds overtake = std::chrono::seconds(30);
  std::chrono::milliseconds absence =
      std::chrono::seconds(10);  // a pending request whose client is away this long is dropped
  std::chrono::milliseconds settle = std::chrono::seconds(5);  // longer than a lease and a re-dial
  std::chrono::milliseconds tell = std::chrono::seconds(1);    // least time between two Waiting of one request
  std::chrono::milliseconds pass_interval =
      std::chrono::milliseconds(10);       // least time between two passes over a queue
  std::size_t queue_max = 4096;            // full: refused as unplaceable, saying so
  std::size_t queue_per_member_max = 256;  // the same
  std::size_t held_per_member_max = 64;    // tickets not yet used; more wait
  std::size_t nodes_max = 800;             // sessions; further nodes count as unreachable
  registry::WatcherOptions watcher = {};
};

class Manager final : public wire::Machine {
 public:
  // `identity` outlives the manager, and signs tickets and decisions.
  Manager(const certs::Identity& identity, ManagerOptions options);

  wire::Effects handle(const wire::Now& now, const wire::Event& event) override;
  wire::Effects advance(const wire::Now& now) override;
  std::optional<Instant> next_deadline() const override;

  const registry::Watcher& watcher() const { return watcher_; }
  const Holds& holds() const { return holds_; }
  std::size_t pending() const { return pending_.size(); }
  // Listed nodes that it has a session with.
  std::size_t nodes_met() const { return watcher_.nodes().size() - std::min(watcher_.nodes().size(), closed_.size()); }

 private:
  struct RequestKey {
    certs::MemberId client;
    job::RequestId request;
    auto operator<=>(const RequestKey&) const = default;
  };
  struct Pending {
    wire::Place place;
    wire::PeerId peer = 0;  // whom to answer; 0: away
    std::string client_name;
    Instant arrived;
    std::uint64_t order = 0;
    bool over_limit = false;  // the queue was full when it came: answered so
    Instant away_until;
    std::uint32_t told_position = 0;  // 0: nothing told yet
    std::string told_reason;
    Instant told_at;
  };
  struct Placement {
    wire::Place place;
    wire::Placed answer;
    job::TicketId ticket;
    certs::MemberId node;
    std::uint64_t boot = 0, sequence = 0;  // of the advert that it was decided on
    job::Grant grant;
    bool held = false;     // the grant counts in holds_
    bool refused = false;  // by the node: held until its next advert
    Instant ends;
  };
  struct Seen {
    std::uint64_t boot = 0, sequence = 0;
    bool dialled = false;
  };

  void on_message(const wire::Now& now, const wire::Received& received);
  void on_place(const wire::Now& now, const wire::Peer& peer, const wire::Place& place);
  void on_cancel(const wire::Peer& peer, const wire::CancelPlace& cancel);
  void on_reserve_refused(const wire::Peer& node, const wire::ReserveRefused& refused);
  void on_client_down(const wire::Now& now, wire::PeerId peer);
  void on_storage_failed(const wire::Now& now, const Error& error);

  // The nodes.
  void follow_listing(const wire::Now& now);
  void dial_node(const wire::Now& now, const wire::Advert& advert, Seen& seen);
  const wire::Peer* session_with(const certs::MemberId& node) const;
  void on_node_up(const wire::Peer& peer);
  void release_listed(const registry::NodeView& view);

  // The queue.
  bool settled(const wire::Now& now) const;
  std::size_t pending_of(const certs::MemberId& client) const;
  void enter_turns(const certs::MemberId& client);
  void leave_turns(const certs::MemberId& client, bool placed);
  std::vector<RequestKey> fair_order() const;
  void run_queue(const wire::Now& now);
  std::string try_to_answer(const wire::Now& now, const RequestKey& key, const Closed& closed);
  void answer_placed(const wire::Now& now, const RequestKey& key, Decision decision);
  void answer_unplaceable(const wire::Now& now, const RequestKey& key, const std::string& reason,
                          wire::DecisionRecord record);
  void tell(const wire::Now& now, Pending& pending, std::uint32_t position, const std::string& reason);
  certs::Signed sign(const wire::DecisionRecord& record);
  std::size_t held_by(const certs::MemberId& client) const;
  void hold(const RequestKey& key, Placement placement);
  void unhold(Placement& placement);
  void forget(const RequestKey& key);
  void want_pass();

  const certs::Identity& identity_;
  ManagerOptions options_;
  registry::Watcher watcher_;
  registry::Dialer nodes_{registry::kManagerDial};
  wire::IdSource ids_;
  bool seeded_ = false;

  std::map<certs::MemberId, Seen> seen_;  // listed nodes as last looked at
  std::uint64_t seen_revision_ = 0;
  Closed closed_;  // listed nodes without a session
  std::optional<Instant> complete_since_;

  std::map<RequestKey, Pending> pending_;
  std::set<std::pair<Instant, RequestKey>> absences_;
  std::uint64_t arrivals_ = 0;
  std::map<certs::MemberId, std::uint64_t> turns_;  // of members with pending requests: turns that are behind them
  std::map<RequestKey, Placement> placements_;      // while their tickets live
  std::map<certs::MemberId, std::set<RequestKey>> at_node_;
  std::map<certs::MemberId, std::size_t> held_by_;
  std::set<std::pair<Instant, RequestKey>> ends_;
  Holds holds_;

  bool pass_wanted_ = false;
  Instant pass_at_{};               // not before
  std::optional<Instant> tell_at_;  // while anyone waits
  std::optional<Instant> last_from_queue_;
  std::optional<Seconds> interval_;                          // between placements of requests that had to wait
  std::vector<std::pair<RequestKey, Pending>> uncommitted_;  // answered in the last pass, should the journal fail
  wire::Effects effects_;
};

}  // namespace tomogrid::manager
