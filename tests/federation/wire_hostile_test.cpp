// Whoever is not a member, or behaves as none: bare sockets against the doors of a serving role. After each the role serves on.
#include <gtest/gtest.h>

#include <fstream>
#include <zmq.hpp>

#include "federation/wire_party.h"
#include "federation/wire_tap.h"

namespace tomogrid::wire::test {
namespace {

using certs::Role;

std::uint64_t resident_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "VmRSS:") continue;
    std::uint64_t kib = 0;
    status >> kib;
    return kib / 1024;
  }
  return 0;
}

class Hostile : public ::testing::Test {
 protected:
  static LoopOptions impatient() {
    LoopOptions options;
    options.hello_timeout = 400ms;
    return options;
  }
  void SetUp() override {
    node.listen();
    node.start();
  }
  void TearDown() override {
    Party doctor(authority, "doctor", Role::Clinician);
    doctor.start();
    EXPECT_EQ(doctor.connect(node.target(Role::Node)).name, "node-a");
  }
  // A client that knows the door's key and has one of its own, but no certificate.
  zmq::socket_t stranger(std::uint16_t port) {
    zmq::socket_t socket(context, zmq::socket_type::dealer);
    char secret[41], own[41];
    zmq_curve_keypair(own, secret);
    socket.set(zmq::sockopt::curve_serverkey, certs::z85(node.member().identity().transport_key()));
    socket.set(zmq::sockopt::curve_publickey, own);
    socket.set(zmq::sockopt::curve_secretkey, secret);
    prepare(socket, port);
    return socket;
  }
  void prepare(zmq::socket_t& socket, std::uint16_t port) {
    socket.set(zmq::sockopt::linger, 0);
    socket.set(zmq::sockopt::reconnect_ivl, -1);
    zmq_socket_monitor(socket.handle(), ("inproc://m" + std::to_string(++monitors)).c_str(), ZMQ_EVENT_ALL);
    reader = zmq::socket_t(context, zmq::socket_type::pair);
    reader.set(zmq::sockopt::rcvhwm, 0);
    reader.connect("inproc://m" + std::to_string(monitors));
    socket.connect("tcp://127.0.0.1:" + std::to_string(port));
  }
  // Waits for one of these events of the socket prepared last.
  bool happens(std::vector<int> wanted, std::chrono::milliseconds limit = 5s) {
    const auto until = std::chrono::steady_clock::now() + limit;
    reader.set(zmq::sockopt::rcvtimeo, 50);
    while (std::chrono::steady_clock::now() < until) {
      zmq::message_t what, where;
      if (!reader.recv(what)) continue;
      (void)reader.recv(where);
      std::uint16_t event = 0;
      std::memcpy(&event, what.data(), 2);
      for (const int one : wanted) {
        if (event == one) return true;
      }
    }
    return false;
  }
  void close_socket(zmq::socket_t& socket) {
    zmq_socket_monitor(socket.handle(), nullptr, 0);
    socket.close();
  }

  certs::Authority authority{"north"};
  Party node{authority, "node-a", Role::Node, impatient()};
  zmq::context_t context;
  zmq::socket_t reader;
  int monitors = 0;
};

TEST_F(Hostile, WithoutCurveNothingIsHeard) {
  zmq::socket_t plain(context, zmq::socket_type::dealer);
  prepare(plain, node.ports().control_port);
  plain.send(zmq::buffer(std::string_view("let me in")), zmq::send_flags::none);
  EXPECT_TRUE(happens({ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL, ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL, ZMQ_EVENT_DISCONNECTED}));
  close_socket(plain);
  EXPECT_EQ(node.count<PeerUp>(), 0U);
}

TEST_F(Hostile, NoHelloEndsTheConnection) {
  zmq::socket_t silent = stranger(node.ports().control_port);
  ASSERT_TRUE(happens({ZMQ_EVENT_HANDSHAKE_SUCCEEDED}));
  EXPECT_TRUE(happens({ZMQ_EVENT_DISCONNECTED}, 3s));
  EXPECT_TRUE(node.wait_report("connection.ended", "no hello within"));
  close_socket(silent);
}

TEST_F(Hostile, ASilentTcpConnectionIsEndedToo) {
  const int descriptor = connect_to(node.ports().control_port);
  ASSERT_GE(descriptor, 0);
  timeval limit{5, 0};
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  char buffer[256];
  ssize_t got = 0;
  while ((got = recv(descriptor, buffer, sizeof buffer, 0)) > 0) {}    // its greeting, then the end
  EXPECT_TRUE(got == 0 || errno == ECONNRESET) << "still open";
  close(descriptor);
}

TEST_F(Hostile, AnOversizeFrameEndsTheSessionWithAReason) {
  zmq::socket_t big = stranger(node.ports().control_port);
  big.send(zmq::message_t(100 * 1024), zmq::send_flags::none);
  EXPECT_TRUE(node.wait_report("session.ended", "more than 65536"));
  EXPECT_TRUE(happens({ZMQ_EVENT_DISCONNECTED}));
  close_socket(big);

  zmq::socket_t huge = stranger(node.ports().control_port);
  huge.send(zmq::message_t(8 * 1024 * 1024), zmq::send_flags::none);
  EXPECT_TRUE(happens({ZMQ_EVENT_DISCONNECTED}));
  close_socket(huge);
}

