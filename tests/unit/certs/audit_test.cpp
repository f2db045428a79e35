#include "certs/audit.h"

#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "base/file.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

class Audit : public testing::Test {
 protected:
  TemporaryFolder folder;
  std::filesystem::path file = folder.path() / "audit.jsonl";

  AuditHead write(int lines) {
    AuditLog log(file, kNow);
    for (int i = 0; i < lines; ++i) {
      log.append({.time = kNow,
                  .actor = seeded(2)->member(),
                  .verb = "open-job",
                  .job = job::JobId{{1, 2, 3}},
                  .outcome = "done",
                  .detail = "line " + std::to_string(i)});
    }
    log.sync();
    return log.head();
  }
  std::vector<std::string> lines() {
    std::istringstream text{std::string(text_of(good(read_file(file, Bytes(1 << 20)))))};
    std::vector<std::string> all;
    for (std::string line; std::getline(text, line);) all.push_back(line + "\n");
    return all;
  }
  void put(const std::vector<std::string>& all) {
    std::ofstream stream(file, std::ios::binary | std::ios::trunc);
    for (const std::string& line : all) stream << line;
  }
};

TEST_F(Audit, AWholeLogVerifiesAndContinues) {
  EXPECT_EQ(verify_audit(file).error().code, ErrorCode::NotFound);
  const AuditHead three = write(3);
  EXPECT_EQ(three.lines, 3U);
  EXPECT_EQ(good(verify_audit(file)), three);
  const AuditHead five = write(2);
  EXPECT_EQ(five.lines, 5U);
  EXPECT_EQ(good(verify_audit(file)), five);
  EXPECT_EQ(good(verify_audit(file, three)), five);
  struct stat status {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(Audit, EveryAlteredByteIsFoundAtItsLine) {
  write(3);
  const std::vector<std::string> original = lines();
  for (std::size_t line = 0; line < original.size(); ++line) {
    for (std::size_t i = 0; i < original[line].size(); ++i) {
      std::vector<std::string> changed = original;
      changed[line][i] = static_cast<char>(changed[line][i] ^ 1);
      put(changed);
      const auto verdict = verify_audit(file);
      ASSERT_FALSE(verdict.has_value()) << line << ":" << i;
      EXPECT_EQ(verdict.error().code, ErrorCode::Unverified);
      EXPECT_NE(verdict.error().message.find("line " + std::to_string(line + 1)), std::string::npos)
          << verdict.error().message;
    }
  }
}

TEST_F(Audit, RemovedMovedInsertedAndRepeatedLinesAreFound) {
  write(4);
  const std::vector<std::string> l = lines();
  put({l[1], l[2], l[3]});
  expect_error(verify_audit(file), ErrorCode::Unverified, "line 1");
  put({l[0], l[2], l[3]});
  expect_error(verify_audit(file), ErrorCode::Unverified, "line 2");
  put({l[0], l[2], l[1], l[3]});
  expect_error(verify_audit(file), ErrorCode::Unverified, "line 2");
  put({l[0], l[1], l[1], l[2], l[3]});
  expect_error(verify_audit(file), ErrorCode::Unverified, "line 3");
  put({l[0], l[1], l[2]});
  expect_error(verify_audit(file), ErrorCode::Unverified, "was cut: it has 3 lines");
  put({});
  expect_error(verify_audit(file), ErrorCode::Unverified, "was cut");
  EXPECT_THROW(AuditLog(file, kNow), Failure);
}

TEST_F(Audit, RewritingBothFilesIsFoundWithAHeadKeptElsewhere) {
  const AuditHead kept = write(3);
  std::filesystem::remove(file);
  std::filesystem::remove(file.string() + ".head");
  {
    AuditLog log(file, kNow);
    for (int i = 0; i < 5; ++i) log.append({.time = kNow, .verb = "nothing", .outcome = "done"});
  }
  EXPECT_TRUE(verify_audit(file).has_value());
  expect_error(verify_audit(file, kept), ErrorCode::Unverified, "was rewritten");
}

TEST_F(Audit, AMissingHeadIsReportedAndNotedWhenTheLogGoesOn) {
  write(3);
  std::filesystem::remove(file.string() + ".head");
  expect_error(verify_audit(file), ErrorCode::Unverified, "missing or damaged");
  EXPECT_EQ(write(0).lines, 4U);
  EXPECT_NE(lines().back().find("log-head-missing"), std::string::npos);
}

TEST_F(Audit, AnUnfinishedLastLineIsRepairedAndSaidSo) {
  write(3);
  std::vector<std::string> l = lines();
  l.push_back("{\"line\":4,\"time\":\"20");
  put(l);
  expect_error(verify_audit(file), ErrorCode::Unverified, "ends within line 4");
  EXPECT_EQ(write(0).lines, 4U);
  EXPECT_NE(lines().back().find("log-repaired"), std::string::npos);
  EXPECT_TRUE(verify_audit(file).has_value());
}

TEST_F(Audit, ABrokenLogIsNotContinued) {
  write(3);
  std::vector<std::string> l = lines();
  l[1][20] = 'X';
  put(l);
  try {
    AuditLog log(file, kNow);
    FAIL() << "continued a broken log";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::Unverified);
    EXPECT_NE(failure.error().message.find("move it aside"), std::string::npos);
  }
}

TEST_F(Audit, OneWriterAtATime) {
  const AuditLog first(file, kNow);
  try {
    AuditLog second(file, kNow);
    FAIL() << "two writers";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.error().code, ErrorCode::Conflict);
  }
}

TEST_F(Audit, HostileTextStaysOnItsLine) {
  {
    AuditLog log(file, kNow);
    log.append({.time = kNow,
                .verb = "hello",
                .outcome = "refused\n{\"line\":2}",
                .detail = std::string(5000, 'x') + "\xff\x1b[2J"});
    log.append({.time = kNow, .verb = "quote\"\\", .outcome = "\xC3", .detail = ""});
  }
  EXPECT_EQ(good(verify_audit(file)).lines, 2U);
  EXPECT_EQ(lines().size(), 2U);
  EXPECT_LT(lines()[0].size(), 1200U);
}

}  // namespace
}  // namespace tomogrid::certs
