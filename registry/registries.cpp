#include "registry/registries.h"

#include <algorithm>

namespace tomogrid::registry {

void Registries::begin(const wire::Now& now, wire::Effects& effects) {
  if (begun_) return;
  begun_ = true;
  for (const wire::Target& target : configured_) dialer_.want(now, target, effects);
}

std::optional<Registries::Change> Registries::handle(const wire::Now& now, const wire::Event& event,
                                                     wire::Effects& effects) {
  begin(now, effects);
  const auto change = [](const std::optional<Dialer::Key>& key, bool up) {
    return key ? std::optional<Change>(Change{*key, up}) : std::nullopt;
  };
  if (const auto* up = std::get_if<wire::PeerUp>(&event)) return change(dialer_.on(now, *up, effects), true);
  if (const auto* down = std::get_if<wire::PeerDown>(&event)) return change(dialer_.on(now, *down), false);
  if (const auto* failed = std::get_if<wire::ConnectFailed>(&event)) return change(dialer_.on(now, *failed), false);
  if (const auto* seen = std::get_if<wire::Discovered>(&event)) suggest(now, seen->suggestion, effects);
  return std::nullopt;
}

void Registries::suggest(const wire::Now& now, const wire::Suggestion& suggestion, wire::Effects& effects) {
  if (suggestion.role != certs::Role::Registry) return;
  const Dialer::Key& key = suggestion.transport_key;
  const bool configured = std::any_of(configured_.begin(), configured_.end(),
                                      [&key](const wire::Target& target) { return target.transport_key == key; });
  if (configured) return;
  if (suggestion.gone) {
    // mDNS may err while the session stands; then only the session counts, and its end is the end.
    const Dialer::Link* link = dialer_.find(key);
    if (link != nullptr && !link->peer && suggested_.erase(key) > 0) dialer_.unwant(key, effects);
    return;
  }
  if (!suggested_.contains(key) && suggested_.size() >= suggested_max && !make_room(effects)) return;
  suggested_.insert(key);
  wire::Target target;
  target.host = suggestion.host;
  target.control_port = suggestion.control_port;
  target.transport_key = key;
  target.role = certs::Role::Registry;
  dialer_.want(now, target, effects);
}

bool Registries::make_room(wire::Effects& effects) {
  const auto failures = [this](const Dialer::Key& key) {
    const Dialer::Link* link = dialer_.find(key);
    return link == nullptr || link->peer ? 0U : link->failures;
  };
  const auto worst = std::max_element(suggested_.begin(), suggested_.end(),
                                      [&](const auto& a, const auto& b) { return failures(a) < failures(b); });
  if (worst == suggested_.end() || failures(*worst) == 0) return false;
  dialer_.unwant(*worst, effects);
  suggested_.erase(worst);
  return true;
}

void Registries::advance(const wire::Now& now, wire::Effects& effects) {
  begin(now, effects);
  dialer_.advance(now, effects);
}

std::optional<Instant> Registries::next_deadline() const {
  if (!begun_ && !configured_.empty()) return Instant::min();
  return dialer_.next_deadline();
}

}  // namespace tomogrid::registry
