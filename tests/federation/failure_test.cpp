// Nodes and clients killed with -9 at every stage: the job completes, and its volume has the bits of an undisturbed run.
#include <gtest/gtest.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "federation/federation.h"
#include "image/files.h"
#include "support/relay.h"

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
    return {"recon",     scan.string(), "-o",        (federation.folder() / output).string(), "--iterations", "60",
            "--subsets", "1",           "--no-check"};
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
  ASSERT_TRUE(
      client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s))
      << client->errors();
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
  ASSERT_TRUE(
      client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s))
      << client->errors();
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
  ASSERT_TRUE(
      client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s))
      << client->errors();
  const Ready before = federation.ready("strong");
  federation.kill("strong");
  // The same address and keys, as after a crash under a supervisor.
  federation.start_node(
      "strong", {.cores = 2, .gflops = 50.0, .listen = before.host + ":" + std::to_string(before.control_port)});
  const auto status = client->wait(120s);
  ASSERT_TRUE(status.has_value()) << client->errors();
  EXPECT_EQ(*status, 0) << client->errors();
}

// "strong" tells everybody the address 127.0.0.2, where relays stand at its ports.
class Led : public testing::Test {
 protected:
  Led() {
    federation.start_registry();
    federation.start_manager();
    const Ready strong =
        federation.start_node("strong", {.cores = 2, .gflops = 50.0, .options = {"--advertise", "127.0.0.2"}});
    const auto control_port = static_cast<std::uint16_t>(strong.control_port),
               bulk_port = static_cast<std::uint16_t>(strong.bulk_port);
    control.emplace("127.0.0.2", control_port, control_port);
    bulk.emplace("127.0.0.2", bulk_port, bulk_port);
    federation.start_node("spare", {.cores = 1, .gflops = 1.0});
    federation.add_member("doctor", certs::Role::Clinician);
    federation.wait_nodes("doctor", 2);
    scan = federation.scan();
    words = {"recon", scan.string(), "-o", output().string(), "--iterations",
             "2",     "--subsets",   "4",  "--no-check",      "--fresh"};
    const Outcome calm = federation.tomogrid("doctor", words);
    if (calm.status != 0) throw std::runtime_error("undisturbed: " + calm.output + calm.errors);
    undisturbed = take_volume();
    upward = bulk->upward();
    downward = bulk->downward();
  }
  std::filesystem::path output() const { return federation.folder() / "v.nii"; }
  std::vector<float> take_volume() const {
    std::vector<float> values = image::load_volume(output()).or_throw().values;
    std::filesystem::remove(output());
    return values;
  }
  // True once `condition` holds; false if it does not within 30 s.
  static bool becomes(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(2ms);
    }
    return true;
  }
  // The node dies while the relay holds back the rest of what it was to receive or to return.
  void expect_replaced(Process& client) {
    ASSERT_TRUE(becomes([&] { return bulk->holds(); })) << client.errors();
    ASSERT_TRUE(client.running());
    const auto killed = std::chrono::steady_clock::now();
    federation.kill("strong");
    federation.wait_nodes("doctor", 1);
    EXPECT_LT(std::chrono::steady_clock::now() - killed, 3s + 500ms + 1s)
        << "lease + 0.5 s, and a second for starting `tomogrid nodes`";
    const auto status = client.wait(120s);
    ASSERT_TRUE(status.has_value()) << client.errors();
    EXPECT_EQ(*status, 0) << client.errors();
    EXPECT_NE(client.errors().find("spare"), std::string::npos) << client.errors();
    EXPECT_EQ(take_volume(), undisturbed);
  }
  Federation federation;
  std::optional<Relay> control, bulk;
  std::filesystem::path scan;
  std::vector<std::string> words;
  std::vector<float> undisturbed;
  std::uint64_t upward = 0, downward = 0;  // of an undisturbed run, through the node's bulk door
};

TEST_F(Led, ANodeKilledWhileItReceivesIsReplacedAndTheBitsAreTheSame) {
  bulk->hold_after_upward(upward / 2);
  auto client = federation.start_tomogrid("doctor", words);
  expect_replaced(*client);
}

TEST_F(Led, ANodeKilledWhileItReturnsIsReplacedAndTheBitsAreTheSame) {
  bulk->hold_after_downward(downward / 2);
  auto client = federation.start_tomogrid("doctor", words);
  expect_replaced(*client);
}

// The link holds back the rest of the scan: what is at the node already is shown to the user, who waits.
TEST_F(Led, WhatHasArrivedIsShownWhileTheRestIsHeldUp) {
  const auto pictures = federation.folder() / "pictures";
  bulk->hold_after_upward(upward * 7 / 10);
  std::vector<std::string> shown = words;
  shown.insert(shown.end(), {"--previews", pictures.string()});
  auto client = federation.start_tomogrid("doctor", shown);
  const auto caption = [](const std::string& line) { return line.find("preview: partial ") != std::string::npos; };
  EXPECT_TRUE(client->wait_error_line(caption, 30s)) << client->errors();
  EXPECT_TRUE(becomes([&] { return std::filesystem::exists(pictures) && !std::filesystem::is_empty(pictures); }));
  EXPECT_TRUE(client->running());
  EXPECT_FALSE(std::filesystem::exists(output()));
}

// Fifty runs with two cuts each, one on the way there and one on the way back, at points that no two runs share.
TEST_F(Led, CutAtAHundredPointsNothingIsTakenForWholeAndEveryRunEndsRight) {
  ASSERT_GT(upward, 100'000U) << "the scan must pass the relay";
  ASSERT_GT(downward, 100'000U) << "the volume must pass the relay";
  for (std::uint64_t point = 0; point < 50; ++point) {
    const std::uint64_t before = bulk->cuts();
    bulk->cut_after_upward(upward * (point + 1) / 52);
    bulk->cut_after_downward(downward * (point + 1) / 52);
    auto client = federation.start_tomogrid("doctor", words);
    while (client->running() && bulk->cuts() - before < 2) {
      EXPECT_FALSE(std::filesystem::exists(output())) << "at point " << point;
      std::this_thread::sleep_for(1ms);
    }
    const auto status = client->wait(120s);
    ASSERT_TRUE(status.has_value()) << client->errors();
    ASSERT_EQ(*status, 0) << "at point " << point << "\n" << client->errors();
    EXPECT_EQ(bulk->cuts() - before, 2U) << "at point " << point << "\n" << client->errors();
    EXPECT_EQ(take_volume(), undisturbed) << "at point " << point;
  }
}

}  // namespace
}  // namespace tomogrid::test
