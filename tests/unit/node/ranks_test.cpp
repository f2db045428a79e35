#include "node/ranks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace tomogrid::node {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Two sockets of four processors, and eight of another host.
std::vector<Seat> cluster() {
  std::vector<Seat> seats;
  for (int cpu = 0; cpu < 8; ++cpu) seats.push_back({"", cpu / 4, cpu});
  const std::vector<Seat> elsewhere = seats_of({{"node2", 8}});
  seats.insert(seats.end(), elsewhere.begin(), elsewhere.end());
  return seats;
}

std::vector<int> cpus_of(const std::vector<Seat>& seats) {
  std::vector<int> cpus;
  for (const Seat& seat : seats) cpus.push_back(seat.cpu);
  return cpus;
}

TEST(Seating, AJobStaysOnOneSocketWhenItFits) {
  Seating seating(cluster());
  const auto first = seating.take(3, true);
  EXPECT_THAT(cpus_of(first), ElementsAre(0, 1, 2));
  EXPECT_THAT(cpus_of(seating.take(1, true)), ElementsAre(3)) << "the fullest socket that has room";
  EXPECT_THAT(cpus_of(seating.take(4, true)), ElementsAre(4, 5, 6, 7)) << "so that this one was still whole";
  seating.give_back(first);
  EXPECT_THAT(cpus_of(seating.take(2, true)), ElementsAre(0, 1));
}

TEST(Seating, ALargerJobTakesSocketsOfThisMachineBeforeOtherHosts) {
  Seating seating(cluster());
  EXPECT_THAT(cpus_of(seating.take(6, true)), ElementsAre(0, 1, 2, 3, 4, 5));
  const auto rest = seating.take(5, true);
  ASSERT_EQ(rest.size(), 5U);
  EXPECT_THAT(cpus_of(rest), ElementsAre(6, 7, -1, -1, -1));
  EXPECT_EQ(rest.back().host, "node2");
}

TEST(Seating, AJobThatMustNotSpreadStaysHere) {
  Seating seating(cluster());
  EXPECT_EQ(seating.take(10, false).size(), 8U) << "all there is here";
  EXPECT_THAT(seating.take(1, false), IsEmpty());
  EXPECT_EQ(seating.take(8, true).size(), 8U);
  EXPECT_THAT(seating.take(1, true), IsEmpty());
}

TEST(Seating, WhatIsGivenBackIsFreeOnce) {
  Seating seating({{"", 0, 0}, {"", 0, 1}});
  const auto both = seating.take(2, true);
  seating.give_back(both);
  seating.give_back(both);
  EXPECT_EQ(seating.take(4, true).size(), 2U);
}

TEST(Ranks, OneForEachSocketAndHostWithTheFirstHere) {
  const auto ranks = ranks_of({{"node2", 0, -1}, {"", 1, 5}, {"", 0, 1}, {"", 0, 0}, {"node2", 0, -1}}, 0);
  ASSERT_EQ(ranks.size(), 3U);
  EXPECT_EQ(ranks[0].host, "");
  EXPECT_THAT(ranks[0].cpus, ElementsAre(1, 0));
  EXPECT_EQ(ranks[0].threads, 2U);
  EXPECT_THAT(ranks[1].cpus, ElementsAre(5));
  EXPECT_EQ(ranks[2].host, "node2");
  EXPECT_EQ(ranks[2].threads, 2U);
  EXPECT_THAT(ranks[2].cpus, IsEmpty());
}

TEST(Ranks, SmallerOnesWhenAsked) {
  const auto ranks = ranks_of({{"", 0, 0}, {"", 0, 1}, {"", 0, 2}}, 2);
  ASSERT_EQ(ranks.size(), 2U);
  EXPECT_THAT(ranks[0].cpus, ElementsAre(0, 1));
  EXPECT_THAT(ranks[1].cpus, ElementsAre(2));
}

TEST(Ranks, WhoHasNoSeatHereStillReadsAndWritesHere) {
  const auto ranks = ranks_of({{"node2", 0, -1}}, 0);
  ASSERT_EQ(ranks.size(), 2U);
  EXPECT_EQ(ranks[0].host, "");
  EXPECT_EQ(ranks[0].threads, 1U);
}

TEST(Ranks, NoSeatsAreNoRanks) { EXPECT_THAT(ranks_of({}, 0), IsEmpty()); }

TEST(Ranks, TheCommandBindsEachRankAndGivesTheFirstTheNodesLines) {
  const auto words = mpirun_command("/usr/bin/mpirun", {"--mca", "btl_tcp_if_include", "10.1.0.0/16"},
                                    {{"", {0, 2}, 2}, {"node2", {}, 8}}, {"/opt/worker", "--job", "."});
  EXPECT_THAT(words,
              ElementsAre("/usr/bin/mpirun", "--quiet", "--bind-to", "none", "--oversubscribe", "--mca",
                          "btl_tcp_if_include", "10.1.0.0/16", "-n", "1", "--host", "localhost", "/usr/bin/env",
                          "OMP_NUM_THREADS=2", "OMP_PROC_BIND=true", "taskset", "-c", "0,2", "/bin/sh", "-c",
                          "exec \"$@\" 3>&1 1>&2", "sh", "/opt/worker", "--job", ".", ":", "-n", "1", "--host", "node2",
                          "/usr/bin/env", "OMP_NUM_THREADS=8", "OMP_PROC_BIND=false", "/bin/sh", "-c",
                          "exec \"$@\" 3>/dev/null 1>&2", "sh", "/opt/worker", "--job", "."));
}

TEST(Ranks, HostsAreNamedWithTheirCores) {
  EXPECT_EQ(parse_worker_host("node17:16").value(), (WorkerHost{"node17", 16}));
  EXPECT_EQ(parse_worker_host("10.1.0.7:4").value(), (WorkerHost{"10.1.0.7", 4}));
  for (const char* wrong : {"", "node17", ":4", "node17:", "node17:0", "node17:4x", "node17:99999", "--mca:4", "a,b:4",
                            "a b:4", "node17:-4"})
    EXPECT_FALSE(parse_worker_host(wrong).has_value()) << wrong;
}

TEST(Ranks, SocketsAreReadFromTheKernel) {
  const TemporaryFolder root;
  for (const char* name : {"cpu0/node0", "cpu1/node1", "cpu2/topology", "cpu2/node12"})
    std::filesystem::create_directories(root.path() / "sys/devices/system/cpu" / name);
  EXPECT_EQ(sockets_of({0, 1, 2, 3}, root.path()), (std::vector<Seat>{{"", 0, 0}, {"", 1, 1}, {"", 12, 2}, {"", 0, 3}}));
}

}  // namespace
}  // namespace tomogrid::node
