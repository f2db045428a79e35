// Who may not is refused by the reason, and everybody else is served on.
#include <gtest/gtest.h>

#include <signal.h>

#include <fstream>
#include <thread>

#include "federation/federation.h"

namespace tomogrid::test {
namespace {

using namespace std::chrono_literals;

class Refusal : public testing::Test {
 protected:
  Refusal() {
    federation.start_registry();
    federation.start_node("node", {.cores = 2, .gflops = 5.0});
    federation.add_member("doctor", certs::Role::Clinician);
    federation.wait_nodes("doctor", 1);
    scan = federation.scan();
  }
  Outcome direct(const std::string& user, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"recon",     scan.string(),
                                   "-o",        (federation.folder() / (user + ".nii")).string(),
                                   "--node",    federation.ready("node").address(),
                                   "--no-check"};
    words.insert(words.end(), more.begin(), more.end());
    return federation.tomogrid(user, words);
  }
  // An entry of the node's audit log with this text; refusals are written within a second or so.
  bool audited(const std::string& text) const {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < deadline) {
      for (const auto& file : std::filesystem::recursive_directory_iterator(federation.home_of("node"))) {
        if (file.path().filename() != "audit.log") continue;
        std::ifstream log(file.path());
        for (std::string line; std::getline(log, line);) {
          if (line.find(text) != std::string::npos) return true;
        }
      }
      std::this_thread::sleep_for(20ms);
    }
    return false;
  }
  void expect_refused(const std::string& user, const std::string& word, const std::string& audit = "") {
    const Outcome outcome = direct(user);
    EXPECT_EQ(outcome.status, 5) << outcome.output << outcome.errors;
    EXPECT_NE(outcome.errors.find(word), std::string::npos) << outcome.errors;
    EXPECT_FALSE(std::filesystem::exists(federation.folder() / (user + ".nii")));
    EXPECT_TRUE(audit.empty() || audited(audit)) << audit << " is not in the audit log";
  }
  void expect_served() {
    const Outcome outcome = direct("doctor", {"--fresh"});
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
  }
  Federation federation;
  std::filesystem::path scan;
};

// Both of these the user's own program notices; what a node says to one that does not is in wire_session_test.cpp.
TEST_F(Refusal, AnExpiredCertificate) {
  certs::Terms terms;
  terms.not_before = WallTime{SystemClock().wall().unix_ms - 86'400'000};
  terms.validity = 1h;
  federation.add_member("late", certs::Role::Clinician, terms);
  expect_refused("late", "expired");
  expect_served();
}

TEST_F(Refusal, ACertificateOfTomorrow) {
  certs::Terms terms;
  terms.not_before = WallTime{SystemClock().wall().unix_ms + 86'400'000};
  federation.add_member("early", certs::Role::Clinician, terms);
  expect_refused("early", "valid");
  expect_served();
}

TEST_F(Refusal, ARoleThatMayNotOpenJobs) {
  federation.add_member("auditor", certs::Role::Auditor);
  expect_refused("auditor", "may not open-job", "refused: role");
  federation.add_member("developer", certs::Role::Developer);
  expect_refused("developer", "may not open-direct", "refused: role");
  expect_served();
}

TEST_F(Refusal, AMemberOfAnotherAuthority) {
  Federation other("test");
  other.add_member("stranger", certs::Role::Clinician);
  std::filesystem::copy(other.home_of("stranger"), federation.home_of("stranger"),
                        std::filesystem::copy_options::recursive);
  const Outcome outcome = direct("stranger");
  EXPECT_EQ(outcome.status, 5) << outcome.output << outcome.errors;
  EXPECT_NE(outcome.errors.find("authority"), std::string::npos) << outcome.errors;
  EXPECT_TRUE(audited("authority"));
  expect_served();
}

TEST_F(Refusal, AnothersJobCannotBeSeenOrCancelled) {
  auto client = federation.start_tomogrid(
      "doctor", {"recon", scan.string(), "-o", (federation.folder() / "v.nii").string(), "--iterations", "300",
                 "--subsets", "1", "--no-check", "--node", federation.ready("node").address()});
  ASSERT_TRUE(
      client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s))
      << client->errors();
  federation.add_member("colleague", certs::Role::Clinician);
  const Outcome jobs = federation.tomogrid("colleague", {"jobs", "--json"});
  EXPECT_EQ(jobs.status, 0);
  EXPECT_EQ(jobs.output.find("recon.spect"), std::string::npos) << jobs.output;
  client->signal(9);
}

