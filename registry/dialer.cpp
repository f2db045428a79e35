#include "registry/dialer.h"

#include <algorithm>

namespace tomogrid::registry {

void Dialer::dial(const Key& key, Entry& entry, wire::Effects& effects) {
  entry.dial = mark_ | ++dialled_;
  dials_[entry.dial] = key;
  effects.push_back(wire::Connect{entry.dial, entry.target});
}

void Dialer::pause(const wire::Now& now, const Key& key, Entry& entry) {
  const auto doubled = options_.pause_least * (std::int64_t{1} << std::min(entry.failures, 16U));
  ++entry.failures;
  entry.retry_at = now.instant + std::min<std::chrono::milliseconds>(doubled, options_.pause_most);
  retries_.emplace(entry.retry_at, key);
}

void Dialer::want(const wire::Now& now, const Key& key, const wire::Target& target, wire::Effects& effects) {
  const auto [found, fresh] = links_.try_emplace(key);
  Entry& entry = found->second;
  const bool moved = !fresh && (entry.target.host != target.host || entry.target.control_port != target.control_port ||
                                entry.target.transport_key != target.transport_key);
  entry.target = target;
  if (entry.peer || entry.dial != 0) return;
  if (fresh || moved || entry.retry_at <= now.instant) dial(found->first, entry, effects);
}

void Dialer::unwant(const Key& key, wire::Effects& effects) {
  const auto found = links_.find(key);
  if (found == links_.end()) return;
  if (found->second.peer) {
    sessions_.erase(found->second.peer->id);
    effects.push_back(wire::ClosePeer{found->second.peer->id, "done", "nothing more to say"});
  }
  dials_.erase(found->second.dial);  // its session, if it comes to one, is closed in on(PeerUp)
  links_.erase(found);
}

std::optional<Dialer::Key> Dialer::on(const wire::Now& now, const wire::PeerUp& event, wire::Effects& effects) {
  if (!marks(event.peer.dial)) return std::nullopt;
  const auto found = dials_.find(event.peer.dial);
  if (found == dials_.end()) {
    effects.push_back(wire::ClosePeer{event.peer.id, "done", "no longer needed"});
    return std::nullopt;
  }
  const Key key = found->second;
  dials_.erase(found);
  Entry& entry = links_.at(key);
  entry.dial = 0;
  entry.peer = event.peer;
  entry.up_since = now.instant;
  entry.last_error.reset();
  sessions_[event.peer.id] = key;
  return key;
}

std::optional<Dialer::Key> Dialer::on(const wire::Now& now, const wire::PeerDown& event) {
  const auto found = sessions_.find(event.peer.id);
  if (found == sessions_.end()) return std::nullopt;
  const Key key = found->second;
  sessions_.erase(found);
  Entry& entry = links_.at(key);
  entry.peer.reset();
  if (now.instant - entry.up_since >= options_.settled) entry.failures = 0;
  entry.last_error = Error{ErrorCode::Unreachable, event.reason};
  pause(now, key, entry);
  return key;
}

std::optional<Dialer::Key> Dialer::on(const wire::Now& now, const wire::ConnectFailed& event) {
  const auto found = dials_.find(event.dial);
  if (found == dials_.end()) return std::nullopt;
  const Key key = found->second;
  dials_.erase(found);
  Entry& entry = links_.at(key);
  entry.dial = 0;
  entry.last_error = event.error;
  pause(now, key, entry);
  return key;
}

void Dialer::advance(const wire::Now& now, wire::Effects& effects) {
  while (!retries_.empty() && retries_.begin()->first <= now.instant) {
    const Key key = retries_.begin()->second;
    retries_.erase(retries_.begin());
    const auto found = links_.find(key);
    if (found == links_.end()) continue;
    Entry& entry = found->second;
    if (!entry.peer && entry.dial == 0 && entry.retry_at <= now.instant) dial(key, entry, effects);
  }
}

std::optional<Instant> Dialer::next_deadline() const {
  if (retries_.empty()) return std::nullopt;
  return retries_.begin()->first;
}

const Dialer::Link* Dialer::find(const Key& key) const {
  const auto found = links_.find(key);
  return found != links_.end() ? &found->second : nullptr;
}

std::optional<Dialer::Key> Dialer::key_of(wire::PeerId peer) const {
  const auto found = sessions_.find(peer);
  if (found == sessions_.end()) return std::nullopt;
  return found->second;
}

}  // namespace tomogrid::registry
