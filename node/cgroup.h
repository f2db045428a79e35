// Limits that control groups put on this process, versions 1 and 2 together, as a container or a batch system sets
// them.
#pragma once

#include <filesystem>
#include <optional>

#include "base/quantity.h"

namespace tomogrid::node {

struct CgroupLimits {
  std::optional<double> cpus;        // quota over period; nullopt: none
  std::optional<Bytes> memory_left;  // the least of (limit - what is in use and cannot be dropped) over all levels
};

// Reads proc/self/{cgroup,mountinfo} under `root` ("/"; a folder of fixtures in tests) and every level of the
// hierarchies that they name, down from the mount. What cannot be read or is malformed does not limit.
CgroupLimits read_cgroup_limits(const std::filesystem::path& root);

}  // namespace tomogrid::node