TEST_F(Refusal, ARevokedMemberIsPutOutWhileItsJobRuns) {
  federation.add_member("admin", certs::Role::Admin);
  auto client = federation.start_tomogrid(
      "doctor", {"recon", scan.string(), "-o", (federation.folder() / "v.nii").string(), "--iterations", "1000",
                 "--subsets", "1", "--no-check", "--node", federation.ready("node").address()});
  ASSERT_TRUE(
      client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s))
      << client->errors();
  const certs::Signed list = federation.authority().revoke("doctor", SystemClock().wall()).or_throw();
  certs::RevocationStore store(certs::revocations_file(certs::member_folder(federation.home_of("admin"), std::nullopt)),
                               federation.authority().anchor());
  ASSERT_TRUE(store.offer(list).has_value());
  // Any member that meets the node hands the list on.
  const Outcome met = federation.tomogrid("admin", {"undrain", federation.ready("node").address()});
  EXPECT_EQ(met.status, 0) << met.errors;
  const auto status = client->wait(10s);
  ASSERT_TRUE(status.has_value()) << "still served\n" << client->errors();
  EXPECT_EQ(*status, 5) << client->errors();
  EXPECT_NE(client->errors().find("revoked"), std::string::npos) << client->errors();
}

std::uint64_t peak_resident_mib(const Process& process) {
  std::ifstream status("/proc/" + std::to_string(process.pid()) + "/status");
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib / 1024;
  }
  throw std::runtime_error("no VmHWM of process " + std::to_string(process.pid()));
}

// The administrator of the node's own machine puts the list where the node keeps it: nobody needs to meet the node.
TEST_F(Refusal, AListPutOnTheNodesDiskTakesEffectWhileItServes) {
  const certs::Signed list = federation.authority().revoke("doctor", SystemClock().wall()).or_throw();
  certs::RevocationStore store(certs::revocations_file(certs::member_folder(federation.home_of("node"), std::nullopt)),
                               federation.authority().anchor());
  ASSERT_TRUE(store.offer(list).has_value());
  ASSERT_TRUE(audited("revocations.adopted"));
  auto client =
      federation.start_tomogrid("doctor", {"recon", scan.string(), "-o", (federation.folder() / "v.nii").string(),
                                           "--node", federation.ready("node").address(), "--no-check"});
  EXPECT_TRUE(audited("door.refused")) << "its key is not let in any more";
  client->signal(SIGKILL);
  EXPECT_FALSE(std::filesystem::exists(federation.folder() / "v.nii"));
}

// Ten thousand connections with noise from another process, a thousand open at once, while a member's job is served.
TEST_F(Refusal, TenThousandGarbageConnectionsLeaveAJobWithinTwiceItsQuietTime) {
  // Long enough that the connections come while it is placed, sent, computed and returned.
  const auto job_seconds = [&] {
    const auto begun = std::chrono::steady_clock::now();
    const Outcome outcome = direct("doctor", {"--fresh", "--iterations", "100", "--subsets", "4"});
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  const double quiet = job_seconds();
  Process garbage({TOMOGRID_GARBAGE_CALLER, std::to_string(federation.ready("node").control_port), "1000000", "1000"});
  const auto accepted = [&](int count) {
    return garbage.wait_line([&](const std::string& line) { return line == "accepted " + std::to_string(count); }, 60s);
  };
  ASSERT_TRUE(accepted(1000)) << garbage.errors();
  const double disturbed = job_seconds();
  ASSERT_TRUE(garbage.running()) << "it must last as long as the job";
  EXPECT_TRUE(accepted(10'000)) << garbage.output();
  garbage.signal(SIGKILL);
  std::printf("%s", garbage.output().substr(garbage.output().rfind("accepted")).c_str());
  const std::uint64_t mib = peak_resident_mib(federation.process("node"));
  std::printf("job: %.2f s quiet, %.2f s with 10,000 garbage connections; node at most %llu MiB resident\n", quiet,
              disturbed, static_cast<unsigned long long>(mib));
  EXPECT_LT(mib, 512U);
  EXPECT_LT(disturbed, 2 * quiet);
  expect_served();
}

}  // namespace
}  // namespace tomogrid::test
