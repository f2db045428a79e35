#include "registry/watcher.h"

#include <algorithm>
#include <tuple>

namespace tomogrid::registry {

// The body is parsed before it is verified, because it names the key; decoding takes any bytes. Nothing of it is used
// unless that key is the one whose hash the node's id is, and has signed exactly these bytes.
Result<wire::Advert> open_advert(const certs::Signed& record) {
  if (record.kind != certs::kinds::advert)
    return Error{ErrorCode::Unverified, "a record of kind " + record.kind + " is not an advert"};
  auto advert = wire::decode_advert(record.body);
  if (!advert) return advert.error();
  if (certs::member_id(advert->signing_key) != advert->node) {
    return Error{ErrorCode::Unverified,
                 "an advert of " + certs::short_text(advert->node) + " names a key that is not that member's"};
  }
  if (const auto verified = certs::verify(record, certs::kinds::advert, advert->signing_key); !verified)
    return verified.error();
  return advert;
}

Watcher::Watcher(std::vector<wire::Target> registries, WatcherOptions options)
    : options_(options), registries_(kWatcherDial, std::move(registries)) {}

wire::Effects Watcher::handle(const wire::Now& now, const wire::Event& event) {
  wire::Effects effects;
  if (const auto change = registries_.handle(now, event, effects)) {
    telling_.erase(change->registry);
    if (change->up) {
      telling_.emplace(change->registry, Telling{});
      effects.push_back(wire::Send{registries_.links().find(change->registry)->peer->id, wire::Watch{}});
    }
  } else if (const auto* received = std::get_if<wire::Received>(&event)) {
    if (const auto from = registries_.links().key_of(received->peer.id)) on_message(now, *from, received->message);
  }
  return effects;
}

void Watcher::on_message(const wire::Now& now, const Key& from, const wire::Message& message) {
  if (const auto* snapshot = std::get_if<wire::Snapshot>(&message)) on_snapshot(now, from, *snapshot);
  if (const auto* changed = std::get_if<wire::Changed>(&message)) on_listing(now, from, changed->listing);
  if (const auto* lost = std::get_if<wire::Lost>(&message)) on_lost(from, *lost);
  if (std::holds_alternative<wire::Pulse>(message)) on_pulse(now, from);
}

void Watcher::on_snapshot(const wire::Now& now, const Key& from, const wire::Snapshot& snapshot) {
  for (const wire::Listing& listing : snapshot.listings) on_listing(now, from, listing);
  const auto telling = telling_.find(from);
  if (!snapshot.last || telling == telling_.end()) return;
  telling->second.complete = true;
  // What it vouched for in an earlier session and does not list any more has been lost meanwhile.
  std::vector<certs::MemberId> gone;
  for (const auto& [node, by] : vouched_) {
    if (by.contains(from) && !telling->second.in_snapshot.contains(node)) gone.push_back(node);
  }
  telling->second.in_snapshot.clear();
  for (const certs::MemberId& node : gone) withdraw_vouch(from, node);
}

void Watcher::on_listing(const wire::Now& now, const Key& from, const wire::Listing& listing) {
  const auto until = now.instant + std::min(listing.remaining, options_.lease_most);
  const auto note = [this, &from, until](const certs::MemberId& node) {
    const auto telling = telling_.find(from);
    if (telling != telling_.end() && !telling->second.complete) telling->second.in_snapshot.insert(node);
    vouch(from, node, until);
  };
  auto advert = open_advert(listing.advert);
  if (!advert) return;
  const auto at = place_of(advert->node);
  const bool known = at != nodes_.end() && at->advert.node == advert->node;
  if (known) {
    const auto version = std::tuple(advert->boot, advert->sequence);
    const auto present = std::tuple(at->advert.boot, at->advert.sequence);
    if (advert->boot < at->advert.boot) return;  // of an earlier life of that node
    if (version <= present) {
      at->heard = now.instant;
      return note(advert->node);
    }
    if (advert->boot > at->advert.boot) vouched_[advert->node].clear();  // the others vouch for an earlier life
  } else if (nodes_.size() >= options_.nodes_max) {
    return;
  }
  const certs::MemberId node = advert->node;
  NodeView view{*std::move(advert), listing.advert, now.instant};
  if (known) {
    *at = std::move(view);
  } else {
    nodes_.insert(at, std::move(view));
  }
  ++revision_;
  note(node);
}

void Watcher::on_lost(const Key& from, const wire::Lost& lost) {
  const NodeView* known = find(lost.node);
  if (known != nullptr && lost.boot >= known->advert.boot) withdraw_vouch(from, lost.node);
}

void Watcher::on_pulse(const wire::Now& now, const Key& from) {
  const Instant until = now.instant + options_.lease;
  for (NodeView& view : nodes_) {
    auto& by = vouched_[view.advert.node];
    const auto found = by.find(from);
    if (found == by.end()) continue;
    found->second = std::max(found->second, until);
    view.heard = now.instant;
  }
}

void Watcher::vouch(const Key& from, const certs::MemberId& node, Instant until) {
  vouched_[node][from] = until;
  if (!check_at_ || until < *check_at_) check_at_ = until;
}

void Watcher::withdraw_vouch(const Key& from, const certs::MemberId& node) {
  const auto found = vouched_.find(node);
  if (found == vouched_.end()) return;
  found->second.erase(from);
  if (found->second.empty()) forget(node);
}

void Watcher::forget(const certs::MemberId& node) {
  vouched_.erase(node);
  const auto at = place_of(node);
  TOMOGRID_ASSERT(at != nodes_.end() && at->advert.node == node);
  nodes_.erase(at);
  ++revision_;
}

wire::Effects Watcher::advance(const wire::Now& now) {
  wire::Effects effects;
  registries_.advance(now, effects);
  if (!check_at_ || now.instant < *check_at_) return effects;
  check_at_.reset();
  std::vector<certs::MemberId> gone;
  for (auto& [node, by] : vouched_) {
    std::erase_if(by, [&now](const auto& entry) { return entry.second <= now.instant; });
    if (by.empty()) gone.push_back(node);
    for (const auto& [registry, until] : by) check_at_ = check_at_ ? std::min(*check_at_, until) : until;
  }
  for (const certs::MemberId& node : gone) forget(node);
  return effects;
}

std::optional<Instant> Watcher::next_deadline() const {
  std::optional<Instant> next = registries_.next_deadline();
  if (check_at_) next = next ? std::min(*next, *check_at_) : *check_at_;
  return next;
}

std::vector<NodeView>::iterator Watcher::place_of(const certs::MemberId& node) {
  return std::lower_bound(nodes_.begin(), nodes_.end(), node,
                          [](const NodeView& view, const certs::MemberId& id) { return view.advert.node < id; });
}

const NodeView* Watcher::find(const certs::MemberId& node) const {
  const auto at =
      std::lower_bound(nodes_.begin(), nodes_.end(), node,
                       [](const NodeView& view, const certs::MemberId& id) { return view.advert.node < id; });
  return at != nodes_.end() && at->advert.node == node ? &*at : nullptr;
}

bool Watcher::complete() const {
  return std::any_of(telling_.begin(), telling_.end(), [](const auto& entry) { return entry.second.complete; });
}

std::size_t Watcher::registries_up() const {
  return telling_.size();
}

}  // namespace tomogrid::registry
