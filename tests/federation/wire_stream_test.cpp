// Streams over real sockets: both ways, cut and resumed, refused, and bounded.
#include <gtest/gtest.h>

#include "federation/wire_party.h"

namespace tomogrid::wire::test {
namespace {

using certs::Role;

// Takes every stream that is offered.
Party::React accept_all() {
  return [](const Event& event) -> Effects {
    const auto* received = std::get_if<Received>(&event);
    const auto* offer = received != nullptr ? std::get_if<StreamOffer>(&received->message) : nullptr;
    if (offer == nullptr) return {};
    return {ReceiveStream{received->peer.id, offer->number, offer->key, JobKey{received->peer.member, offer->key.job}, offer->length}};
  };
}

class WireStream : public ::testing::Test {
 protected:
  void SetUp() override {
    node.react(accept_all());
    client.react(accept_all());
    node.listen();
    node.start();
    client.start();
    at_client = client.connect(node.target(Role::Node));
    at_node = node.wait<PeerUp>()->peer;
  }
  certs::Authority authority{"north"};
  Party node{authority, "node-a", Role::Node};
  Party client{authority, "doctor", Role::Clinician};
  Peer at_client, at_node;
};

TEST_F(WireStream, FlowBothWays) {
  const std::vector<std::uint8_t> scan = noise(5'000'001, 1), volume = noise(3'333'333, 2);
  client.streams.put(key_named("scan"), scan);
  node.streams.put(key_named("volume"), volume);
  client.perform({SendStream{at_client.id, key_named("scan"), {}}});
  node.perform({SendStream{at_node.id, key_named("volume"), {}}});
  const auto scan_in = node.wait<StreamReceived>();
  const auto volume_in = client.wait<StreamReceived>();
  ASSERT_TRUE(scan_in);
  ASSERT_TRUE(volume_in);
  EXPECT_EQ(scan_in->root, certs::content_hash(scan));
  EXPECT_EQ(volume_in->root, certs::content_hash(volume));
  EXPECT_TRUE(node.streams.get(key_named("scan"))->bytes == scan);
  EXPECT_TRUE(client.streams.get(key_named("volume"))->bytes == volume);
  EXPECT_TRUE(node.streams.get(key_named("scan"))->complete);
  const auto sent = client.wait<StreamSent>();
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->root, scan_in->root);
  EXPECT_TRUE(node.wait<StreamSent>());
}

}  // namespace
}  // namespace tomogrid::wire::test
