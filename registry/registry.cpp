#include "registry/registry.h"

#include <algorithm>
#include <tuple>

#include "certs/signed.h"

namespace tomogrid::registry {

namespace {

std::chrono::milliseconds remaining(Instant until, const wire::Now& now) {
  return std::max(std::chrono::milliseconds(0), std::chrono::ceil<std::chrono::milliseconds>(until - now.instant));
}

}  // namespace

Registry::Registry(RegistryOptions options) : options_(options) {
  TOMOGRID_ASSERT(options_.lease.count() > 0 && options_.pulse.count() > 0);
}

wire::Effects Registry::handle(const wire::Now& now, const wire::Event& event) {
  if (const auto* received = std::get_if<wire::Received>(&event)) {
    const wire::Peer& peer = received->peer;
    const wire::Message& message = received->message;
    if (const auto* announce = std::get_if<wire::Announce>(&message)) {
      on_announce(now, peer, *announce);
    } else if (const auto* renew = std::get_if<wire::Renew>(&message)) {
      on_renew(now, peer, *renew);
    } else if (const auto* withdraw = std::get_if<wire::Withdraw>(&message)) {
      on_withdraw(now, peer, *withdraw);
    } else if (std::holds_alternative<wire::Watch>(message)) {
      on_watch(now, peer);
    } else {
      effects_.push_back(
          wire::ClosePeer{peer.id, "protocol", std::string(wire::name_of(message)) + " is nothing to tell a registry"});
    }
  } else if (const auto* down = std::get_if<wire::PeerDown>(&event)) {
    on_down(*down);
  }
  return std::exchange(effects_, {});
}

void Registry::on_announce(const wire::Now& now, const wire::Peer& peer, const wire::Announce& announce) {
  if (const auto allowed = certs::require(peer.roles, certs::Verb::AdvertiseNode); !allowed) {
    return refuse(peer, "role", allowed.error().message);
  }
  if (const auto verified = certs::verify(announce.advert, certs::kinds::advert, peer.signing_key); !verified) {
    return refuse(peer, "signature", verified.error().message);
  }
  const auto advert = wire::decode_advert(announce.advert.body);
  if (!advert) return refuse(peer, "malformed", advert.error().message);
  if (advert->node != peer.member || advert->signing_key != peer.signing_key) {
    return refuse(peer, "signature",
                  "the advert speaks of member " + certs::short_text(advert->node) + ", not of its sender");
  }

  const auto found = nodes_.find(peer.member);
  if (found == nodes_.end()) {
    if (nodes_.size() >= options_.nodes_max) {
      return refuse(peer, "full", "this registry lists " + std::to_string(nodes_.size()) + " nodes and takes no more");
    }
  } else if (advert->boot < found->second.boot) {
    return refuse(peer, "stale-boot",
                  "a later start of this node is listed (boot " + std::to_string(found->second.boot) + ")");
  } else if (std::tuple(advert->boot, advert->sequence) <= std::tuple(found->second.boot, found->second.sequence)) {
    return grant(now, peer, found->second);  // nothing new, but a sign of life
  }
  if (found == nodes_.end()) {
    effects_.push_back(
        wire::Report{false, "registry.node-listed", {{"node", peer.name}, {"member", certs::short_text(peer.member)}}});
  }
  Entry& entry = nodes_[peer.member];
  entry.record = announce.advert;
  entry.name = peer.name;
  entry.boot = advert->boot;
  entry.sequence = advert->sequence;
  grant(now, peer, entry);
  push(now, peer.member, entry);
}

void Registry::on_renew(const wire::Now& now, const wire::Peer& peer, const wire::Renew& renew) {
  const auto found = nodes_.find(peer.member);
  if (found == nodes_.end()) return refuse(peer, "unknown", "this registry does not list you; announce again");
  Entry& entry = found->second;
  if (renew.boot < entry.boot) {
    return refuse(peer, "stale-boot", "a later start of this node is listed (boot " + std::to_string(entry.boot) + ")");
  }
  if (std::tuple(renew.boot, renew.sequence) > std::tuple(entry.boot, entry.sequence)) {
    return refuse(peer, "unknown", "this registry lists an older advert of yours; announce again");
  }
  grant(now, peer, entry);
}

void Registry::grant(const wire::Now& now, const wire::Peer& peer, Entry& entry) {
  leases_.erase({entry.until, peer.member});
  entry.until = now.instant + options_.lease;
  leases_.insert({entry.until, peer.member});
  effects_.push_back(wire::Send{peer.id, wire::LeaseGranted{entry.boot, entry.sequence, options_.lease}});
}

void Registry::refuse(const wire::Peer& peer, const std::string& code, const std::string& reason) {
  effects_.push_back(wire::Send{peer.id, wire::LeaseRefused{code, reason}});
  if (code != "unknown") {
    effects_.push_back(
        wire::Report{false, "registry.refused", {{"member", peer.name}, {"code", code}, {"reason", reason}}});
  }
}

void Registry::push(const wire::Now& now, const certs::MemberId& node, Entry& entry) {
  if (entry.push_due) return;
  if (entry.pushed != Instant{} && now.instant < entry.pushed + options_.push_interval) {
    entry.push_due = true;
    pushes_.insert({entry.pushed + options_.push_interval, node});
    return;
  }
  entry.pushed = now.instant;
  tell_watchers(wire::Changed{wire::Listing{entry.record, remaining(entry.until, now)}});
}

void Registry::on_withdraw(const wire::Now&, const wire::Peer& peer, const wire::Withdraw& withdraw) {
  const auto found = nodes_.find(peer.member);
  if (found != nodes_.end() && withdraw.boot >= found->second.boot) lose(peer.member, "withdrawn");
}

void Registry::on_watch(const wire::Now& now, const wire::Peer& peer) {
  if (const auto allowed = certs::require(peer.roles, certs::Verb::WatchMembers); !allowed) {
    effects_.push_back(
        wire::Report{true, "watch", {{"member", certs::to_string(peer.member)}, {"outcome", "refused: role"}}});
    effects_.push_back(wire::ClosePeer{peer.id, "role", allowed.error().message});
    return;
  }
  const auto found = watchers_.find(peer.id);
  if (found == watchers_.end() && watchers_.size() >= options_.watchers_max) {
    effects_.push_back(wire::ClosePeer{
        peer.id, "full", "this registry has " + std::to_string(watchers_.size()) + " watchers and takes no more"});
    return;
  }
  if (found != watchers_.end() && now.instant < found->second.snapshot_at + std::chrono::seconds(1)) return;
  watchers_[peer.id] = Watching{peer.name, now.instant};
  if (!next_pulse_) next_pulse_ = now.instant + options_.pulse;
  for (wire::Snapshot& part : wire::split_snapshot(listing(now)))
    effects_.push_back(wire::Send{peer.id, std::move(part)});
}

void Registry::on_down(const wire::PeerDown& down) {
  watchers_.erase(down.peer.id);
  if (watchers_.empty()) next_pulse_.reset();
  if (down.code == "revoked" && nodes_.contains(down.peer.member)) lose(down.peer.member, "revoked");
}

wire::Effects Registry::advance(const wire::Now& now) {
  std::set<certs::MemberId> ended;
  for (auto it = leases_.begin(); it != leases_.end() && it->first <= now.instant; ++it) ended.insert(it->second);
  for (const certs::MemberId& node : ended) lose(node, "lease");
  while (!pushes_.empty() && pushes_.begin()->first <= now.instant) {
    const certs::MemberId node = pushes_.begin()->second;
    pushes_.erase(pushes_.begin());
    Entry& entry = nodes_.at(node);
    entry.push_due = false;
    push(now, node, entry);
  }
  if (next_pulse_ && *next_pulse_ <= now.instant) {
    next_pulse_ = now.instant + options_.pulse;
    tell_watchers(wire::Pulse{++pulses_});
  }
  return std::exchange(effects_, {});
}

void Registry::lose(const certs::MemberId& node, const std::string& reason) {
  const auto found = nodes_.find(node);
  const Entry& entry = found->second;
  leases_.erase({entry.until, node});
  if (entry.push_due) pushes_.erase({entry.pushed + options_.push_interval, node});
  tell_watchers(wire::Lost{node, entry.boot, reason});
  effects_.push_back(wire::Report{
      false, "registry.node-lost", {{"node", entry.name}, {"member", certs::short_text(node)}, {"reason", reason}}});
  nodes_.erase(found);
}

void Registry::tell_watchers(const wire::Message& message) {
  for (const auto& [peer, watching] : watchers_) effects_.push_back(wire::Send{peer, message});
}

std::optional<Instant> Registry::next_deadline() const {
  std::optional<Instant> next = next_pulse_;
  const auto consider = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
  if (!leases_.empty()) consider(leases_.begin()->first);
  if (!pushes_.empty()) consider(pushes_.begin()->first);
  return next;
}

std::vector<wire::Listing> Registry::listing(const wire::Now& now) const {
  std::vector<wire::Listing> all;
  all.reserve(nodes_.size());
  for (const auto& [node, entry] : nodes_) all.push_back({entry.record, remaining(entry.until, now)});
  return all;
}

}  // namespace tomogrid::registry
