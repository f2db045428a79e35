#include "wire/knocks.h"

#include <algorithm>

namespace tomogrid::wire {

bool Knocks::take(Budget& budget, Instant now, double per_second, double burst) {
  const double past = std::chrono::duration<double>(now - budget.seen).count();
  budget.left = std::min(burst, budget.left + past * per_second);
  budget.seen = now;
  if (budget.left < 1) return false;
  budget.left -= 1;
  return true;
}

template <class Key>
void Knocks::make_room(std::map<Key, Budget>& budgets) {
  if (budgets.size() < limits_.remembered) return;
  budgets.erase(std::min_element(budgets.begin(), budgets.end(),
                                 [](const auto& a, const auto& b) { return a.second.seen < b.second.seen; }));
}

bool Knocks::may_knock(Instant now, const std::string& address, const certs::TransportPublicKey& key) {
  if (const auto member = keys_.find(key); member != keys_.end()) {
    return take(member->second, now, limits_.member_per_second, limits_.member_burst);
  }
  auto found = addresses_.find(address);
  if (found == addresses_.end()) {
    make_room(addresses_);
    found = addresses_.emplace(address, Budget{limits_.burst, now}).first;
  }
  return take(found->second, now, limits_.per_second, limits_.burst);
}

void Knocks::known(Instant now, const certs::TransportPublicKey& key) {
  if (keys_.contains(key)) return;
  make_room(keys_);
  keys_.emplace(key, Budget{limits_.member_burst, now});
}

}  // namespace tomogrid::wire
