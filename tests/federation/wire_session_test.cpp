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

}  // namespace
}  // namespace tomogrid::wire::test
