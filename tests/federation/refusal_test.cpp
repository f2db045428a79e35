// Who may not is refused by the reason, and everybody else is served on.
#include <gtest/gtest.h>

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
    std::vector<std::string> words{"recon", scan.string(), "-o", (federation.folder() / (user + ".nii")).string(), "--node", federation.ready("node").address(), "--no-check"};
    words.insert(words.end(), more.begin(), more.end());
    return federation.tomogrid(user, words);
  }
  void expect_refused(const std::string& user, const std::string& word) {
    const Outcome outcome = direct(user);
    EXPECT_EQ(outcome.status, 5) << outcome.output << outcome.errors;
    EXPECT_NE(outcome.errors.find(word), std::string::npos) << outcome.errors;
    EXPECT_FALSE(std::filesystem::exists(federation.folder() / (user + ".nii")));
  }
  void expect_served() {
    const Outcome outcome = direct("doctor", {"--fresh"});
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
  }
  Federation federation;
  std::filesystem::path scan;
};

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
  expect_refused("auditor", "may not open-job");
  federation.add_member("developer", certs::Role::Developer);
  expect_refused("developer", "may not open-direct");
  expect_served();
}

TEST_F(Refusal, AMemberOfAnotherAuthority) {
  Federation other("test");
  other.add_member("stranger", certs::Role::Clinician);
  std::filesystem::copy(other.home_of("stranger"), federation.home_of("stranger"), std::filesystem::copy_options::recursive);
  const Outcome outcome = direct("stranger");
  EXPECT_EQ(outcome.status, 5) << outcome.output << outcome.errors;
  EXPECT_NE(outcome.errors.find("authority"), std::string::npos) << outcome.errors;
  expect_served();
}

TEST_F(Refusal, AnothersJobCannotBeSeenOrCancelled) {
  auto client = federation.start_tomogrid("doctor", {"recon", scan.string(), "-o", (federation.folder() / "v.nii").string(), "--iterations", "300", "--subsets", "1", "--no-check",
                                                     "--node", federation.ready("node").address()});
  ASSERT_TRUE(client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s)) << client->errors();
  federation.add_member("colleague", certs::Role::Clinician);
  const Outcome jobs = federation.tomogrid("colleague", {"jobs", "--json"});
  EXPECT_EQ(jobs.status, 0);
  EXPECT_EQ(jobs.output.find("recon.spect"), std::string::npos) << jobs.output;
  client->signal(9);
}

TEST_F(Refusal, ARevokedMemberIsPutOutWhileItsJobRuns) {
  federation.add_member("admin", certs::Role::Admin);
  auto client = federation.start_tomogrid("doctor", {"recon", scan.string(), "-o", (federation.folder() / "v.nii").string(), "--iterations", "1000", "--subsets", "1", "--no-check",
                                                     "--node", federation.ready("node").address()});
  ASSERT_TRUE(client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s)) << client->errors();
  const certs::Signed list = federation.authority().revoke("doctor", SystemClock().wall()).or_throw();
  certs::RevocationStore store(certs::revocations_file(certs::member_folder(federation.home_of("admin"), std::nullopt)), federation.authority().anchor());
  ASSERT_TRUE(store.offer(list).has_value());
  // Any member that meets the node hands the list on.
  const Outcome met = federation.tomogrid("admin", {"undrain", federation.ready("node").address()});
  EXPECT_EQ(met.status, 0) << met.errors;
  const auto status = client->wait(10s);
  ASSERT_TRUE(status.has_value()) << "still served\n" << client->errors();
  EXPECT_EQ(*status, 5) << client->errors();
  EXPECT_NE(client->errors().find("revoked"), std::string::npos) << client->errors();
}

}  // namespace
}  // namespace tomogrid::test
