#include "node/capacity.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "node/cgroup.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

std::string whole_text(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::uint64_t ticks_to_ms(std::uint64_t ticks) {
  static const auto per_second = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  return ticks * 1000 / per_second;
}

std::vector<pid_t> children_of(const fs::path& proc, pid_t pid) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& thread : fs::directory_iterator(proc / std::to_string(pid) / "task", error)) {
    std::ifstream list(thread.path() / "children");
    for (pid_t child = 0; list >> child;) children.push_back(child);
  }
  return children;
}

Bytes anonymous_memory(const std::string& status) {
  const std::size_t at = status.find("RssAnon:");
  return at == std::string::npos ? Bytes() : Bytes(std::strtoull(status.c_str() + at + 8, nullptr, 10) * 1024);
}

struct OwnUse {
  std::uint64_t ticks = 0;
  Bytes memory;  // of descendants only: the node's own few MiB are its price, not a job's
};

void add_tree(const fs::path& proc, pid_t pid, bool descendant, OwnUse& use, int depth = 0) {
  const fs::path folder = proc / std::to_string(pid);
  use.ticks += parse_process_ticks(whole_text(folder / "stat"));
  if (descendant) use.memory += anonymous_memory(whole_text(folder / "status"));
  if (depth > 16) return;
  for (const pid_t child : children_of(proc, pid)) add_tree(proc, child, true, use, depth + 1);
}

Bytes steady(Bytes shown, Bytes now) {
  const std::uint64_t difference = shown > now ? (shown - now).count() : (now - shown).count();
  const std::uint64_t matters = std::max<std::uint64_t>(std::min<std::uint64_t>(256ULL << 20, shown.count() / 8), 1);
  return difference < matters ? shown : now;
}

}  // namespace

// Without `nice`: what runs at a lower priority gives way to our workers.
std::uint64_t parse_busy_ticks(const std::string& text) {
  std::istringstream fields(text.substr(0, text.find('\n')));
  std::string name;
  std::uint64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0;
  fields >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq >> steal;
  return name == "cpu" && fields ? user + system + irq + softirq + steal : 0;
}

std::uint64_t parse_process_ticks(const std::string& text) {
  const std::size_t after_name = text.rfind(')');  // a name may hold spaces and brackets
  if (after_name == std::string::npos) return 0;
  std::istringstream fields(text.substr(after_name + 1));
  std::string skipped;
  for (int number = 3; number < 14; ++number) fields >> skipped;
  std::uint64_t utime = 0, stime = 0, cutime = 0, cstime = 0;
  fields >> utime >> stime >> cutime >> cstime;
  return fields ? utime + stime + cutime + cstime : 0;
}

Bytes parse_memory_available(const std::string& text) {
  const std::size_t at = text.find("MemAvailable:");
  return at == std::string::npos ? Bytes() : Bytes(std::strtoull(text.c_str() + at + 13, nullptr, 10) * 1024);
}

wire::Capacity CapacityEstimator::update(const Reading& reading) {
  constexpr double kSmoothing = 2.0;  // seconds
  constexpr double kNearly = 0.25;    // a core that is three quarters ours counts as free
  constexpr unsigned kAgree = 3;
  if (last_ && reading.at > last_->at) {
    const double elapsed = Seconds(reading.at - last_->at).count();
    const auto spent = [&](std::uint64_t Reading::*figure) {
      return std::max(0.0, (static_cast<double>(reading.*figure) - static_cast<double>((*last_).*figure)) / 1000.0);
    };
    const double outside =
        std::clamp((spent(&Reading::busy_ms) - spent(&Reading::own_ms)) / elapsed, 0.0, double{1} * reading.online);
    outside_ += (outside - outside_) * (1.0 - std::exp(-elapsed / kSmoothing));
  }
  last_ = reading;

  wire::Capacity now;
  now.cores_total = static_cast<std::uint32_t>(std::max(1.0, std::floor(reading.allowed + 1e-6)));
  const double left = std::floor(reading.online - outside_ + kNearly);
  const auto free = static_cast<std::uint32_t>(std::clamp(left, 0.0, static_cast<double>(now.cores_total)));
  now.memory_free = reading.memory_left + reading.own_memory + reading.scratch_used;
  now.scratch_free = reading.scratch_capacity;
  if (!shown_) {
    now.cores_free = free;
    shown_ = now;
    return now;
  }
  agreed_ = free == candidate_ ? agreed_ + 1 : 1;
  candidate_ = free;
  now.cores_free = agreed_ >= kAgree ? free : std::min(shown_->cores_free, now.cores_total);
  now.memory_free = steady(shown_->memory_free, now.memory_free);
  now.scratch_free = steady(shown_->scratch_free, now.scratch_free);
  shown_ = now;
  return now;
}

CapacitySource::CapacitySource(FixedCapacity fixed, fs::path root) : fixed_(fixed), root_(std::move(root)) {}

std::vector<int> CapacitySource::allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

wire::Capacity CapacitySource::poll(Instant now, Bytes scratch_used, Bytes scratch_capacity) {
  Reading reading;
  reading.at = now;
  reading.online = static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
  const CgroupLimits limits = read_cgroup_limits(root_);
  reading.allowed = static_cast<double>(std::max<std::size_t>(1, allowed_cpus().size()));
  if (limits.cpus) reading.allowed = std::min(reading.allowed, *limits.cpus);
  reading.memory_left = parse_memory_available(whole_text(root_ / "proc/meminfo"));
  if (limits.memory_left) reading.memory_left = std::min(reading.memory_left, *limits.memory_left);
  reading.busy_ms = ticks_to_ms(parse_busy_ticks(whole_text(root_ / "proc/stat")));
  OwnUse own;
  add_tree(root_ / "proc", ::getpid(), false, own);
  reading.own_ms = ticks_to_ms(own.ticks);
  reading.own_memory = own.memory;
  reading.scratch_used = scratch_used;
  reading.scratch_capacity = scratch_capacity;
  wire::Capacity capacity = estimator_.update(reading);
  capacity.cores_free = std::max(capacity.cores_free, std::min(fixed_.cores_least, capacity.cores_total));
  if (fixed_.cores) capacity.cores_total = capacity.cores_free = *fixed_.cores;
  if (fixed_.memory) capacity.memory_free = *fixed_.memory;
  return capacity;
}

}  // namespace tomogrid::node
