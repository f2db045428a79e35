// How much this machine can give right now: processors it may use, less what others use; memory; scratch.
//
// Free cores = what affinity and control groups allow, at most what is left of the machine when the load that is not
// ours is taken away (/proc/stat less the processor time of this node and all that descends from it). Free memory is
// what the kernel and every control group would still give, plus what our own workers and scratch occupy: the node's
// ledger subtracts what it has promised, not what is in use, so that nothing is counted twice.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/quantity.h"
#include "base/time.h"
#include "wire/machine.h"

namespace tomogrid::node {

// Raw figures of one moment.
struct Reading {
  Instant at;
  std::uint32_t online = 1;   // processors of the machine
  double allowed = 1;         // by affinity and control groups; may be a fraction
  std::uint64_t busy_ms = 0;  // of all processors since boot; steal included, niced work not
  std::uint64_t own_ms = 0;   // of that: this process and all its descendants, also those that have ended
  Bytes memory_left;          // by the kernel and control groups
  Bytes own_memory;           // anonymous memory of our workers
  Bytes scratch_used, scratch_capacity;
};

// Turns readings into a steady figure. Pure.
//
// The outside load is smoothed over about two seconds; another number of free cores is believed when three readings in
// a row say so, another size when it differs by 256 MiB or an eighth: every change is signed and sent to every
// registry.
class CapacityEstimator final {
 public:
  wire::Capacity update(const Reading& reading);

 private:
  std::optional<Reading> last_;
  double outside_ = 0;  // cores
  std::optional<wire::Capacity> shown_;
  std::uint32_t candidate_ = 0;
  unsigned agreed_ = 0;
};

// What an administrator or a test states instead.
struct FixedCapacity {
  std::uint32_t cores_least = 0;  // free at least, however busy the machine: the kernel shares, a thread gets its part
  std::optional<std::uint32_t> cores = std::nullopt;  // in all and free: neither affinity nor load is looked at
  std::optional<Bytes> memory = std::nullopt;
};

// Reads /proc, /sys and the scheduler's affinity. `root` is "/" but in tests.
class CapacitySource final {
 public:
  explicit CapacitySource(FixedCapacity fixed = {}, std::filesystem::path root = "/");
  wire::Capacity poll(Instant now, Bytes scratch_used, Bytes scratch_capacity);
  // Processors that this process may run on.
  static std::vector<int> allowed_cpus();

 private:
  FixedCapacity fixed_;
  std::filesystem::path root_;
  CapacityEstimator estimator_;
};

// Parsers of what the kernel says; for tests. Zeroes when the text is not understood.
std::uint64_t parse_busy_ticks(const std::string& proc_stat);         // first line of /proc/stat
std::uint64_t parse_process_ticks(const std::string& proc_pid_stat);  // utime + stime + cutime + cstime
Bytes parse_memory_available(const std::string& meminfo);

}  // namespace tomogrid::node
