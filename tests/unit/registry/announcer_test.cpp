#include "registry/announcer.h"

#include <gtest/gtest.h>

#include "support/sim_members.h"

namespace tomogrid::registry {

namespace {

using namespace std::chrono_literals;

class AnnouncerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::uint8_t i = 1; i <= 2; ++i) {
      wire::Target target;
      target.transport_key.bytes[0] = i;
      targets.push_back(target);
    }
    announcer = std::make_unique<Announcer>(identity, AnnouncerOptions{.registries = targets});
    for (const wire::Effect& effect : announcer->advance(now)) {
      wire::Peer peer;
      peer.dial = std::get<wire::Connect>(effect).dial;
      peer.id = 10 + peers.size();
      peer.name = "registry" + std::to_string(peers.size() + 1);
      peers.push_back(peer);
    }
    ASSERT_EQ(peers.size(), 2u);
  }
  static std::vector<const wire::Send*> sends(const wire::Effects& effects) {
    std::vector<const wire::Send*> found;
    for (const wire::Effect& effect : effects) {
      if (const auto* send = std::get_if<wire::Send>(&effect)) found.push_back(send);
    }
    return found;
  }
  static wire::Advert announced(const wire::Send& send) {
    return wire::decode_advert(std::get<wire::Announce>(send.message).advert.body).or_throw();
  }
  wire::Effects tell(std::size_t from, wire::Message message) {
    return announcer->handle(now, wire::Received{peers[from], std::move(message)});
  }
  wire::Effects advance(Duration time) {
    now.instant += time;
    return announcer->advance(now);
  }

  test::Members members;
  const certs::Identity& identity = members.get("node1", certs::Role::Node);
  wire::Now now{Instant(1h), WallTime{1'790'000'000'000}};
  std::vector<wire::Target> targets;
  std::vector<wire::Peer> peers;
  std::unique_ptr<Announcer> announcer;
};

TEST_F(AnnouncerTest, TellsEveryRegistryWhoeverComesFirst) {
  EXPECT_TRUE(announcer->handle(now, wire::PeerUp{peers[0]}).empty()) << "nothing to say yet";
  auto effects = announcer->publish(now, test::idle_node(4, 2e9, 77));
  ASSERT_EQ(sends(effects).size(), 1u);
  const wire::Advert said = announced(*sends(effects)[0]);
  EXPECT_EQ(said.node, identity.member());
  EXPECT_EQ(said.name, "node1");
  EXPECT_EQ(said.transport_key, identity.transport_key());
  EXPECT_EQ(said.boot, 77u);
  EXPECT_EQ(said.sequence, 1u);
  EXPECT_EQ(said.issued, now.wall);
  EXPECT_TRUE(certs::verify(*announcer->record(), certs::kinds::advert, said.signing_key));
  effects = announcer->handle(now, wire::PeerUp{peers[1]});
  ASSERT_EQ(sends(effects).size(), 1u);
  EXPECT_EQ(sends(effects)[0]->peer, peers[1].id);
}

TEST_F(AnnouncerTest, RenewsEachLeaseAfterAThirdOfIt) {
  announcer->publish(now, test::idle_node(4, 2e9, 77));
  for (const auto& peer : peers) announcer->handle(now, wire::PeerUp{peer});
  tell(0, wire::LeaseGranted{77, 1, 3000ms});
  tell(1, wire::LeaseGranted{77, 1, 600ms});
  EXPECT_EQ(announcer->registries_granted(), 2u);
  int first = 0, second = 0;
  for (int ms = 0; ms < 6000; ms += 10) {
    const wire::Effects effects = advance(10ms);
    for (const auto* send : sends(effects)) {
      const auto& renew = std::get<wire::Renew>(send->message);
      EXPECT_EQ(renew, (wire::Renew{77, 1}));
      (send->peer == peers[0].id ? first : second) += 1;
      tell(send->peer == peers[0].id ? 0 : 1, wire::LeaseGranted{77, 1, send->peer == peers[0].id ? 3000ms : 600ms});
    }
  }
  EXPECT_EQ(first, 6);
  EXPECT_EQ(second, 30);
}