TEST_F(Hostile, AMalformedMessageEndsTheSessionWithAReason) {
  zmq::socket_t odd = stranger(node.ports().control_port);
  odd.send(zmq::buffer(std::string_view("GET / HTTP/1.1\r\n")), zmq::send_flags::none);
  EXPECT_TRUE(node.wait_report("session.ended", "a message is malformed"));
  zmq::message_t answer;
  ASSERT_TRUE(odd.recv(answer));
  const auto bye = decode({answer.data<std::uint8_t>(), answer.size()});
  ASSERT_TRUE(bye);
  EXPECT_EQ(std::get<Bye>(*bye).code, "protocol");
  close_socket(odd);
}

TEST_F(Hostile, AMessageThatNeverEndsIsEnded) {
  zmq::socket_t endless = stranger(node.ports().control_port);
  ASSERT_TRUE(happens({ZMQ_EVENT_HANDSHAKE_SUCCEEDED}));
  const std::uint64_t before = resident_mib();
  endless.set(zmq::sockopt::sndhwm, 0);
  // 1.2 GB in one message, all parts of it the same bytes here; the library sends it only once it has an end.
  static const std::vector<std::uint8_t> part(60 * 1024, 1);
  for (int i = 0; i < 20'000; ++i) {
    zmq::message_t frame(const_cast<std::uint8_t*>(part.data()), part.size(), [](void*, void*) {}, nullptr);
    endless.send(frame, i + 1 < 20'000 ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
  EXPECT_TRUE(happens({ZMQ_EVENT_DISCONNECTED}));
  EXPECT_TRUE(node.wait_report("connection.ended", "received without a whole message"));
  EXPECT_LT(resident_mib(), before + 400) << "both ends are in this process";
  close_socket(endless);
}

TEST_F(Hostile, TheBulkDoorLetsNobodyInWithoutASession) {
  zmq::socket_t early = stranger(node.ports().bulk_port);
  EXPECT_TRUE(happens({ZMQ_EVENT_HANDSHAKE_FAILED_AUTH}));
  EXPECT_TRUE(node.wait_report("door.refused", "no session"));
  close_socket(early);
}

// Ten thousand connections that send noise, up to two thousand of them open at once, while a member works.
TEST_F(Hostile, TenThousandGarbageConnectionsCostLittleAndLockNobodyOut) {
  Party doctor(authority, "member", Role::Clinician);
  doctor.start();
  const Peer peer = doctor.connect(node.target(Role::Node));
  const auto round_trip = [&] {
    node.forget_events();
    const auto begun = std::chrono::steady_clock::now();
    doctor.perform({Send{peer.id, ListJobs{}}});
    EXPECT_TRUE(node.wait<Received>());
    return std::chrono::steady_clock::now() - begun;
  };
  const auto garbage = noise(600, 3);
  const std::uint64_t before = resident_mib();
  std::vector<int> open;
  std::uint64_t most = 0;
  std::chrono::steady_clock::duration slowest{0};
  int connected = 0;
  for (int i = 0; i < 10'000; ++i) {
    const int descriptor = connect_to(node.ports().control_port);
    if (descriptor >= 0) {
      ++connected;
      (void)!send(descriptor, garbage.data(), static_cast<std::size_t>(i) % garbage.size(), MSG_NOSIGNAL);
      open.push_back(descriptor);
    }
    if (open.size() >= 2000) {
      for (const int old : open) close(old);
      open.clear();
    }
    if (i % 1000 == 999) {
      most = std::max(most, resident_mib());
      slowest = std::max(slowest, round_trip());
      Party newcomer(authority, "new-" + std::to_string(i), Role::Clinician);
      newcomer.start();
      EXPECT_EQ(newcomer.connect(node.target(Role::Node)).name, "node-a") << "after " << i;
    }
  }
  for (const int old : open) close(old);
  EXPECT_EQ(connected, 10'000);
  EXPECT_LT(most, before + 128);
  EXPECT_LT(slowest, 2s);
  RecordProperty("resident_mib", static_cast<int>(most));
}

// Anyone can make a key and knock: that is refused by budget, and members are still let in.
TEST_F(Hostile, KnockingTooOftenIsHeldOffAndMembersComeIn) {
  LoopOptions options;
  options.knocks_per_second = 0.001;
  options.knocks_burst = 3;
  Party strict(authority, "strict", Role::Node, options);
  strict.listen();
  strict.start();
  Party doctor(authority, "member", Role::Clinician), late(authority, "late", Role::Clinician);
  doctor.start();
  late.start();
  (void)doctor.connect(strict.target(Role::Node));       // known from now on
  for (int i = 0; i < 3; ++i) {
    char secret[41], own[41];
    zmq_curve_keypair(own, secret);
    zmq::socket_t socket(context, zmq::socket_type::dealer);
    socket.set(zmq::sockopt::curve_serverkey, certs::z85(strict.member().identity().transport_key()));
    socket.set(zmq::sockopt::curve_publickey, own);
    socket.set(zmq::sockopt::curve_secretkey, secret);
    prepare(socket, strict.ports().control_port);
    EXPECT_EQ(happens({ZMQ_EVENT_HANDSHAKE_SUCCEEDED}, i < 2 ? 5s : 300ms), i < 2) << i;
    close_socket(socket);
  }
  EXPECT_TRUE(strict.wait_report("door.refused", "knocks too often"));
  EXPECT_NE(late.connect_fails(strict.target(Role::Node)).message.find("knocked too often"), std::string::npos);
  EXPECT_EQ(doctor.connect(strict.target(Role::Node)).name, "strict");
}

}  // namespace
}  // namespace tomogrid::wire::test
