#include "node/ledger.h"

#include <algorithm>

namespace tomogrid::node {

namespace {

std::uint64_t less(std::uint64_t have, std::uint64_t taken) {
  return have > taken ? have - taken : 0;
}

// Sums of attacker-chosen sizes must not wrap.
std::uint64_t sum(std::uint64_t a, std::uint64_t b) {
  return a + b < a ? UINT64_MAX : a + b;
}

std::uint32_t granted_cores(const job::Needs& needs, std::uint32_t free, std::uint32_t cap) {
  std::uint32_t cores = needs.cores_max == 0 ? free : std::min(needs.cores_max, free);
  if (cap != 0) cores = std::min(cores, cap);
  return cores;
}

}  // namespace

wire::Capacity Ledger::left_without(const std::optional<Holder>& holder) const {
  std::uint64_t cores = 0, memory = 0, scratch = 0;
  for (const auto& [who, grant] : held_) {
    if (holder && who == *holder) continue;
    cores += grant.cores;
    memory = sum(memory, sum(grant.memory.count(), grant.scratch.count()));
    scratch = sum(scratch, grant.scratch.count());
  }
  wire::Capacity left = capacity_;
  left.cores_free = static_cast<std::uint32_t>(less(capacity_.cores_free, cores));
  left.memory_free = Bytes(less(capacity_.memory_free.count(), memory));
  left.scratch_free = Bytes(less(capacity_.scratch_free.count(), scratch));
  return left;
}

wire::Capacity Ledger::free() const {
  return left_without(std::nullopt);
}

std::optional<job::Grant> Ledger::fit(const job::Needs& needs, std::uint32_t cores_cap,
                                      const std::optional<Holder>& instead_of) const {
  const wire::Capacity left = left_without(instead_of);
  const std::uint32_t cores = granted_cores(needs, left.cores_free, cores_cap);
  if (cores == 0 || cores < needs.cores_min) return std::nullopt;
  if (needs.scratch > left.scratch_free) return std::nullopt;
  if (sum(needs.memory.count(), needs.scratch.count()) > left.memory_free.count()) return std::nullopt;
  return job::Grant{cores, needs.memory, needs.scratch};
}

bool Ledger::fits(const job::Grant& grant) const {
  const wire::Capacity left = free();
  return grant.cores <= left.cores_free && grant.scratch <= left.scratch_free &&
         sum(grant.memory.count(), grant.scratch.count()) <= left.memory_free.count();
}

bool Ledger::could_ever_fit(const job::Needs& needs, std::uint32_t cores_cap) const {
  const std::uint32_t most = cores_cap == 0 ? capacity_.cores_total : std::min(cores_cap, capacity_.cores_total);
  return needs.cores_min <= most && needs.scratch <= capacity_.scratch_free &&
         sum(needs.memory.count(), needs.scratch.count()) <= capacity_.memory_free.count();
}

}  // namespace tomogrid::node
