// Sessions over real sockets: who is let in, who is refused and by which reason, and that the role serves on.
#include <gtest/gtest.h>

#include "federation/wire_party.h"

namespace tomogrid::wire::test {
namespace {

using certs::Role;

class WireSession : public ::testing::Test {
 protected:
  certs::Authority authority{"north"};
};

TEST_F(WireSession, TwoMembersMeetAndSpeak) {
  Party node(authority, "node-a", Role::Node);
  Party client(authority, "doctor", Role::Clinician);
  node.listen();
  node.start();
  client.start();
  const Peer peer = client.connect(node.target(Role::Node));
  EXPECT_EQ(peer.name, "node-a");
  EXPECT_EQ(peer.member, node.member().identity().member());
  const auto up = node.wait<PeerUp>();
  ASSERT_TRUE(up);
  EXPECT_EQ(up->peer.name, "doctor");
  EXPECT_EQ(up->peer.dial, 0U);
  EXPECT_TRUE(up->peer.roles.contains(Role::Clinician));
  ASSERT_TRUE(up->peer.chain);

  client.perform({Send{peer.id, ListJobs{}}});
  ASSERT_TRUE(node.wait<Received>([](const Received& event) { return std::holds_alternative<ListJobs>(event.message); }));
  node.perform({Send{up->peer.id, Drained{true, 3}}});
  const auto answer = client.wait<Received>();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->message, Message(Drained{true, 3}));

  client.perform({ClosePeer{peer.id, "idle", "no more to say"}});
  const auto down = node.wait<PeerDown>();
  ASSERT_TRUE(down);
  EXPECT_EQ(down->reason, "no more to say");
  EXPECT_TRUE(client.wait<PeerDown>());
}

// ---- Refused, each by its own reason ---------------------------------------------------------------------------------------------

class WireRefusal : public WireSession {
 protected:
  void SetUp() override {
    node.listen();
    node.start();
  }
  // After every refusal the node still serves.
  void TearDown() override {
    Party doctor(authority, "doctor", Role::Clinician);
    doctor.start();
    EXPECT_EQ(doctor.connect(node.target(Role::Node)).name, "node-a");
  }
  void expect_refused(Party& party, const Target& target, ErrorCode code, const std::string& words) {
    party.start();
    const Error error = party.connect_fails(target);
    EXPECT_EQ(error.code, code) << error.message;
    EXPECT_NE(error.message.find(words), std::string::npos) << error.message;
    EXPECT_EQ(node.count<PeerUp>(), 0U);
  }
  Party node{authority, "node-a", Role::Node};
};

TEST_F(WireRefusal, WrongServerKey) {
  Party client(authority, "other", Role::Clinician);
  Target target = node.target(Role::Node);
  target.transport_key = client.member().identity().transport_key();
  expect_refused(client, target, ErrorCode::Unreachable, "does not hold the key that was asked for");
}

TEST_F(WireRefusal, NobodyThere) {
  Party client(authority, "other", Role::Clinician);
  Target target = node.target(Role::Node);
  {
    Party gone(authority, "gone", Role::Node);
    gone.listen();
    target.control_port = gone.ports().control_port;
  }
  expect_refused(client, target, ErrorCode::Unreachable, "nobody listens at 127.0.0.1:");
}

TEST_F(WireRefusal, WrongRole) {
  Party client(authority, "other", Role::Clinician);
  expect_refused(client, node.target(Role::Manager), ErrorCode::Refused, "node-a is node, not manager");
}

TEST_F(WireRefusal, OtherSubject) {
  Party client(authority, "other", Role::Clinician);
  Target target = node.target(Role::Node);
  target.member = client.member().identity().member();
  expect_refused(client, target, ErrorCode::Unverified, "answers, not");
}

TEST_F(WireRefusal, Expired) {
  Party client(certs::make_identity(authority, "old", Role::Clinician, wall_now() - std::chrono::hours(24 * 400)).or_throw());
  expect_refused(client, node.target(Role::Node), ErrorCode::Refused, "expired");
  EXPECT_TRUE(node.wait_report("session.ended", "expired"));
}

TEST_F(WireRefusal, OtherAuthorityOfTheSameName) {
  certs::Authority impostor("north");
  Party client(impostor, "doctor", Role::Clinician);
  expect_refused(client, node.target(Role::Node), ErrorCode::Unverified, "");
}

TEST_F(WireRefusal, OtherFederation) {
  certs::Authority south("south");
  Party client(south, "doctor", Role::Clinician);
  expect_refused(client, node.target(Role::Node), ErrorCode::Refused, "federation north there, south here");
}

TEST_F(WireRefusal, ClockOffByADay) {
  Party client(authority, "late", Role::Clinician, {}, std::chrono::hours(-24));
  expect_refused(client, node.target(Role::Node), ErrorCode::Refused, "clock differs by 24 h");
}

TEST_F(WireRefusal, RevokedIsNotLetInAtAll) {
  Party client(authority, "gone", Role::Clinician);
  node.on_loop([&](Loop&) { ASSERT_TRUE(node.member().revocations().offer(authority.revoke("gone", wall_now()).or_throw())); });
  expect_refused(client, node.target(Role::Node), ErrorCode::Unreachable, "refused at the door");
  EXPECT_TRUE(node.wait_report("door.refused", "revoked"));
}

TEST_F(WireSession, ARevocationThatAnyMemberBringsEndsTheOpenConnectionWithinASecond) {
  Party node(authority, "node-a", Role::Node);
  Party victim(authority, "gone", Role::Clinician), bringer(authority, "doctor", Role::Clinician);
  node.listen();
  node.start();
  victim.start();
  (void)victim.connect(node.target(Role::Node));
  ASSERT_TRUE(bringer.member().revocations().offer(authority.revoke("gone", wall_now()).or_throw()));
  bringer.start();
  const auto begun = std::chrono::steady_clock::now();
  const Peer peer = bringer.connect(node.target(Role::Node));
  const auto down = victim.wait<PeerDown>();
  ASSERT_TRUE(down);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 1s);
  EXPECT_NE(down->reason.find("revoked"), std::string::npos) << down->reason;
  ASSERT_TRUE(node.wait<PeerDown>());
  EXPECT_NE(victim.connect_fails(node.target(Role::Node)).message.find("refused at the door"), std::string::npos);
  bringer.perform({Send{peer.id, ListJobs{}}});
  EXPECT_TRUE(node.wait<Received>()) << "who brought the list is served on";
}

TEST_F(WireSession, ADeadPeerIsNoticedAndAGoodbyeIsHeard) {
  Party node(authority, "node-a", Role::Node);
  node.listen();
  node.start();
  {
    Party client(authority, "doctor", Role::Clinician);
    client.start();
    (void)client.connect(node.target(Role::Node));
    client.stop();
  }
  const auto down = node.wait<PeerDown>();
  ASSERT_TRUE(down);
  EXPECT_EQ(down->reason, "this member stops");
}

TEST_F(WireSession, ManySessionsOfOneMemberStandAtOnce) {
  Party node(authority, "node-a", Role::Node);
  node.listen();
  node.start();
  Party client(authority, "doctor", Role::Clinician);
  client.start();
  for (int i = 0; i < 60; ++i) (void)client.connect(node.target(Role::Node));
  EXPECT_TRUE(node.wait_count<PeerUp>(60));
  node.stop();
  EXPECT_TRUE(client.wait<PeerDown>());
}

}  // namespace
}  // namespace tomogrid::wire::test
