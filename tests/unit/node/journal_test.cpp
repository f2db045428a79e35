#include "node/journal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "base/file.h"
#include "node/records.h"

namespace tomogrid::node {
namespace {

using Rows = std::vector<wire::Row>;

TEST(Journal, RowsAreReplacedAndDeleted) {
  const TemporaryFolder home;
  {
    SqliteJournal journal(home.path() / "journal.db");
    ASSERT_TRUE(journal.commit({{"job", "a", "1"}, {"job", "b", "2"}, {"node", "drain", "on"}}).has_value());
    ASSERT_TRUE(journal.commit({{"job", "a", "3"}, {"job", "b", ""}, {"job", "c", ""}}).has_value());
  }
  SqliteJournal journal(home.path() / "journal.db");
  EXPECT_EQ(journal.recover().value(), (Rows{{"job", "a", "3"}, {"node", "drain", "on"}}));
}

TEST(Journal, BootsAreOrderedEvenWhenTheClockIsSetBack) {
  const TemporaryFolder home;
  std::uint64_t last = 0;
  for (const std::int64_t wall : {1000, 5000, 4000, -3, 6000}) {
    SqliteJournal journal(home.path() / "journal.db");
    const std::uint64_t boot = journal.next_boot({wall});
    EXPECT_GT(boot, last);
    EXPECT_GE(boot, static_cast<std::uint64_t>(std::max<std::int64_t>(wall, 0)));
    last = boot;
  }
}

TEST(Journal, SecondProcessOnTheSameFileIsRefused) {
  const TemporaryFolder home;
  const SqliteJournal journal(home.path() / "journal.db");
  try {
    const SqliteJournal second(home.path() / "journal.db");
    FAIL() << "two nodes on one journal";
  } catch (const Failure& refused) {
    EXPECT_EQ(refused.error().code, ErrorCode::Conflict) << refused.what();
  }
}

TEST(Journal, FileIsPrivate) {
  const TemporaryFolder home;
  SqliteJournal journal(home.path() / "journal.db");
  ASSERT_TRUE(journal.commit({{"job", "a", "1"}}).has_value());
  for (const auto& entry : std::filesystem::directory_iterator(home.path())) {
    struct stat status {};
    ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600U) << entry.path();
  }
}

TEST(Journal, NoFileOrGarbageIsAFailure) {
  const TemporaryFolder home;
  EXPECT_THROW(SqliteJournal(home.path() / "absent" / "journal.db"), Failure);
  ASSERT_TRUE(write_file(home.path() / "garbage.db", bytes_of(std::string(5000, 'x'))).has_value());
  EXPECT_THROW(SqliteJournal(home.path() / "garbage.db"), Failure);
}

// A process is killed at some moment while it commits pairs of rows (a, n), (b, n): what is found is always a whole
// pair, and nothing that it had reported as committed is missing.
TEST(Journal, KilledAtAnyMomentKeepsWholeTransactionsThatWereAcknowledged) {
  std::mt19937 random(7);
  for (int round = 0; round < 12; ++round) {
    const TemporaryFolder home;
    int report[2];
    ASSERT_EQ(::pipe(report), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      SqliteJournal journal(home.path() / "journal.db");
      for (std::uint32_t n = 1;; ++n) {
        const std::string body = std::to_string(n);
        if (!journal.commit({{"t", "a", body}, {"t", "b", body}})) ::_exit(1);
        if (::write(report[1], &n, sizeof n) != sizeof n) ::_exit(1);
      }
    }
    ::close(report[1]);
    std::uint32_t acknowledged = 0;
    const std::uint32_t until = 1 + static_cast<std::uint32_t>(random() % 40);
    while (acknowledged < until && ::read(report[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    while (::read(report[0], &acknowledged, sizeof acknowledged) == sizeof acknowledged) {
    }
    ::close(report[0]);
    ASSERT_GT(acknowledged, 0U);
    SqliteJournal journal(home.path() / "journal.db");
    const Rows rows = journal.recover().value();
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0].body, rows[1].body) << "half a transaction";
    EXPECT_GE(std::stoul(rows[0].body), acknowledged) << "an acknowledged row is lost";
  }
}

TEST(Records, SurviveARoundTrip) {
  JobRecord record;
  record.key.client.bytes[0] = 9;
  record.key.job.bytes[5] = 3;
  record.service = {"recon.test", 2};
  record.parameters = R"({"a":1})";
  record.needs = {1, 4, mebibytes(3), mebibytes(2), FlopCount(1e15), {"fast"}};
  record.inputs = {{{"scan.f32", Bytes(10), {}}, true}, {{"map.f32", Bytes(UINT64_MAX), {}}, false}};
  record.state = job::JobState::Failed;
  record.managed = true;
  record.ticket.bytes[1] = 4;
  record.grant = {2, mebibytes(1), mebibytes(2)};
  record.deaths = 1;
  record.failure = {"lost", "with \"quotes\" and \xC3\xA9", job::Retry::Elsewhere};
  record.outputs = {{"volume.f32", Bytes(3), {}}};
  record.receipt = certs::Signed{"receipt", {1, 2, 3}, {}};
  record.checkpoint = "checkpoint";
  record.order = 12;
  record.accepted = {1};
  record.ended = {2};
  record.expires = {3};
  record.collected = record.wiped = true;
  EXPECT_EQ(parse_job_record(encode(record)).value(), record);
  const ScratchFact fact{record.key,
                         {{"scan.f32", 10, {{0, 3}, {5, 10}}, job::Digest{}}, {"map.f32", 2, {}, std::nullopt}},
                         record.outputs};
  EXPECT_EQ(parse_scratch_fact(encode(fact)).value(), fact);
  const WorkerRecord worker{record.key, 1234, UINT64_MAX};
  EXPECT_EQ(parse_worker_record(encode(worker)).value(), worker);
}

TEST(Records, EveryTruncationIsRefused) {
  JobRecord record;
  record.service = {"recon.test", 2};
  record.inputs = {{{"scan.f32", Bytes(10), {}}, true}};
  record.receipt = certs::Signed{"receipt", {1, 2, 3}, {}};
  const wire::Row row = encode(record);
  for (std::size_t length = 0; length < row.body.size(); ++length) {
    EXPECT_FALSE(parse_job_record({row.table, row.key, row.body.substr(0, length)}).has_value()) << length;
  }
}

}  // namespace
}  // namespace tomogrid::node
