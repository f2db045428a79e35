// Discovery over a real avahi-daemon on a private bus, confined to the loopback interface.
#include "registry/discovery.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "support/process.h"

namespace tomogrid::registry {

namespace {

using namespace std::chrono_literals;

constexpr const char* kAvahi = "/usr/sbin/avahi-daemon";
constexpr const char* kBus = "/usr/bin/dbus-daemon";

certs::TransportPublicKey key(std::uint8_t number) {
  certs::TransportPublicKey made;
  made.bytes[0] = number;
  made.bytes[31] = 0xff;
  return made;
}

class DiscoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kAvahi) || !std::filesystem::exists(kBus))
      GTEST_SKIP() << "avahi-daemon or dbus-daemon is not installed";
    write("bus.conf",
          "<busconfig><type>custom</type><listen>unix:path=" + (place() / "bus").string() +
              "</listen><auth>EXTERNAL</auth><policy context='default'><allow send_destination='*' eavesdrop='true'/>"
              "<allow eavesdrop='true'/><allow own='*'/></policy></busconfig>");
    write("avahi.conf",
          "[server]\nhost-name=tomogridtest" + std::to_string(::getpid()) +
              "\nuse-ipv4=yes\nuse-ipv6=no\nallow-interfaces=lo\nenable-dbus=yes\n[wide-area]\nenable-wide-area=no\n"
              "[publish]\npublish-hinfo=no\npublish-workstation=no\n");
    ::setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + (place() / "bus").string()).c_str(), 1);
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(place() / name) << text; }
  void start_bus() {
    bus = std::make_unique<test::Process>(std::vector<std::string>{
        kBus, "--config-file=" + (place() / "bus.conf").string(), "--nofork", "--nopidfile", "--print-address"});
    ASSERT_TRUE(bus->wait_line([](const std::string& line) { return line.starts_with("unix:"); }, 10s))
        << bus->errors();
  }
  // The daemon keeps its pid under /run and refuses to run twice there: its own mount of /run keeps it to itself.
  void start_avahi() {
    const std::string conf = (place() / "avahi.conf").string();
    avahi = std::make_unique<test::Process>(std::vector<std::string>{
        "unshare", "-m", "sh", "-c",
        "mount -t tmpfs tmpfs /run && mkdir -p /run/avahi-daemon && exec " + std::string(kAvahi) + " -f " + conf +
            " --no-drop-root --no-rlimits --no-chroot --debug"});
    if (!avahi->wait_error_line(
            [](const std::string& line) { return line.find("Server startup complete") != std::string::npos; }, 20s)) {
      GTEST_SKIP() << "avahi-daemon does not start here: " << avahi->errors();
    }
  }
  // Runs the discoveries until `reached` or the limit.
  bool run_until(const std::function<bool()>& reached, std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!reached()) {
      if (std::chrono::steady_clock::now() >= end) return false;
      std::vector<pollfd> descriptors;
      for (Discovery* each : running) descriptors.push_back({each->descriptor(), POLLIN, 0});
      ::poll(descriptors.data(), descriptors.size(), 50);
      for (std::size_t i = 0; i < running.size(); ++i) {
        if (descriptors[i].revents != 0) running[i]->dispatch();
      }
    }
    return true;
  }
  std::function<void(const wire::Suggestion&)> record() {
    return [this](const wire::Suggestion& suggestion) { seen.push_back(suggestion); };
  }
  std::optional<wire::Suggestion> last(std::uint8_t number) const {
    for (auto it = seen.rbegin(); it != seen.rend(); ++it) {
      if (it->transport_key == key(number)) return *it;
    }
    return std::nullopt;
  }

  // libdbus reads the address of the bus once per process: every test has its bus at the same place.
  static const std::filesystem::path& place() {
    static const TemporaryFolder one;
    return one.path();
  }
  std::unique_ptr<test::Process> bus, avahi;
  std::vector<Discovery*> running;
  std::vector<wire::Suggestion> seen;
};

