// Who may knock at a door, before any message: the policy behind ZAP. Pure.
//
// Any key may knock at the control door, within a budget: each key that has once shown a valid hello has its own, all others share
// the budget of their address. So strangers who crowd an address cannot lock members out. Memory is bounded: of
// addresses and known keys the longest unseen are forgotten.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "base/time.h"
#include "certs/keys.h"

namespace tomogrid::wire {

struct KnockLimits {
  double per_second = 100;             // refill of an address's budget
  double burst = 400;
  double member_per_second = 20;       // of one known key
  double member_burst = 100;
  std::size_t remembered = 4096;       // addresses, and keys
};

class Knocks final {
 public:
  explicit Knocks(KnockLimits limits = {}) : limits_(limits) {}
  // Takes one knock from the budget it belongs to; false: it is empty.
  bool may_knock(Instant now, const std::string& address, const certs::TransportPublicKey& key);
  // A hello with this key held.
  void known(Instant now, const certs::TransportPublicKey& key);

 private:
  struct Budget {
    double left = 0;
    Instant seen;
  };
  static bool take(Budget& budget, Instant now, double per_second, double burst);
  template <class Key>
  void make_room(std::map<Key, Budget>& budgets);

  KnockLimits limits_;
  std::map<std::string, Budget> addresses_;
  std::map<certs::TransportPublicKey, Budget> keys_;
};

}  // namespace tomogrid::wire
