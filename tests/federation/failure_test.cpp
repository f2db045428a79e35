// Nodes and clients killed with -9 at every stage: the job completes, and its volume has the bits of an undisturbed run.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>

#include "federation/federation.h"
#include "image/files.h"

namespace tomogrid::test {
namespace {

using namespace std::chrono_literals;

class Failure : public testing::Test {
 protected:
  Failure() {
    federation.start_registry();
    federation.start_manager();
    federation.start_node("strong", {.cores = 2, .gflops = 50.0});
    federation.start_node("spare", {.cores = 1, .gflops = 1.0});
    federation.add_member("doctor", certs::Role::Clinician);
    federation.wait_nodes("doctor", 2);
    scan = federation.scan();
  }
  // Long enough to be caught while it iterates.
  std::vector<std::string> words(const std::string& output) const {
    return {"recon", scan.string(), "-o", (federation.folder() / output).string(), "--iterations", "60", "--subsets", "1", "--no-check"};
  }
  std::vector<float> undisturbed() {
    std::vector<std::string> command = words("calm.nii");
    command.insert(command.end(), {"--fresh"});
    const Outcome calm = federation.tomogrid("doctor", command);
    EXPECT_EQ(calm.status, 0) << calm.errors;
    return image::load_volume(federation.folder() / "calm.nii").or_throw().values;
  }
  Federation federation;
  std::filesystem::path scan;
};

TEST_F(Failure, ANodeKilledWhileItIteratesIsReplacedAndTheBitsAreTheSame) {
  auto client = federation.start_tomogrid("doctor", words("v.nii"));
  ASSERT_TRUE(client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s)) << client->errors();
  const auto killed = std::chrono::steady_clock::now();
  federation.kill("strong");
  federation.wait_nodes("doctor", 1);
  const auto gone = std::chrono::steady_clock::now() - killed;
  EXPECT_LT(gone, 3s + 500ms + 1s) << "lease + 0.5 s, and a second for starting `tomogrid nodes`";
  const auto status = client->wait(120s);
  ASSERT_TRUE(status.has_value()) << client->errors();
  EXPECT_EQ(*status, 0) << client->errors();
  federation.start_node("strong", {.cores = 2, .gflops = 50.0});
  federation.wait_nodes("doctor", 2);
  EXPECT_EQ(image::load_volume(federation.folder() / "v.nii").or_throw().values, undisturbed());
}

TEST_F(Failure, AKilledClientRunAgainGoesOnWithItsJob) {
  auto client = federation.start_tomogrid("doctor", words("v.nii"));
  ASSERT_TRUE(client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s)) << client->errors();
  client->signal(SIGKILL);
  ASSERT_TRUE(client->wait(10s).has_value());
  std::vector<std::string> command = words("v.nii");
  command.push_back("--json");
  const Outcome again = federation.tomogrid("doctor", command);
  ASSERT_EQ(again.status, 0) << again.output << again.errors;
  EXPECT_EQ(json_text(again.output, "node"), "strong") << "the job that is already there";
  const Outcome jobs = federation.tomogrid("doctor", {"jobs", "--json"});
  EXPECT_EQ(jobs.status, 0);
  EXPECT_EQ(nlohmann::json::parse(jobs.output).size(), 1U) << "one job, not two: " << jobs.output;
  EXPECT_EQ(image::load_volume(federation.folder() / "v.nii").or_throw().values, undisturbed());
}

TEST_F(Failure, ANodeThatComesBackRunsItsJobAgain) {
  std::vector<std::string> command = words("v.nii");
  command.insert(command.end(), {"--node", federation.ready("strong").address()});
  auto client = federation.start_tomogrid("doctor", command);
  ASSERT_TRUE(client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s)) << client->errors();
  const Ready before = federation.ready("strong");
  federation.kill("strong");
  // The same address and keys, as after a crash under a supervisor.
  federation.start_node("strong", {.cores = 2, .gflops = 50.0, .listen = before.host + ":" + std::to_string(before.control_port)});
  const auto status = client->wait(120s);
  ASSERT_TRUE(status.has_value()) << client->errors();
  EXPECT_EQ(*status, 0) << client->errors();
}

}  // namespace
}  // namespace tomogrid::test
