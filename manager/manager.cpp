#include "manager/manager.h"

#include <algorithm>

#include "base/text.h"

namespace tomogrid::manager {

namespace {

// Sessions go by the node's id, not by the transport key that its advert claims: another's advert may claim the same
// one.
registry::Dialer::Key link_of(const certs::MemberId& node) {
  return {node.bytes};
}

}  // namespace

Manager::Manager(const certs::Identity& identity, ManagerOptions options)
    : identity_(identity), options_(std::move(options)), watcher_(options_.registries, options_.watcher) {}

wire::Effects Manager::handle(const wire::Now& now, const wire::Event& event) {
  if (const auto* failed = std::get_if<wire::StorageFailed>(&event)) {
    on_storage_failed(now, failed->error);
    return std::exchange(effects_, {});
  }
  if (const auto* entropy = std::get_if<wire::Entropy>(&event)) {
    ids_.seed(entropy->seed);
    seeded_ = true;
  }
  effects_ = watcher_.handle(now, event);
  if (const auto* up = std::get_if<wire::PeerUp>(&event)) {
    if (nodes_.on(now, *up, effects_)) on_node_up(up->peer);
  } else if (const auto* down = std::get_if<wire::PeerDown>(&event)) {
    if (nodes_.on(now, *down)) {
      if (seen_.contains(down->peer.member)) closed_[down->peer.member] = rejections::unreachable;
    } else {
      on_client_down(now, down->peer.id);
    }
  } else if (const auto* unreached = std::get_if<wire::ConnectFailed>(&event)) {
    nodes_.on(now, *unreached);
  } else if (const auto* received = std::get_if<wire::Received>(&event)) {
    on_message(now, *received);
  }
  follow_listing(now);
  if (std::holds_alternative<wire::PeerUp>(event) && !pending_.empty()) want_pass();
  return std::exchange(effects_, {});
}

void Manager::on_message(const wire::Now& now, const wire::Received& received) {
  const wire::Peer& peer = received.peer;
  if (peer.dial != 0) {  // a node that we dialled; or a registry, whose messages the watcher has taken
    const auto* refused = std::get_if<wire::ReserveRefused>(&received.message);
    if (refused != nullptr && nodes_.key_of(peer.id)) on_reserve_refused(peer, *refused);
    return;
  }
  if (const auto* place = std::get_if<wire::Place>(&received.message)) return on_place(now, peer, *place);
  if (const auto* cancel = std::get_if<wire::CancelPlace>(&received.message)) return on_cancel(peer, *cancel);
  effects_.push_back(wire::ClosePeer{peer.id, "protocol",
                                     std::string(wire::name_of(received.message)) + " is nothing to tell a manager"});
}

// ---- requests
// --------------------------------------------------------------------------------------------------------

void Manager::on_place(const wire::Now& now, const wire::Peer& peer, const wire::Place& place) {
  if (const auto allowed = certs::require(peer.roles, certs::Verb::Place); !allowed) {
    effects_.push_back(wire::Report{
        true,
        "place",
        {{"member", certs::to_string(peer.member)}, {"job", job::to_string(place.job)}, {"outcome", "refused: role"}}});
    effects_.push_back(wire::ClosePeer{peer.id, "role", allowed.error().message});
    return;
  }
  const RequestKey key{peer.member, place.request};
  if (const auto placed = placements_.find(key); placed != placements_.end()) {
    effects_.push_back(
        wire::Send{peer.id, placed->second.answer});  // one request id, one answer; it says what was asked
    return;
  }
  const auto [found, fresh] = pending_.try_emplace(key);
  Pending& pending = found->second;
  if (fresh) {
    pending.arrived = now.instant;
    pending.order = ++arrivals_;
  } else if (pending.peer == 0) {
    absences_.erase({pending.away_until, key});
  }
  pending.place = place;
  pending.peer = peer.id;
  pending.client_name = peer.name;
  pending.told_position = 0;  // tell this session where it stands
  if (!fresh) return want_pass();
  enter_turns(key.client);
  pending.over_limit = pending_.size() > options_.queue_max || pending_of(key.client) > options_.queue_per_member_max;
  want_pass();
}

void Manager::on_cancel(const wire::Peer& peer, const wire::CancelPlace& cancel) {
  const RequestKey key{peer.member, cancel.request};
  if (const auto pending = pending_.find(key); pending != pending_.end()) {
    absences_.erase({pending->second.away_until, key});
    pending_.erase(pending);
    leave_turns(key.client, false);
  }
  const auto placed = placements_.find(key);
  if (placed == placements_.end()) return;
  if (const auto* node = session_with(placed->second.node))
    effects_.push_back(wire::Send{node->id, wire::Release{placed->second.ticket}});
  forget(key);
}

void Manager::on_client_down(const wire::Now& now, wire::PeerId peer) {
  for (auto& [key, pending] : pending_) {
    if (pending.peer != peer) continue;
    pending.peer = 0;
    pending.away_until = now.instant + options_.absence;
    absences_.insert({pending.away_until, key});
  }
}

void Manager::on_reserve_refused(const wire::Peer& node, const wire::ReserveRefused& refused) {
  const auto here = at_node_.find(node.member);
  if (here == at_node_.end()) return;
  for (const RequestKey& key : here->second) {
    Placement& placement = placements_.at(key);
    if (placement.ticket != refused.ticket) continue;
    // Its figures were out of date: believe the hold until it says new ones, which may have come already.
    placement.refused = true;
    const auto seen = seen_.find(node.member);
    const bool said =
        seen != seen_.end() && (seen->second.boot != placement.boot || seen->second.sequence > placement.sequence);
    if (said) unhold(placement);
    pass_wanted_ = pass_wanted_ || !pending_.empty();
    effects_.push_back(wire::Report{false,
                                    "manager.reserve-refused",
                                    {{"node", node.name},
                                     {"ticket", job::short_text(refused.ticket)},
                                     {"code", refused.code},
                                     {"reason", refused.reason}}});
  }
}

// Nothing of the last pass was done: nobody was answered, no node was told. As if those decisions had not been made.
void Manager::on_storage_failed(const wire::Now& now, const Error& error) {
  effects_.push_back(wire::Report{false, "manager.storage-failed", {{"reason", error.message}}});
  for (auto& [key, pending] : uncommitted_) {
    if (placements_.contains(key)) forget(key);
    if (pending.peer == 0) absences_.insert({pending.away_until, key});
    pending_.emplace(key, std::move(pending));
    enter_turns(key.client);
  }
  uncommitted_.clear();
  pass_wanted_ = true;
  pass_at_ = now.instant + std::chrono::seconds(1);
}

// ---- nodes
// -----------------------------------------------------------------------------------------------------------

void Manager::follow_listing(const wire::Now& now) {
  if (!watcher_.complete()) {
    complete_since_.reset();
  } else if (!complete_since_) {
    complete_since_ = now.instant;
    want_pass();
  }
  if (watcher_.revision() == seen_revision_) return;
  seen_revision_ = watcher_.revision();
  for (auto it = seen_.begin(); it != seen_.end();) {
    if (watcher_.find(it->first) != nullptr) {
      ++it;
      continue;
    }
    nodes_.unwant(link_of(it->first), effects_);
    closed_.erase(it->first);
    it = seen_.erase(it);
  }
  for (const registry::NodeView& view : watcher_.nodes()) {
    Seen& seen = seen_[view.advert.node];
    if (seen.boot == view.advert.boot && seen.sequence == view.advert.sequence) continue;
    seen.boot = view.advert.boot;
    seen.sequence = view.advert.sequence;
    dial_node(now, view.advert, seen);
    release_listed(view);
  }
  want_pass();
}

void Manager::dial_node(const wire::Now& now, const wire::Advert& advert, Seen& seen) {
  const auto route =
      std::find_if(advert.routes.begin(), advert.routes.end(), [](const wire::Route& r) { return r.kind == "direct"; });
  if (!seen.dialled) closed_[advert.node] = rejections::unreachable;
  if (route == advert.routes.end() || (!seen.dialled && nodes_.size() >= options_.nodes_max)) return;
  wire::Target target;
  target.host = route->host;
  target.control_port = route->control_port;
  target.transport_key = advert.transport_key;
  target.role = certs::Role::Node;
  target.member = advert.node;
  seen.dialled = true;
  nodes_.want(now, link_of(advert.node), target, effects_);
}

const wire::Peer* Manager::session_with(const certs::MemberId& node) const {
  const auto* link = nodes_.find(link_of(node));
  return link != nullptr && link->peer ? &*link->peer : nullptr;
}

void Manager::on_node_up(const wire::Peer& peer) {
  const auto seen = seen_.find(peer.member);
  if (seen == seen_.end()) return;
  closed_.erase(peer.member);
  const auto here = at_node_.find(peer.member);
  if (here == at_node_.end()) return;
  for (const RequestKey& key :
       here->second) {  // what an earlier session may not have delivered; told twice is harmless
    const Placement& placement = placements_.at(key);
    if (placement.held && !placement.refused)
      effects_.push_back(wire::Send{peer.id, wire::Reserve{placement.answer.ticket}});
  }
}

// From here on the node's own figure accounts for these tickets, or they are void (it has restarted).
void Manager::release_listed(const registry::NodeView& view) {
  const auto here = at_node_.find(view.advert.node);
  if (here == at_node_.end()) return;
  const auto& listed = view.advert.recent_tickets;
  for (const RequestKey& key : here->second) {
    Placement& placement = placements_.at(key);
    if (!placement.held) continue;
    const bool in_advert = std::find(listed.begin(), listed.end(), placement.ticket) != listed.end();
    const bool newer = view.advert.boot > placement.boot || view.advert.sequence > placement.sequence;
    if (in_advert || view.advert.boot != placement.boot || (placement.refused && newer)) unhold(placement);
  }
}

void Manager::hold(const RequestKey& key, Placement placement) {
  holds_[placement.node].add(placement.grant);
  placement.held = true;
  ++held_by_[key.client];
  at_node_[placement.node].insert(key);
  ends_.insert({placement.ends, key});
  placements_[key] = std::move(placement);
}

void Manager::unhold(Placement& placement) {
  if (!placement.held) return;
  placement.held = false;
  Held left;  // added up again: sums that saturate cannot be subtracted from
  std::optional<certs::MemberId> client;
  for (const RequestKey& key : at_node_.at(placement.node)) {
    const Placement& other = placements_.at(key);
    if (&other == &placement) client = key.client;
    if (other.held) left.add(other.grant);
  }
  if (left == Held{}) {
    holds_.erase(placement.node);
  } else {
    holds_[placement.node] = left;
  }
  if (client && --held_by_[*client] == 0) held_by_.erase(*client);
}

void Manager::forget(const RequestKey& key) {
  const auto found = placements_.find(key);
  unhold(found->second);
  const auto here = at_node_.find(found->second.node);
  here->second.erase(key);
  if (here->second.empty()) at_node_.erase(here);
  ends_.erase({found->second.ends, key});
  placements_.erase(found);
  pass_wanted_ = pass_wanted_ || !pending_.empty();
}

std::size_t Manager::held_by(const certs::MemberId& client) const {
  const auto found = held_by_.find(client);
  return found == held_by_.end() ? 0 : found->second;
}

// ---- time
// ------------------------------------------------------------------------------------------------------------

void Manager::want_pass() {
  pass_wanted_ = pass_wanted_ || !pending_.empty();
}

wire::Effects Manager::advance(const wire::Now& now) {
  if (pass_wanted_ && seeded_ && pass_at_ <= now.instant) {
    run_queue(now);
    return std::exchange(effects_, {});
  }
  effects_ = watcher_.advance(now);
  nodes_.advance(now, effects_);
  while (!ends_.empty() && ends_.begin()->first <= now.instant) forget(ends_.begin()->second);
  while (!absences_.empty() && absences_.begin()->first <= now.instant) {
    const RequestKey key = absences_.begin()->second;
    absences_.erase(absences_.begin());
    pending_.erase(key);
    leave_turns(key.client, false);
  }
  if (tell_at_ && *tell_at_ <= now.instant) {
    tell_at_.reset();
    want_pass();
  }
  follow_listing(now);
  return std::exchange(effects_, {});
}

std::optional<Instant> Manager::next_deadline() const {
  std::optional<Instant> next;
  const auto consider = [&next](std::optional<Instant> at) {
    if (at) next = next ? std::min(*next, *at) : *at;
  };
  consider(watcher_.next_deadline());
  consider(nodes_.next_deadline());
  if (!ends_.empty()) consider(ends_.begin()->first);
  if (!absences_.empty()) consider(absences_.begin()->first);
  consider(tell_at_);
  if (pass_wanted_ && seeded_) consider(pass_at_);
  return next;
}

}  // namespace tomogrid::manager
