// Jobs of several ranks, started by the node through mpirun: on two sockets' worth of this machine, and on another host.
// "Another host" is a network namespace with a name of its own, reached as a cluster's hosts are, but not by ssh.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "federation/federation.h"
#include "image/files.h"

namespace tomogrid::test {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

// Processes of this name that descend from `root`.
std::set<pid_t> descendants(pid_t root, const std::string& name) {
  std::map<pid_t, pid_t> parents;
  std::map<pid_t, std::string> names;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    std::ifstream file(entry.path() / "stat");
    std::string text;
    if (pid <= 0 || !std::getline(file, text)) continue;
    const std::size_t open = text.find('('), close = text.rfind(')');
    std::istringstream rest(text.substr(close + 2));
    char state = 0;
    rest >> state >> parents[pid];
    names[pid] = text.substr(open + 1, close - open - 1);
  }
  std::set<pid_t> found;
  for (const auto& [pid, its_name] : names) {
    if (its_name != name) continue;
    pid_t up = pid;
    while (up > 1 && up != root) up = parents.contains(up) ? parents[up] : 0;
    if (up == root) found.insert(pid);
  }
  return found;
}

class RanksTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/bin/mpirun", X_OK) != 0) GTEST_SKIP() << "mpirun is not installed";
    federation.start_registry();
    federation.start_manager();
    federation.add_member("doctor", certs::Role::Clinician);
  }
  void start_node(const NodeSpec& spec) {
    federation.start_node("cluster", spec);
    federation.wait_nodes("doctor", 1);
  }
  std::vector<std::string> words(const std::string& output, const std::string& iterations) {
    return {"recon", federation.scan().string(), "-o", (federation.folder() / output).string(),
            "--iterations", iterations, "--subsets", "1", "--no-check"};
  }
  // By one process, without a federation.
  std::vector<float> alone(const std::string& iterations) {
    const fs::path volume = federation.folder() / "alone.nii";
    const Outcome outcome = run({std::string(TOMOGRID_BIN) + "/tomogrid-recon", federation.scan().string(), "-o",
                                 volume.string(), "--iterations", iterations, "--subsets", "1"});
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return image::load_volume(volume).or_throw().values;
  }
  std::vector<float> volume(const std::string& name) {
    return image::load_volume(federation.folder() / name).or_throw().values;
  }
  std::unique_ptr<Process> start_and_see_it_iterate(const std::string& output, const std::string& iterations) {
    auto client = federation.start_tomogrid("doctor", words(output, iterations));
    EXPECT_TRUE(client->wait_error_line(
        [](const std::string& line) { return line.find("iterate") != std::string::npos; }, 60s))
        << client->errors();
    return client;
  }
  Federation federation;
};

TEST_F(RanksTest, TwoRanksGiveTheBitsOfOneAndADeadOneIsMadeGood) {
  start_node({.cores = 2, .gflops = 10.0, .options = {"--cores-per-rank", "1"}});
  auto client = start_and_see_it_iterate("v.nii", "400");
  const std::set<pid_t> ranks = descendants(federation.process("cluster").pid(), "tomogrid-recon");
  ASSERT_EQ(ranks.size(), 2U);
  ::kill(*ranks.rbegin(), SIGKILL);
  const auto status = client->wait(120s);
  ASSERT_TRUE(status.has_value()) << client->errors();
  EXPECT_EQ(*status, 0) << client->output() << client->errors();
  EXPECT_NE(federation.process("cluster").errors().find("worker.ranks"), std::string::npos)
      << federation.process("cluster").errors();
  EXPECT_EQ(volume("v.nii"), alone("400"));
}

