#include "client/supervisor.h"

#include <gtest/gtest.h>

#include <csignal>

#include "base/file.h"
#include "certs/member.h"
#include "client/household.h"

namespace tomogrid::client {
namespace {

using namespace std::chrono_literals;

// Steps until `reached`, for 20 s at most.
template <class Reached>
bool wait(Supervisor& supervisor, Reached&& reached) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!reached()) {
    if (std::chrono::steady_clock::now() > until) return false;
    supervisor.step(100ms);
  }
  return true;
}

TEST(Supervisor, HearsTheReadyLineAndStartsAgainWhatDies) {
  TemporaryFolder folder;
  Supervisor supervisor;
  int ready = 0, deaths = 0, status = 0;
  supervisor.on_death = [&](const std::string&, int with, std::chrono::milliseconds) { ++deaths, status = with; };
  supervisor.start({"role", {"/bin/sh", "-c", "echo noise; echo '{\"ready\":true}'; exit 3"}, folder.path() / "log"},
                   [&](Program&, const std::string& line) {
                     EXPECT_EQ(line, "{\"ready\":true}");
                     ++ready;
                   });
  EXPECT_TRUE(wait(supervisor, [&] { return ready >= 3 && deaths >= 2; }));
  EXPECT_EQ(status, 3);
  EXPECT_NE(text_of(read_file(folder.path() / "log", mebibytes(1)).or_throw()).find("noise"), std::string_view::npos);
}

TEST(Supervisor, TheCommandOfTheNextStartMayBeChanged) {
  TemporaryFolder folder;
  Supervisor supervisor;
  std::vector<std::string> lines;
  supervisor.start({"role", {"/bin/sh", "-c", "echo \"ready\\\"ready\\\" $0\"", "first"}, folder.path() / "log"},
                   [&](Program& program, const std::string& line) {
                     lines.push_back(line);
                     program.command[3] = "second";
                   });
  EXPECT_TRUE(wait(supervisor, [&] { return lines.size() >= 2; }));
  EXPECT_NE(lines[0].find("first"), std::string::npos);
  EXPECT_NE(lines[1].find("second"), std::string::npos);
}

TEST(Supervisor, EndsEvenWhatIgnoresTheRequest) {
  TemporaryFolder folder;
  Supervisor supervisor;
  bool ready = false;
  supervisor.start({"stubborn",
                    {"/bin/sh", "-c", "trap '' TERM; echo '\"ready\"'; while :; do sleep 0.1; done"},
                    folder.path() / "log"},
                   [&](Program&, const std::string&) { ready = true; });
  ASSERT_TRUE(wait(supervisor, [&] { return ready; }));
  const auto began = std::chrono::steady_clock::now();
  supervisor.stop(300ms);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

TEST(Supervisor, AProgramOfTheUserRunsOnceAndItsStatusIsKept) {
  Supervisor supervisor;
  supervisor.start_once({"command", {"/bin/sh", "-c", "exit 42"}, {}});
  EXPECT_TRUE(wait(supervisor, [&] { return supervisor.finished("command").has_value(); }));
  EXPECT_EQ(supervisor.finished("command"), 42);
}

TEST(Household, IsMadeOnceAndUsedByOne) {
  TemporaryFolder folder;
  const WallTime now = SystemClock().wall();
  certs::MemberId first;
  {
    const Household household(folder.path() / "up", 1, now);
    EXPECT_EQ(household.nodes(), std::vector<std::string>{"node-1"});
    EXPECT_THROW(Household(folder.path() / "up", 1, now), Failure);
    const auto identity = certs::load_identity(household.member("clinician"), now).or_throw();
    EXPECT_TRUE(identity->roles().contains(certs::Role::Clinician));
    first = identity->member();
  }
  const Household again(folder.path() / "up", 3, now);
  EXPECT_EQ(again.nodes().size(), 3U);
  EXPECT_EQ(certs::load_identity(again.member("clinician"), now).or_throw()->member(), first);
  EXPECT_TRUE(certs::load_identity(again.member("node-3"), now).or_throw()->roles().contains(certs::Role::Node));
  EXPECT_TRUE(certs::load_identity(again.member("admin"), now).or_throw()->roles().contains(certs::Role::Admin));
}

TEST(Household, AMemberWhoseCertificateHasExpiredGetsAnother) {
  TemporaryFolder folder;
  const WallTime now = SystemClock().wall();
  certs::MemberId first;
  {
    const Household household(folder.path() / "up", 1, now);
    first = certs::load_identity(household.member("manager"), now).or_throw()->member();
  }
  const WallTime later = now + std::chrono::hours(24 * 400);
  const Household household(folder.path() / "up", 1, later);
  EXPECT_NE(certs::load_identity(household.member("manager"), later).or_throw()->member(), first);
}

}  // namespace
}  // namespace tomogrid::client
