// The machine descriptor: what kind of machine this is and how fast one of its cores computes, measured once with our
// own kernel and kept in HOME/machine.json, which an administrator may edit.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/quantity.h"
#include "base/result.h"
#include "base/time.h"

namespace tomogrid::node {

struct MachineDescriptor {
  std::string processor;             // "model name" of /proc/cpuinfo, when measured
  std::uint32_t cores_measured = 0;  // that computed at once
  FlopRate rate_per_core;            // see measure_rate()
  double spread = 0;                 // (largest - smallest) / median of the repeats
  WallTime measured;
  bool edited = false;  // set by an administrator who changed a figure: never measured anew by itself
  bool operator==(const MachineDescriptor&) const = default;
};

std::string encode(const MachineDescriptor& descriptor);  // JSON
Result<MachineDescriptor> parse_machine_descriptor(std::string_view json);

// Measures. What a core sustains, single precision, in a loop like reconstruction's: a row of values is added into
// another with four weights (4 fused multiply-adds per value read, so 8 operations), both rows in the first-level
// cache. All allowed cores at once, each thread bound to its own; the median of `repeats` of about 60 ms, per core. It
// is not the peak (that needs registers only: about twice this), nor what memory allows: it compares machines for the
// work that we send them.
MachineDescriptor measure_machine(WallTime now, unsigned repeats = 9);

// The descriptor of `file`; measured and written when it is absent, or was measured on another processor and not
// edited.
MachineDescriptor machine_descriptor(const std::filesystem::path& file, WallTime now);

}  // namespace tomogrid::node
