// Streams over real sockets: both ways, cut and resumed, refused, and bounded.
#include <gtest/gtest.h>

#include "federation/wire_party.h"
#include "federation/wire_tap.h"

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

TEST_F(WireStream, EmptyAndSeveralAtOnce) {
  for (int i = 0; i < 20; ++i) client.streams.put(key_named("s" + std::to_string(i)), noise(static_cast<std::size_t>(i) * 77'777, 5));
  Effects all;
  for (int i = 0; i < 20; ++i) all.push_back(SendStream{at_client.id, key_named("s" + std::to_string(i)), {}});
  client.perform(std::move(all));
  ASSERT_TRUE(node.wait_count<StreamReceived>(20));
  for (int i = 0; i < 20; ++i) {
    const auto name = "s" + std::to_string(i);
    EXPECT_TRUE(node.streams.get(key_named(name))->bytes == client.streams.get(key_named(name))->bytes) << name;
    EXPECT_TRUE(node.streams.get(key_named(name))->complete);
  }
}

TEST_F(WireStream, InAnOrderOfTheirOwn) {
  client.streams.order = {{2'000'000, 2'100'000}, {100, 700'000}, {3'000'000, 3'000'001}};
  client.streams.put(key_named("scan"), noise(4'000'000, 5));
  client.perform({SendStream{at_client.id, key_named("scan"), {}}});
  ASSERT_TRUE(node.wait<StreamReceived>());
  const auto content = node.streams.get(key_named("scan"));
  EXPECT_TRUE(content->bytes == client.streams.get(key_named("scan"))->bytes);
  EXPECT_EQ(content->stored.at(0).first, 2'000'000U);
}

TEST_F(WireStream, UnknownIsBrokenAtTheSender) {
  client.perform({SendStream{at_client.id, key_named("nothing"), {}}});
  const auto broken = client.wait<StreamBroken>();
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->code, "unknown");
}

TEST_F(WireStream, AFullDiskBreaksBothEndsAndTheSessionStands) {
  node.streams.fail_writes_after = 1'000'000;
  client.streams.put(key_named("scan"), noise(30'000'000, 5));
  client.perform({SendStream{at_client.id, key_named("scan"), {}}});
  const auto here = client.wait<StreamBroken>();
  const auto there = node.wait<StreamBroken>();
  ASSERT_TRUE(here && there);
  EXPECT_EQ(here->code, "storage");
  EXPECT_EQ(there->reason, "no space left here");
  EXPECT_EQ(node.count<StreamReceived>(), 0U);
  node.streams.fail_writes_after = UINT64_MAX;
  client.streams.put(key_named("other"), noise(30'000'000, 6));
  client.perform({SendStream{at_client.id, key_named("other"), {}}});
  EXPECT_TRUE(node.wait<StreamReceived>()) << "what was let go no longer counts against the window";
}

TEST_F(WireStream, StoppedByTheReceiver) {
  client.streams.put(key_named("scan"), noise(50'000'000, 5));
  client.perform({SendStream{at_client.id, key_named("scan"), {}}});
  ASSERT_TRUE(node.wait<Received>());
  node.perform({StopStream{at_node.id, key_named("scan"), "cancelled"}});
  const auto broken = client.wait<StreamBroken>();
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->code, "cancelled");
  EXPECT_EQ(node.count<StreamBroken>(), 0U) << "who stops it knows";
}

// Resumed from bytes that are not the sender's: an altered byte anywhere on the way looks like this.
TEST_F(WireStream, AnotherHashIsRefusedAndNothingOfItIsKept) {
  client.streams.put(key_named("scan"), noise(10'000'000, 5));
  const auto kept = node.streams.put(key_named("scan"), std::vector<std::uint8_t>(10'000'000));
  kept->stored.emplace_back(0, 10);
  node.on_loop([](Loop&) {});                              // what this thread wrote is the loop's now
  client.perform({SendStream{at_client.id, key_named("scan"), {}}});
  const auto broken = client.wait<StreamBroken>({}, 30s);
  ASSERT_TRUE(broken);
  EXPECT_EQ(broken->code, "hash");
  ASSERT_TRUE(node.wait<StreamBroken>());
  EXPECT_TRUE(kept->forgotten);
  EXPECT_FALSE(kept->complete);
  client.perform({SendStream{at_client.id, key_named("scan"), {}}});
  EXPECT_TRUE(node.wait<StreamReceived>({}, 30s)) << "from the start again";
}

// ---- Through a tapped wire ---------------------------------------------------------------------------------------------------------

class TappedWire : public ::testing::Test {
 protected:
  void SetUp() override {
    node.react(accept_all());
    client.react(accept_all());
    node.listen();
    node.start();
    client.start();
  }
  Target through() {
    Target target = node.target(Role::Node);
    target.host = "127.0.0.2";
    return target;
  }
  certs::Authority authority{"north"};
  Party node{authority, "node-a", Role::Node};
  Party client{authority, "doctor", Role::Clinician};
};

TEST_F(TappedWire, NothingReadablePasses) {
  Tap tap({node.ports().control_port, node.ports().bulk_port}, true);
  const Peer peer = client.connect(through());
  const std::string marker = "PATIENT-MARKER-0123456789";
  std::vector<std::uint8_t> content;
  while (content.size() < 3'000'000) content.insert(content.end(), marker.begin(), marker.end());
  client.streams.put(key_named("visible-name"), content);
  client.perform({SendStream{peer.id, key_named("visible-name"), {}}, Send{peer.id, JobNotice{{}, "visible-code", marker}}});
  ASSERT_TRUE(node.wait<StreamReceived>());
  const std::string seen = tap.seen();
  EXPECT_GT(seen.size(), content.size()) << "the tap saw it pass";
  EXPECT_NE(seen.find("CURVE"), std::string::npos);
  for (const std::string& word : {marker, std::string("visible-name"), std::string("visible-code"), std::string("doctor"),
                                 std::string("node-a"), std::string("north")}) {
    EXPECT_EQ(seen.find(word), std::string::npos) << word;
  }
}

TEST_F(TappedWire, ACutStreamResumesWhereItWas) {
  Tap tap({node.ports().control_port, node.ports().bulk_port});
  const auto content = client.streams.put(key_named("scan"), noise(40'000'000, 9));
  Peer peer = client.connect(through());
  for (int cut = 1; cut <= 5; ++cut) {
    tap.cut_after(6'000'000);
    client.perform({SendStream{peer.id, key_named("scan"), {}}});
    const auto broken = client.wait<StreamBroken>();
    ASSERT_TRUE(broken);
    EXPECT_EQ(broken->code, "session");
    ASSERT_TRUE(client.wait<PeerDown>());
    ASSERT_TRUE(node.wait<PeerDown>());
    EXPECT_GE(node.count<StreamBroken>(), 1U);
    EXPECT_EQ(node.count<StreamReceived>(), 0U);
    client.forget_events();
    node.forget_events();
    peer = client.connect(through());
  }
  client.perform({SendStream{peer.id, key_named("scan"), {}}});
  ASSERT_TRUE(node.wait<StreamReceived>());
  const auto received = node.streams.get(key_named("scan"));
  EXPECT_TRUE(received->bytes == content->bytes);
  EXPECT_EQ(received->written, content->bytes.size()) << "no byte was written twice";
  EXPECT_LT(tap.passed(), content->bytes.size() * 3 / 2) << "resumed, not begun again";
}

// Cut at a hundred points of a stream; never taken for whole.
TEST_F(TappedWire, AStreamCutAnywhereIsNeverTakenForWhole) {
  Tap tap({node.ports().control_port, node.ports().bulk_port});
  const std::size_t size = 400'000;
  std::uint64_t whole = 0;
  for (int cut = 0; cut <= 100; ++cut) {
    const std::string name = "scan" + std::to_string(cut);
    client.streams.put(key_named(name), noise(size, 9));
    const Peer peer = client.connect(through());
    if (cut > 0) tap.cut_after(static_cast<std::uint64_t>(cut) * size / 100);
    client.perform({SendStream{peer.id, key_named(name), {}}});
    const auto sent = [&](const StreamSent& event) { return event.key.name == name; };
    if (cut == 0) {
      ASSERT_TRUE(client.wait<StreamSent>(sent));
      client.perform({ClosePeer{peer.id, "idle", ""}});
    }
    ASSERT_TRUE(client.wait<PeerDown>([&](const PeerDown& down) { return down.peer.id == peer.id; })) << cut;
    node.on_loop([](Loop&) {});
    const auto received = node.streams.get(key_named(name));
    const std::lock_guard lock(node.streams.mutex);
    if (received && received->complete) {
      ++whole;
      EXPECT_TRUE(received->bytes == noise(size, 9)) << cut;
    }
    const bool said_whole = client.wait<StreamSent>(sent, 0ms).has_value();
    EXPECT_TRUE(!said_whole || (received && received->complete)) << cut;
  }
  EXPECT_GE(whole, 1U);
}

}  // namespace
}  // namespace tomogrid::wire::test
