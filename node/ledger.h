// What this node has promised, against what it has: cores, memory and scratch held by reservations and by jobs. Pure.
//
// Scratch is memory (a memory-backed folder), so a hold must fit twice: its scratch into the scratch that is left, and
// its memory plus its scratch into the memory that is left. Capacity may shrink under what is held already (outside
// load); then nothing new is granted until enough is given back.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <variant>

#include "job/job.h"
#include "wire/machine.h"

namespace tomogrid::node {

// Who holds: a manager's reservation, or an admitted job.
using Holder = std::variant<job::TicketId, wire::JobKey>;

class Ledger final {
 public:
  void set_capacity(const wire::Capacity& capacity) { capacity_ = capacity; }
  const wire::Capacity& capacity() const { return capacity_; }

  // What is left to promise; never below zero.
  wire::Capacity free() const;
  // What of `needs` could be granted now: as many cores as asked and free, at most `cores_cap` (0: no cap). nullopt: it
  // does not fit. `instead_of`: counted as given back (a job that trades its scratch for a full grant).
  std::optional<job::Grant> fit(const job::Needs& needs, std::uint32_t cores_cap,
                                const std::optional<Holder>& instead_of = std::nullopt) const;
  // True when exactly this fits now.
  bool fits(const job::Grant& grant) const;
  // True when `needs` fits an empty machine of this size.
  bool could_ever_fit(const job::Needs& needs, std::uint32_t cores_cap) const;

  // Replaces what `holder` holds, without asking whether it fits: the caller has.
  void hold(const Holder& holder, const job::Grant& grant) { held_[holder] = grant; }
  void release(const Holder& holder) { held_.erase(holder); }
  const std::map<Holder, job::Grant>& holds() const { return held_; }

 private:
  wire::Capacity left_without(const std::optional<Holder>& holder) const;
  wire::Capacity capacity_;
  std::map<Holder, job::Grant> held_;
};

}  // namespace tomogrid::node
