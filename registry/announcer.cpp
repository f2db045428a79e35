#include "registry/announcer.h"

#include <algorithm>

namespace tomogrid::registry {

Announcer::Announcer(const certs::Identity& identity, AnnouncerOptions options)
    : identity_(identity), options_(std::move(options)), registries_(kAnnouncerDial, options_.registries) {}

wire::Effects Announcer::publish(const wire::Now& now, wire::Advert content) {
  wire::Effects effects;
  if (withdrawn_) return effects;
  content.node = identity_.member();
  content.name = identity_.name();
  content.transport_key = identity_.transport_key();
  content.signing_key = identity_.certificate().signing_key;
  content_ = std::move(content);
  changed_ = true;
  if (!record_ || now.instant >= signed_at_ + options_.gather) sign_and_tell(now, effects);
  return effects;
}

void Announcer::sign_and_tell(const wire::Now& now, wire::Effects& effects) {
  content_->sequence = ++sequence_;
  content_->issued = now.wall;
  record_ = identity_.signed_record(certs::kinds::advert, wire::encode_body(*content_));
  signed_at_ = now.instant;
  changed_ = false;
  for (auto& [key, at] : at_) announce(now, at, effects);
}

void Announcer::announce(const wire::Now& now, Registration& at, wire::Effects& effects) {
  effects.push_back(wire::Send{at.peer, wire::Announce{*record_}});
  at.announce_next = false;
  at.next = now.instant + at.lease / 3;
}

wire::Effects Announcer::withdraw(const wire::Now&) {
  wire::Effects effects;
  withdrawn_ = true;
  if (!content_) return effects;
  for (auto& [key, at] : at_) {
    effects.push_back(wire::Send{at.peer, wire::Withdraw{content_->boot}});
    at.next.reset();
  }
  return effects;
}

wire::Effects Announcer::handle(const wire::Now& now, const wire::Event& event) {
  wire::Effects effects;
  if (const auto change = registries_.handle(now, event, effects)) {
    at_.erase(change->registry);
    if (change->up) {
      Registration& at = at_[change->registry];
      at.peer = registries_.links().find(change->registry)->peer->id;
      at.lease = options_.lease;
      if (record_ && !withdrawn_) announce(now, at, effects);
    }
  } else if (const auto* received = std::get_if<wire::Received>(&event)) {
    const auto from = registries_.links().key_of(received->peer.id);
    if (!from || withdrawn_) return effects;
    if (const auto* granted = std::get_if<wire::LeaseGranted>(&received->message))
      on_granted(now, *from, *granted, effects);
    if (const auto* refused = std::get_if<wire::LeaseRefused>(&received->message))
      on_refused(now, *from, *refused, effects);
  }
  return effects;
}

void Announcer::on_granted(const wire::Now& now, const Key& from, const wire::LeaseGranted& granted,
                           wire::Effects& effects) {
  Registration& at = at_.at(from);
  if (!at.granted) {
    effects.push_back(wire::Report{false,
                                   "announcer.registered",
                                   {{"registry", registries_.links().find(from)->peer->name},
                                    {"lease_ms", std::to_string(granted.lease.count())}}});
  }
  at.granted = true;
  at.refusal.clear();
  // Not below 30 ms: a registry that grants next to nothing would make this node talk without end.
  at.lease = std::clamp<std::chrono::milliseconds>(granted.lease, std::chrono::milliseconds(30), std::chrono::hours(1));
  const Instant due = now.instant + at.lease / 3;
  if (!at.announce_next) at.next = at.next ? std::min(*at.next, due) : due;
}

// "unknown": the registry has lost or never had us: say it all again, now. Anything else (a full registry, a newer
// process with our keys) may pass: try again after a lease, and say it once.
void Announcer::on_refused(const wire::Now& now, const Key& from, const wire::LeaseRefused& refused,
                           wire::Effects& effects) {
  Registration& at = at_.at(from);
  at.granted = false;
  if (!record_) return;
  if (refused.code == "unknown" && at.refusal != "unknown") {
    at.refusal = refused.code;
    return announce(now, at, effects);
  }
  if (at.refusal != refused.code) {
    effects.push_back(wire::Report{false,
                                   "announcer.refused",
                                   {{"registry", registries_.links().find(from)->peer->name},
                                    {"code", refused.code},
                                    {"reason", refused.reason}}});
  }
  at.refusal = refused.code;
  at.announce_next = true;
  at.next = now.instant + at.lease;
}

wire::Effects Announcer::advance(const wire::Now& now) {
  wire::Effects effects;
  registries_.advance(now, effects);
  if (withdrawn_) return effects;
  if (changed_ && now.instant >= signed_at_ + options_.gather) sign_and_tell(now, effects);
  for (auto& [key, at] : at_) {
    if (!at.next || *at.next > now.instant) continue;
    if (at.announce_next) {
      announce(now, at, effects);
    } else {
      effects.push_back(wire::Send{at.peer, wire::Renew{content_->boot, sequence_}});
      at.next = now.instant + at.lease / 3;
    }
  }
  return effects;
}

std::optional<Instant> Announcer::next_deadline() const {
  std::optional<Instant> next = registries_.next_deadline();
  const auto consider = [&next](Instant at) { next = next ? std::min(*next, at) : at; };
  if (withdrawn_) return next;
  if (changed_) consider(signed_at_ + options_.gather);
  for (const auto& [key, at] : at_) {
    if (at.next) consider(*at.next);
  }
  return next;
}

std::size_t Announcer::registries_granted() const {
  return static_cast<std::size_t>(
      std::count_if(at_.begin(), at_.end(), [](const auto& entry) { return entry.second.granted; }));
}

}  // namespace tomogrid::registry
