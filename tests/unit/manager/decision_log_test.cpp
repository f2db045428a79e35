#include "manager/decision_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>

#include "base/file.h"
#include "base/text.h"
#include "manager/placement.h"
#include "support/sim_members.h"

namespace tomogrid::manager {

namespace {

using test::place_request;

class DecisionLogTest : public ::testing::Test {
 protected:
  wire::Row row(std::uint64_t request, std::uint32_t cores = 4) {
    registry::NodeView node;
    node.advert = test::idle_node(cores, 1e9);
    node.advert.node = members.get("node1", certs::Role::Node).member();
    const wire::Now now{Instant(std::chrono::hours(1)), WallTime{1'790'000'000'000}};
    const auto decision = place(
        Asked{place_request(request, 4), members.get("alice", certs::Role::Clinician).member(), manager.member(), now},
        std::vector{node});
    const auto record = manager.signed_record(certs::kinds::decision, wire::encode_body(decision.record));
    return {"decision", job::to_string(place_request(request).request), to_hex(certs::encode(record))};
  }
  std::vector<std::string> lines() const {
    std::ifstream stream(file);
    std::vector<std::string> all;
    for (std::string line; std::getline(stream, line);) all.push_back(line);
    return all;
  }
  void write(const std::vector<std::string>& all) const {
    std::ofstream stream(file);
    for (const auto& line : all) stream << line << "\n";
  }

  TemporaryFolder folder;
  std::filesystem::path file = folder.path() / "decisions.log";
  test::Members members;
  const certs::Identity& manager = members.get("manager1", certs::Role::Manager);
  const certs::SigningPublicKey& key = manager.certificate().signing_key;
};

TEST_F(DecisionLogTest, WhatIsCommittedReplaysAlsoAfterARestart) {
  for (std::uint64_t run = 0; run < 3; ++run) {
    DecisionLog log(file, key);
    for (std::uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(log.commit({row(run * 10 + i), row(100 + run * 10 + i, 2)}));
  }
  const auto report = replay_log(file, manager.member());
  ASSERT_TRUE(report);
  EXPECT_EQ(report->placed, 30u);
  EXPECT_EQ(report->unplaceable, 30u);
  EXPECT_EQ(report->faults_total, 0u);
}

TEST_F(DecisionLogTest, ATamperedLineIsFoundByNumber) {
  { DecisionLog(file, key).commit({row(1), row(2), row(3)}).or_throw(); }
  const auto good = lines();
  for (const std::size_t at : {good[1].size() - 10, good[1].size() / 2, std::size_t{40}, std::size_t{3}}) {
    auto bad = good;
    bad[1][at] = bad[1][at] == '0' ? '1' : '0';
    write(bad);
    const auto report = replay_log(file);
    ASSERT_TRUE(report);
    ASSERT_EQ(report->faults_total, 1u) << at;
    EXPECT_EQ(report->faults[0].line, 2u);
    EXPECT_EQ(report->placed, 2u);
  }
  // A whole line of another manager, well signed by it.
  const certs::Identity& other = members.get("manager2", certs::Role::Manager);
  write(good);
  EXPECT_EQ(replay_log(file, other.member())->faults_total, 3u);
  EXPECT_EQ(replay_log(file, manager.member())->faults_total, 0u);
  // Filed under another request.
  auto swapped = good;
  std::swap_ranges(swapped[0].begin(), swapped[0].begin() + 32, swapped[2].begin());
  write(swapped);
  EXPECT_EQ(replay_log(file)->faults_total, 2u);
  write({good[0], "nonsense", "", good[2]});
  EXPECT_EQ(replay_log(file)->faults_total, 2u);
}

TEST_F(DecisionLogTest, AnUnfinishedLineIsCutOffAndAWriterIsAlone) {
  { DecisionLog(file, key).commit({row(1)}).or_throw(); }
  std::ofstream(file, std::ios::app) << "0123 half a li";
  {
    DecisionLog log(file, key);
    EXPECT_THROW(DecisionLog(file, key), Failure);
    log.commit({row(2)}).or_throw();
  }
  EXPECT_EQ(lines().size(), 2u);
  EXPECT_EQ(replay_log(file)->placed, 2u);
}

TEST_F(DecisionLogTest, AFailedCommitLeavesNothingBehind) {
  DecisionLog log(file, key);
  log.commit({row(1)}).or_throw();
  const auto size = std::filesystem::file_size(file);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit small = before;
  small.rlim_cur = size + 100;
  const auto handler = ::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto failed = log.commit({row(2)});
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, handler);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::Storage);
  EXPECT_EQ(std::filesystem::file_size(file), size);
  EXPECT_TRUE(log.commit({row(3)}));
  EXPECT_EQ(replay_log(file)->placed, 2u);
  EXPECT_FALSE(replay_log(folder.path() / "absent"));
}

}  // namespace

}  // namespace tomogrid::manager