TEST_F(RanksTest, ACancelledJobLeavesNoRankBehind) {
  start_node({.cores = 2, .gflops = 10.0, .options = {"--cores-per-rank", "1"}});
  auto client = start_and_see_it_iterate("v.nii", "1000");
  client->signal(SIGKILL);
  ASSERT_TRUE(client->wait(10s).has_value());
  const Outcome jobs = federation.tomogrid("doctor", {"jobs", "--json"});
  const std::string job = nlohmann::json::parse(jobs.output).at(0).at("job").get<std::string>();
  const Outcome cancelled = federation.tomogrid("doctor", {"cancel", job});
  EXPECT_EQ(cancelled.status, 0) << cancelled.output << cancelled.errors;
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  const pid_t node = federation.process("cluster").pid();
  while (!descendants(node, "tomogrid-recon").empty() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(50ms);
  EXPECT_TRUE(descendants(node, "tomogrid-recon").empty());
  EXPECT_TRUE(descendants(node, "mpirun").empty());
}

TEST_F(RanksTest, WhatAScanOfNonsenseIsRefusedForReachesTheUser) {
  start_node({.cores = 2, .gflops = 10.0, .options = {"--cores-per-rank", "1"}});
  std::vector<std::string> command = words("v.nii", "2");
  command.insert(command.end(), {"--param", "support-radius-mm=1"});  // no voxel lies within: found by every rank at once
  const Outcome outcome = federation.tomogrid("doctor", command, 60s);
  EXPECT_NE(outcome.status, 0);
  EXPECT_FALSE(fs::exists(federation.folder() / "v.nii"));
  EXPECT_NE((outcome.output + outcome.errors).find("support"), std::string::npos) << outcome.output << outcome.errors;
}

// A namespace "tomogrid-far" with the address 10.77.41.2, and 10.77.41.1 here.
class OtherHost {
 public:
  OtherHost() {
    there_ = std::system(
                 "ip netns add tomogrid-far && ip link add tomo-near type veth peer name tomo-far netns tomogrid-far && "
                 "ip addr add 10.77.41.1/24 dev tomo-near && ip link set tomo-near up && "
                 "ip -n tomogrid-far addr add 10.77.41.2/24 dev tomo-far && ip -n tomogrid-far link set tomo-far up && "
                 "ip -n tomogrid-far link set lo up") == 0;
  }
  ~OtherHost() { static_cast<void>(std::system("ip netns del tomogrid-far 2>/dev/null; ip link del tomo-near 2>/dev/null")); }
  OtherHost(const OtherHost&) = delete;
  OtherHost& operator=(const OtherHost&) = delete;
  bool there() const { return there_; }

 private:
  bool there_ = false;
};

TEST_F(RanksTest, AnotherHostsCoresAreOfferedAndUsed) {
  if (::geteuid() != 0 || ::access("/usr/sbin/ip", X_OK) != 0)
    GTEST_SKIP() << "network namespaces need root and iproute2";
  const OtherHost host;
  if (!host.there()) GTEST_SKIP() << "no network namespaces on this machine";
  const fs::path agent = federation.folder() / "reach";
  std::ofstream(agent) << "#!/bin/bash\nwhile [[ \"$1\" == -* ]]; do shift; done\nhost=$1; shift\n"
                          "exec /usr/sbin/ip netns exec \"$host\" unshare -u bash -c \"hostname $host; $*\" </dev/null\n";
  fs::permissions(agent, fs::perms::owner_all);
  NodeSpec spec{.cores = 1, .gflops = 10.0, .options = {"--worker-host", "tomogrid-far:1"}};
  for (const std::string& word :
       {std::string("--mca"), std::string("plm_rsh_agent"), agent.string(), std::string("--mca"),
        std::string("orte_keep_fqdn_hostnames"), std::string("1"), std::string("--mca"),
        std::string("oob_tcp_if_include"), std::string("10.77.41.0/24"), std::string("--mca"),
        std::string("btl_tcp_if_include"), std::string("10.77.41.0/24")})
    spec.options.insert(spec.options.end(), {"--mpirun-option", word});
  start_node(spec);
  const Outcome listing = federation.tomogrid("doctor", {"nodes", "--json"});
  EXPECT_NE(listing.output.find("\"cores_total\":2"), std::string::npos) << listing.output;
  std::vector<std::string> command = words("v.nii", "6");
  command.insert(command.end(), {"--cores", "2"});
  const Outcome outcome = federation.tomogrid("doctor", command, 60s);
  ASSERT_EQ(outcome.status, 0) << outcome.output << outcome.errors << federation.process("cluster").errors();
  EXPECT_NE(federation.process("cluster").errors().find("worker.ranks"), std::string::npos)
      << federation.process("cluster").errors();
  EXPECT_EQ(volume("v.nii"), alone("6"));
}

}  // namespace
}  // namespace tomogrid::test
