// Who the patient is stays with the client: not in what nodes, managers and registries keep, not in what passes on the network.
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "federation/federation.h"
#include "image/files.h"
#include "support/relay.h"

namespace tomogrid::test {
namespace {

using namespace std::chrono_literals;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Files under `folder` that hold one of `marks`.
std::vector<std::string> holding(const std::filesystem::path& folder, const std::vector<std::string>& marks, std::size_t& files) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    ++files;
    const std::string text = content(entry.path());
    for (const std::string& mark : marks) {
      if (text.find(mark) != std::string::npos || entry.path().filename().string().find(mark) != std::string::npos) found.push_back(entry.path().string() + " holds " + mark);
    }
  }
  return found;
}

std::string element(const std::filesystem::path& dicom, const std::string& tag) {
  const Outcome dump = run({"dcmdump", "+P", tag, dicom.string()});
  const auto begin = dump.output.find('['), end = dump.output.find(']');
  return begin == std::string::npos || end == std::string::npos ? "" : dump.output.substr(begin + 1, end - begin - 1);
}

TEST(Privacy, WhoThePatientIsIsFoundNowhereOutsideTheClient) {
  if (std::system("command -v dcmdump dcmodify tcpdump >/dev/null") != 0) GTEST_SKIP() << "dcmtk's tools or tcpdump are not installed";
  Federation federation;
  federation.start_registry();
  federation.start_manager();
  const std::filesystem::path scratch = std::filesystem::path("/dev/shm") / federation.folder().filename();
  federation.start_node("node", {.cores = 2, .gflops = 5.0, .options = {"--scratch", scratch.string()}});
  federation.add_member("doctor", certs::Role::Clinician);
  federation.wait_nodes("doctor", 1);

  const auto scan = federation.folder() / "beeblebrox-rest-scan.dcm";
  image::save_scan(scan, image::load_scan(federation.scan()).or_throw().projections, {.patient_name = "Beeblebrox^Zaphod", .patient_id = "PID-4711-XQ"}).or_throw();
  ASSERT_EQ(run({"dcmodify", "-nb", "-i", "(0010,0030)=19470203", scan.string()}).status, 0);
  const std::vector<std::string> marks{"Beeblebrox", "PID-4711-XQ", "19470203", element(scan, "0020,000d"), "beeblebrox-rest-scan"};
  ASSERT_GT(marks[3].size(), 10U);

  const auto capture = federation.folder() / "capture.pcap";
  Process tcpdump({"tcpdump", "-i", "lo", "-s", "0", "-U", "-w", capture.string(), "tcp"});
  ASSERT_TRUE(tcpdump.wait_error_line([](const std::string& line) { return line.find("listening on") != std::string::npos; }, 20s)) << tcpdump.errors();

  // One whole job; then one whose node is killed in the middle, so that scratch and journal can be looked at as they are.
  const auto volume = federation.folder() / "doctor" / "v.dcm";
  const Outcome done = federation.tomogrid("doctor", {"recon", scan.string(), "-o", volume.string()});
  ASSERT_EQ(done.status, 0) << done.errors;
  EXPECT_EQ(element(volume, "0010,0010"), "Beeblebrox^Zaphod") << "the identity is put back";
  EXPECT_EQ(element(volume, "0020,000d"), marks[3]);
  auto client = federation.start_tomogrid("doctor", {"recon", scan.string(), "-o", (federation.folder() / "doctor" / "w.nii").string(), "--iterations", "200"});
  ASSERT_TRUE(client->wait_error_line([](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s)) << client->errors();
  federation.kill("node");
  client->signal(SIGKILL);
  tcpdump.signal(SIGINT);
  ASSERT_TRUE(tcpdump.wait(20s).has_value());

  std::size_t files = 0;
  for (const char* member : {"registry", "manager", "node"}) {
    EXPECT_EQ(holding(federation.home_of(member), marks, files), std::vector<std::string>{}) << member;
    const std::string said = federation.process(member).output() + federation.process(member).errors();
    for (const std::string& mark : marks) EXPECT_EQ(said.find(mark), std::string::npos) << member << " says " << mark;
  }
  std::size_t scratch_files = 0;
  EXPECT_EQ(holding(scratch, marks, scratch_files), std::vector<std::string>{});
  EXPECT_GT(scratch_files, 1U) << "there must have been something to look at in " << scratch;
  const std::string packets = content(capture);
  EXPECT_GT(packets.size(), 500'000U) << "the scan must have passed";
  for (const std::string& mark : marks) EXPECT_EQ(packets.find(mark), std::string::npos) << mark << " is readable on the network";
  const std::string receipt = content(volume.string() + ".receipt");
  for (const std::string& mark : marks) EXPECT_EQ(receipt.find(mark), std::string::npos) << mark << " is in the receipt";
  std::filesystem::remove_all(scratch);
}

TEST(Privacy, RegistryAndManagerCarryNoImageBytes) {
  Federation federation;
  const Ready registry = federation.start_registry();
  const Relay registry_relay(static_cast<std::uint16_t>(registry.control_port));
  federation.route("registry", registry_relay.port());
  const Ready manager = federation.start_manager();
  const Relay manager_relay(static_cast<std::uint16_t>(manager.control_port));
  federation.route("manager", manager_relay.port());
  federation.start_node("node", {.cores = 2, .gflops = 5.0});
  federation.add_member("doctor", certs::Role::Clinician);
  federation.wait_nodes("doctor", 1);
  // Sixteen times the image: the heartbeats of a longer run are all that may be more.
  const auto bytes_of_a_run = [&](const char* name, const char* size, const char* views) {
    const auto path = federation.folder() / name;
    const Outcome made = run({tomogrid_program(), "phantom", "--preset", "cylinder", "-o", path.string(), "--size", size, "--views", views});
    EXPECT_EQ(made.status, 0) << made.errors;
    const std::uint64_t before = registry_relay.upward() + registry_relay.downward() + manager_relay.upward() + manager_relay.downward();
    const Outcome outcome = federation.tomogrid("doctor", {"recon", path.string(), "-o", (federation.folder() / "v.nii").string(), "--iterations", "1", "--no-check"});
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return registry_relay.upward() + registry_relay.downward() + manager_relay.upward() + manager_relay.downward() - before;
  };
  const std::uint64_t small = bytes_of_a_run("small.dcm", "32", "32"), large = bytes_of_a_run("large.dcm", "128", "32");
  std::printf("registry and manager carried %llu bytes for 32 x 32 x 32 counts, %llu for 128 x 128 x 32\n",
              static_cast<unsigned long long>(small), static_cast<unsigned long long>(large));
  EXPECT_GT(small, 0U);
  EXPECT_LT(large, small + 64 * 1024) << "the large scan alone is 2 MiB, its volume 8 MiB";
}

}  // namespace
}  // namespace tomogrid::test