TEST_F(DiscoveryTest, RolesSeeEachOtherComeAndGo) {
  start_bus();
  start_avahi();
  if (IsSkipped()) return;
  Discovery watcher(record(), key(1));
  running = {&watcher};
  watcher.browse(certs::Role::Registry);
  watcher.browse(certs::Role::Node);
  ASSERT_TRUE(run_until([&] { return watcher.available(); }, 10s));

  auto other = std::make_unique<Discovery>([](const wire::Suggestion&) {}, key(2));
  running = {&watcher, other.get()};
  other->publish({certs::Role::Registry, "registry1", 4040, key(2)});
  watcher.publish({certs::Role::Node, "itself", 4041, key(1), {{"recon.spect", 1}}, FlopRate(3e9)});
  Discovery node([](const wire::Suggestion&) {}, key(3));
  running.push_back(&node);
  node.publish({certs::Role::Node, "node1", 4042, key(3), {{"recon.spect", 1}, {"qa.spect", 1}}, FlopRate(3e9)});
  ASSERT_TRUE(run_until([&] { return last(2) && last(3); }, 15s));
  EXPECT_EQ(*last(2), (wire::Suggestion{certs::Role::Registry, "registry1", "127.0.0.1", 4040, key(2), false}));
  EXPECT_EQ(*last(3), (wire::Suggestion{certs::Role::Node, "node1", "127.0.0.1", 4042, key(3), false}));
  EXPECT_FALSE(last(1)) << "nobody hears of itself";

  running = {&watcher, &node};
  other.reset();
  ASSERT_TRUE(run_until([&] { return last(2)->gone; }, 15s));
  EXPECT_FALSE(last(3)->gone);
}

TEST_F(DiscoveryTest, TwoOfOneNameAreBothFound) {
  start_bus();
  start_avahi();
  if (IsSkipped()) return;
  Discovery watcher(record(), key(1)), first([](const wire::Suggestion&) {}, key(2)),
      second([](const wire::Suggestion&) {}, key(3));
  running = {&watcher, &first, &second};
  watcher.browse(certs::Role::Registry);
  first.publish({certs::Role::Registry, "registry1", 4040, key(2)});
  second.publish({certs::Role::Registry, "registry1", 4041, key(3)});
  EXPECT_TRUE(run_until([&] { return last(2) && last(3); }, 15s));
}

TEST_F(DiscoveryTest, WithoutDaemonItWaitsAndARestartIsHandled) {
  start_bus();
  Discovery watcher(record(), key(1)), other([](const wire::Suggestion&) {}, key(2));
  running = {&watcher, &other};
  watcher.browse(certs::Role::Registry);
  other.publish({certs::Role::Registry, "registry1", 4040, key(2)});
  EXPECT_FALSE(run_until([&] { return watcher.available(); }, 300ms));
  start_avahi();
  if (IsSkipped()) return;
  ASSERT_TRUE(run_until([&] { return last(2).has_value(); }, 20s));
  avahi->signal(SIGKILL);
  ASSERT_TRUE(avahi->wait(5s));
  ASSERT_TRUE(run_until([&] { return !watcher.available() && !other.available(); }, 10s));
  EXPECT_FALSE(last(2)->gone) << "the daemon's end says nothing about others";
  seen.clear();
  start_avahi();
  if (IsSkipped()) return;
  EXPECT_TRUE(run_until([&] { return last(2).has_value(); }, 30s));
}

TEST_F(DiscoveryTest, WithoutEvenABusNothingIsWrong) {
  Discovery watcher(record(), key(1));
  running = {&watcher};
  watcher.browse(certs::Role::Registry);
  watcher.publish({certs::Role::Registry, "registry1", 4040, key(1)});
  EXPECT_FALSE(run_until([&] { return watcher.available(); }, 300ms));
}

TEST(CoarseRate, IsAPowerOfTwoSoThatSmallChangesCauseNoTraffic) {
  EXPECT_EQ(coarse_gflops(FlopRate(0)), 0u);
  EXPECT_EQ(coarse_gflops(FlopRate(0.9e9)), 0u);
  EXPECT_EQ(coarse_gflops(FlopRate(1e9)), 1u);
  EXPECT_EQ(coarse_gflops(FlopRate(63.9e9)), 32u);
  EXPECT_EQ(coarse_gflops(FlopRate(64e9)), 64u);
}

}  // namespace

}  // namespace tomogrid::registry
