#include "node/cgroup.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<std::uint64_t> whole(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> figure(const fs::path& path) {
  return whole(first_line(path));
}

// Version 1 says "no limit" by a number near 2^63.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;

std::optional<std::uint64_t> memory_stat(const fs::path& path, const std::string& name) {
  std::ifstream file(path);
  std::string word, value;
  while (file >> word >> value) {
    if (word == name) return whole(value);
  }
  return std::nullopt;
}

struct Mount {
  std::string type, controllers;  // "cgroup2"; "cgroup" and its options
  fs::path root, point;
};

bool has_word(const std::string& list, const std::string& word) {
  std::istringstream words(list);
  for (std::string item; std::getline(words, item, ',');) {
    if (item == word) return true;
  }
  return false;
}

// man proc_pid_mountinfo: ID parent major:minor ROOT POINT options [tags] - TYPE source super-options
std::vector<Mount> mounts(const fs::path& file) {
  std::vector<Mount> found;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::string id, parent, device, root, point, word;
    fields >> id >> parent >> device >> root >> point;
    while (fields >> word && word != "-") {
    }
    Mount mount;
    std::string source;
    fields >> mount.type >> source >> mount.controllers;
    if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
    mount.root = root;
    mount.point = point;
    found.push_back(std::move(mount));
  }
  return found;
}

// The folders of one hierarchy from the mount down to this process's group.
std::vector<fs::path> levels(const fs::path& prefix, const Mount& mount, const std::string& group) {
  // In a container the mount shows a part of the hierarchy only, and the group's path may begin with that part's.
  fs::path below = fs::path(group).lexically_relative(mount.root);
  if (below.empty() || *below.begin() == "..") below = fs::path(group).relative_path();
  fs::path folder = prefix / mount.point.relative_path();
  std::vector<fs::path> found{folder};
  for (const fs::path& part : below) {
    if (part == "." || part.empty()) continue;
    folder /= part;
    found.push_back(folder);
  }
  return found;
}

void lower(std::optional<double>& least, double value) {
  least = least ? std::min(*least, value) : value;
}
void lower(std::optional<Bytes>& least, Bytes value) {
  least = least ? std::min(*least, value) : value;
}

void cpu_limit(const fs::path& folder, bool v2, CgroupLimits& limits) {
  std::string quota, period;
  if (v2) {
    std::istringstream fields(first_line(folder / "cpu.max"));  // "max 100000", "150000 100000"
    fields >> quota >> period;
  } else {
    quota = first_line(folder / "cpu.cfs_quota_us");  // -1: none
    period = first_line(folder / "cpu.cfs_period_us");
  }
  const auto used = whole(quota), of = whole(period);
  if (used && of && *of > 0) lower(limits.cpus, static_cast<double>(*used) / static_cast<double>(*of));
}

void memory_limit(const fs::path& folder, bool v2, CgroupLimits& limits) {
  const auto limit = figure(folder / (v2 ? "memory.max" : "memory.limit_in_bytes"));
  if (!limit || *limit >= kNoLimit) return;
  const std::uint64_t used = figure(folder / (v2 ? "memory.current" : "memory.usage_in_bytes")).value_or(0);
  const std::uint64_t droppable =
      memory_stat(folder / "memory.stat", v2 ? "inactive_file" : "total_inactive_file").value_or(0);
  const std::uint64_t kept = used > droppable ? used - droppable : 0;
  lower(limits.memory_left, Bytes(*limit > kept ? *limit - kept : 0));
}

}  // namespace

CgroupLimits read_cgroup_limits(const fs::path& root) {
  CgroupLimits limits;
  const std::vector<Mount> all = mounts(root / "proc/self/mountinfo");
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "4:memory:/a/b", "0::/a/b"
    const std::size_t one = line.find(':'), two = line.find(':', one + 1);
    if (one == std::string::npos || two == std::string::npos) continue;
    const std::string controllers = line.substr(one + 1, two - one - 1), group = line.substr(two + 1);
    const bool v2 = controllers.empty();
    const bool cpu = v2 || has_word(controllers, "cpu"), memory = v2 || has_word(controllers, "memory");
    for (const Mount& mount : all) {
      const bool same = v2 ? mount.type == "cgroup2"
                           : mount.type == "cgroup" && ((cpu && has_word(mount.controllers, "cpu")) ||
                                                        (memory && has_word(mount.controllers, "memory")));
      if (!same) continue;
      for (const fs::path& folder : levels(root, mount, group)) {
        if (cpu) cpu_limit(folder, v2, limits);
        if (memory) memory_limit(folder, v2, limits);
      }
    }
  }
  return limits;
}

}  // namespace tomogrid::node
