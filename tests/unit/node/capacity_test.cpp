#include "node/capacity.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/file.h"
#include "node/calibrate.h"
#include "node/cgroup.h"

namespace tomogrid::node {
namespace {

namespace fs = std::filesystem;

// A file system as the kernel shows it, in a folder.
struct Fixture {
  TemporaryFolder root;
  void put(const std::string& path, const std::string& text) const {
    fs::create_directories((root.path() / path).parent_path());
    std::ofstream(root.path() / path) << text;
  }
};

TEST(Cgroup, Version2LimitsOfEveryLevelCount) {
  const Fixture machine;
  machine.put("proc/self/cgroup", "0::/system.slice/node.service\n");
  machine.put("proc/self/mountinfo", "25 1 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
  machine.put("sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
  machine.put("sys/fs/cgroup/system.slice/memory.max", "max\n");
  machine.put("sys/fs/cgroup/system.slice/node.service/cpu.max", "max 100000\n");
  machine.put("sys/fs/cgroup/system.slice/node.service/memory.max", "1000000000\n");
  machine.put("sys/fs/cgroup/system.slice/node.service/memory.current", "600000000\n");
  machine.put("sys/fs/cgroup/system.slice/node.service/memory.stat", "anon 5\ninactive_file 100000000\nslab 3\n");
  const CgroupLimits limits = read_cgroup_limits(machine.root.path());
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 3.0);
  EXPECT_EQ(limits.memory_left.value(), Bytes(500'000'000));
}

TEST(Cgroup, Version1ControllersAreFoundByTheirMounts) {
  const Fixture machine;
  machine.put("proc/self/cgroup", "4:memory:/box/a\n2:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n");
  machine.put("proc/self/mountinfo",
              "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
              "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
              "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "150000\n");
  machine.put("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000\n");
  machine.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  machine.put("sys/fs/cgroup/memory/box/a/memory.limit_in_bytes", "1000\n");
  machine.put("sys/fs/cgroup/memory/box/a/memory.usage_in_bytes", "1500\n");
  machine.put("sys/fs/cgroup/memory/box/a/memory.stat", "total_inactive_file 700\n");
  const CgroupLimits limits = read_cgroup_limits(machine.root.path());
  EXPECT_DOUBLE_EQ(limits.cpus.value(), 1.5);
  EXPECT_EQ(limits.memory_left.value(), Bytes(200));
}

TEST(Cgroup, ContainerThatSeesAPartOfTheHierarchyOnly) {
  const Fixture machine;
  machine.put("proc/self/cgroup", "0::/docker/abc\n");
  machine.put("proc/self/mountinfo", "25 1 0:23 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  machine.put("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_DOUBLE_EQ(read_cgroup_limits(machine.root.path()).cpus.value(), 0.5);
}

TEST(Cgroup, NonsenseDoesNotLimit) {
  const Fixture machine;
  EXPECT_FALSE(read_cgroup_limits(machine.root.path()).cpus.has_value());
  machine.put("proc/self/cgroup", "garbage\n0:\n::::\n0::/a\n");
  machine.put("proc/self/mountinfo",
              "garbage\n25 1 0:23 / /sys/fs/cgroup rw - cgroup2\n25 1 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  machine.put("sys/fs/cgroup/a/cpu.max", "99999999999999999999999 1\n");
  machine.put("sys/fs/cgroup/a/memory.max", "-5\n");
  const CgroupLimits limits = read_cgroup_limits(machine.root.path());
  EXPECT_FALSE(limits.cpus.has_value());
  EXPECT_FALSE(limits.memory_left.has_value());
}

TEST(Capacity, KernelTextIsUnderstood) {
  EXPECT_EQ(parse_busy_ticks("cpu  100 20 30 4000 500 6 7 8 9 1\ncpu0 1 1 1 1 1 1 1 1 0 0\n"), 151U)
      << "nice, idle, iowait and guest left out";
  EXPECT_EQ(parse_busy_ticks("intr 5"), 0U);
  EXPECT_EQ(parse_process_ticks("12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 100 20 3 4 20 0 1 0 55 1 1"), 127U);
  EXPECT_EQ(parse_process_ticks("12 (x"), 0U);
  EXPECT_EQ(parse_memory_available("MemTotal: 10 kB\nMemAvailable:     2048 kB\n"), mebibytes(2));
}

Reading reading(double seconds, double busy_cores, double own_cores) {
  Reading item;
  item.at = Instant(std::chrono::duration_cast<Duration>(Seconds(seconds)));
  item.online = 8;
  item.allowed = 8;
  item.busy_ms = static_cast<std::uint64_t>(1000.0 * seconds * busy_cores);
  item.own_ms = static_cast<std::uint64_t>(1000.0 * seconds * own_cores);
  item.memory_left = gibibytes(8);
  item.scratch_capacity = gibibytes(4);
  return item;
}

TEST(Capacity, OwnWorkIsNotOutsideLoad) {
  CapacityEstimator estimator;
  wire::Capacity capacity;
  for (int i = 0; i < 100; ++i) capacity = estimator.update(reading(i * 0.2, 7.5, 7.5));
  EXPECT_EQ(capacity.cores_free, 8U);
  EXPECT_EQ(capacity.cores_total, 8U);
}

TEST(Capacity, OutsideLoadTakesCoresAfterAMomentAndGivesThemBack) {
  CapacityEstimator estimator;
  auto first = estimator.update(reading(0, 0, 0));
  EXPECT_EQ(first.cores_free, 8U);
  std::uint64_t busy = 0;
  double time = 0;
  const auto run = [&](double cores, int steps) {
    wire::Capacity capacity;
    int changes = 0;
    std::optional<std::uint32_t> before;
    for (int i = 0; i < steps; ++i) {
      time += 0.2;
      busy += static_cast<std::uint64_t>(200 * cores);
      Reading item = reading(time, 0, 0);
      item.busy_ms = busy;
      capacity = estimator.update(item);
      if (before && *before != capacity.cores_free) ++changes;
      before = capacity.cores_free;
    }
    return std::pair{capacity.cores_free, changes};
  };
  EXPECT_EQ(run(3.0, 1).first, 8U) << "one reading is not believed";
  EXPECT_EQ(run(3.0, 100).first, 5U);
  EXPECT_EQ(run(3.0, 100).second, 0) << "steady load, steady figure";
  EXPECT_EQ(run(0.1, 100).first, 8U) << "a tenth of a core is nothing";
  EXPECT_EQ(run(20.0, 100).first, 0U);
}

TEST(Capacity, QuotaOfAContainerBoundsTheCores) {
  CapacityEstimator estimator;
  Reading item = reading(0, 0, 0);
  item.allowed = 1.5;
  EXPECT_EQ(estimator.update(item).cores_free, 1U);
  item.allowed = 0.5;
  item.at += std::chrono::seconds(1);
  EXPECT_EQ(estimator.update(item).cores_total, 1U) << "slow, but one";
}

TEST(Capacity, MemoryIsCountedWithoutOwnUseAndWithoutFlutter) {
  CapacityEstimator estimator;
  Reading item = reading(0, 0, 0);
  item.memory_left = gibibytes(5);
  item.own_memory = gibibytes(2);
  item.scratch_used = gibibytes(1);
  const auto first = estimator.update(item);
  EXPECT_EQ(first.memory_free, gibibytes(8));
  item.at += std::chrono::milliseconds(200);
  item.memory_left = gibibytes(5) - mebibytes(50);
  EXPECT_EQ(estimator.update(item), first);
  item.at += std::chrono::milliseconds(200);
  item.memory_left = gibibytes(3);
  EXPECT_EQ(estimator.update(item).memory_free, gibibytes(6));
}

TEST(Capacity, ThisMachineHasSome) {
  CapacitySource source;
  const SystemClock clock;
  const auto capacity = source.poll(clock.now(), Bytes(), gibibytes(1));
  EXPECT_GE(capacity.cores_total, 1U);
  EXPECT_LE(capacity.cores_total, static_cast<std::uint32_t>(::sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_GT(capacity.memory_free.count(), 0U);
  CapacitySource fixed({.cores = 64, .memory = gibibytes(3)});
  const auto stated = fixed.poll(clock.now(), Bytes(), gibibytes(1));
  EXPECT_EQ(stated.cores_free, 64U);
  CapacitySource least({.cores_least = 1'000'000});
  EXPECT_EQ(least.poll(clock.now(), Bytes(), gibibytes(1)).cores_free, capacity.cores_total)
      << "not more than there are";
  EXPECT_EQ(stated.memory_free, gibibytes(3));
}

TEST(MachineDescriptor, IsMeasuredOnceAndKeptWhenEdited) {
  const TemporaryFolder home;
  const fs::path file = home.path() / "machine.json";
  const MachineDescriptor measured = machine_descriptor(file, {1000});
  EXPECT_GT(measured.rate_per_core.count(), 1e8) << "any machine of these years does 0.1 GFLOP/s a core";
  EXPECT_LT(measured.rate_per_core.count(), 1e12);
  EXPECT_EQ(machine_descriptor(file, {2000}), measured) << "read, not measured anew";
  MachineDescriptor edited = measured;
  edited.rate_per_core = FlopRate(42e9);
  edited.processor = "another";
  edited.edited = true;
  ASSERT_TRUE(write_file(file, bytes_of(encode(edited))).has_value());
  EXPECT_EQ(machine_descriptor(file, {3000}).rate_per_core, FlopRate(42e9));
  ASSERT_TRUE(write_file(file, bytes_of("{\"processor\":\"x\",\"gflops_per_core\":-1}")).has_value());
  EXPECT_THROW(machine_descriptor(file, {4000}), Failure);
}

}  // namespace
}  // namespace tomogrid::node