TEST_F(AnnouncerTest, ChangesCloseTogetherGoOutAsOne) {
  announcer->handle(now, wire::PeerUp{peers[0]});
  ASSERT_EQ(sends(announcer->publish(now, test::idle_node(4, 2e9, 77))).size(), 1u);
  std::size_t sent = 0;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < 100; ++i) {
    wire::Advert content = test::idle_node(4, 2e9, 77);
    content.jobs_queued = i;
    now.instant += 1ms;
    for (const auto& effects : {announcer->publish(now, content), announcer->advance(now)}) {
      for (const auto* send : sends(effects)) {
        ++sent;
        last = announced(*send).jobs_queued;
      }
    }
  }
  const wire::Effects rest = advance(20ms);
  for (const auto* send : sends(rest)) last = announced(*send).jobs_queued, ++sent;
  EXPECT_LE(sent, 6u);
  EXPECT_EQ(last, 99u);
  EXPECT_TRUE(sends(advance(20ms)).empty());
}

TEST_F(AnnouncerTest, AnnouncesAgainWhenARegistryDoesNotKnowIt) {
  announcer->publish(now, test::idle_node(4, 2e9, 77));
  announcer->handle(now, wire::PeerUp{peers[0]});
  tell(0, wire::LeaseGranted{77, 1, 3000ms});
  const auto again = tell(0, wire::LeaseRefused{"unknown", "announce again"});
  ASSERT_EQ(sends(again).size(), 1u);
  EXPECT_EQ(announced(*sends(again)[0]).sequence, 1u);
  // A registry that forgets at once is not answered at once without end.
  EXPECT_TRUE(sends(tell(0, wire::LeaseRefused{"unknown", "announce again"})).empty());
  EXPECT_EQ(sends(advance(3000ms)).size(), 1u);
}

TEST_F(AnnouncerTest, OtherRefusalsAreReportedOnceAndTriedAgainAfterALease) {
  announcer->publish(now, test::idle_node(4, 2e9, 77));
  announcer->handle(now, wire::PeerUp{peers[0]});
  const auto first = tell(0, wire::LeaseRefused{"full", "takes no more"});
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(std::get<wire::Report>(first[0]).event, "announcer.refused");
  EXPECT_TRUE(sends(advance(2999ms)).empty());
  EXPECT_EQ(sends(advance(1ms)).size(), 1u);
  EXPECT_TRUE(tell(0, wire::LeaseRefused{"full", "takes no more"}).empty());
  EXPECT_EQ(announcer->registries_granted(), 0u);
}

TEST_F(AnnouncerTest, WithdrawsFromEveryRegistryAndIsSilentAfterwards) {
  announcer->publish(now, test::idle_node(4, 2e9, 77));
  for (const auto& peer : peers) announcer->handle(now, wire::PeerUp{peer});
  const auto effects = announcer->withdraw(now);
  ASSERT_EQ(sends(effects).size(), 2u);
  for (const auto* send : sends(effects)) EXPECT_EQ(std::get<wire::Withdraw>(send->message).boot, 77u);
  EXPECT_TRUE(announcer->publish(now, test::idle_node(1, 2e9, 77)).empty());
  EXPECT_TRUE(sends(advance(10s)).empty());
  EXPECT_TRUE(sends(tell(0, wire::LeaseRefused{"unknown", "announce again"})).empty());
}

TEST_F(AnnouncerTest, DialsAgainAfterPausesThatDouble) {
  std::vector<std::int64_t> pauses;
  announcer->handle(now, wire::PeerUp{peers[1]});
  std::uint64_t dial = peers[0].dial;
  for (int i = 0; i < 8; ++i) {
    announcer->handle(now, wire::ConnectFailed{dial, {ErrorCode::Unreachable, "refused"}});
    const Instant failed = now.instant;
    ASSERT_TRUE(announcer->next_deadline());
    now.instant = *announcer->next_deadline();
    pauses.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(now.instant - failed).count());
    for (const wire::Effect& effect : announcer->advance(now)) {
      if (const auto* connect = std::get_if<wire::Connect>(&effect)) dial = connect->dial;
    }
  }
  EXPECT_EQ(pauses, (std::vector<std::int64_t>{100, 200, 400, 800, 1600, 2000, 2000, 2000}));
}

}  // namespace

}  // namespace tomogrid::registry
