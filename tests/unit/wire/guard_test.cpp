#include "wire/guard.h"

#include <gtest/gtest.h>

#include "wire/knocks.h"

namespace tomogrid::wire {
namespace {

using namespace std::chrono_literals;
constexpr Instant kStart{std::chrono::seconds(1000)};
constexpr std::uint64_t kMiB = 1024 * 1024;

std::function<std::optional<std::uint64_t>(int, const Endpoint&)> received(std::uint64_t bytes) {
  return [bytes](int, const Endpoint&) { return bytes; };
}

TEST(Guard, EndsWhoBringsNoHelloInTimeOnce) {
  Guard guard({});
  guard.accepted(kStart, 7, {"192.0.2.1", 1000});
  EXPECT_EQ(guard.next_deadline(), kStart + 5s);
  EXPECT_TRUE(guard.judge(kStart + 4999ms, received(10)).empty());
  const auto verdicts = guard.judge(kStart + 5s, received(10));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].descriptor, 7);
  EXPECT_EQ(verdicts[0].peer, (Endpoint{"192.0.2.1", 1000}));
  EXPECT_EQ(verdicts[0].reason, "no hello within 5.0 s");
  EXPECT_TRUE(guard.judge(kStart + 6s, received(10)).empty());
  EXPECT_FALSE(guard.next_deadline());
}

TEST(Guard, LeavesThoseWithHelloAlone) {
  Guard guard({});
  guard.accepted(kStart, 7, {});
  guard.admitted(7);
  EXPECT_FALSE(guard.next_deadline());
  EXPECT_TRUE(guard.judge(kStart + 1h, received(10)).empty());
}

TEST(Guard, EndsWhoSendsWithoutEverFinishingAMessage) {
  Guard guard({});
  guard.accepted(kStart, 7, {});
  guard.admitted(7);
  guard.delivered(7, 10 * kMiB);
  EXPECT_TRUE(guard.judge(kStart, received(14 * kMiB)).empty());
  const auto verdicts = guard.judge(kStart, received(14 * kMiB + 1));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].reason, "4.0 MiB received without a whole message");
  EXPECT_FALSE(verdicts[0].told);
}

TEST(Guard, DoesNotHoldHeartbeatsAgainstAQuietMember) {
  Guard guard({});
  guard.accepted(kStart, 7, {});
  guard.admitted(7);
  EXPECT_TRUE(guard.judge(kStart + 24h, received(24 * 3600 * 250)).empty());   // four small frames a second for a day
}

TEST(Guard, ACrowdCostsItsOldestStrangersNotItsNewest) {
  GuardLimits limits;
  limits.strangers_max = 3;
  Guard guard(limits);
  guard.accepted(kStart, 1, {});
  guard.admitted(1);
  for (int i = 2; i <= 5; ++i) guard.accepted(kStart + std::chrono::milliseconds(i), i, {});
  const auto verdicts = guard.judge(kStart + 10ms, received(0));
  ASSERT_EQ(verdicts.size(), 1U);
  EXPECT_EQ(verdicts[0].descriptor, 2);
  EXPECT_EQ(verdicts[0].reason, "too many connections without hello");
  guard.gone(2);
  guard.accepted(kStart + 20ms, 2, {});                 // the descriptor is used again
  EXPECT_EQ(guard.judge(kStart + 20ms, received(0)).at(0).descriptor, 3);
}

TEST(Guard, CountsStrangersRightHoweverTheyGo) {
  GuardLimits limits;
  limits.strangers_max = 2;
  Guard guard(limits);
  for (int round = 0; round < 100; ++round) {
    guard.accepted(kStart, 1, {});
    guard.accepted(kStart, 2, {});
    guard.admitted(1);
    guard.accepted(kStart, 2, {});                      // reused without gone() in between
    guard.condemn(2, kStart, "test");
    EXPECT_EQ(guard.judge(kStart, received(0)).size(), 1U);
    guard.gone(1);
    guard.gone(2);
  }
  guard.accepted(kStart, 1, {});
  guard.accepted(kStart, 2, {});
  EXPECT_TRUE(guard.judge(kStart, received(0)).empty());
}

TEST(Guard, CondemnedIsEndedWhenDueForTheEarlierReason) {
  Guard guard({});
  guard.accepted(kStart, 7, {});
  guard.admitted(7);
  guard.condemn(7, kStart + 1s, "revoked");
  guard.condemn(7, kStart + 2s, "later");
  EXPECT_EQ(guard.next_deadline(), kStart + 1s);
  EXPECT_TRUE(guard.judge(kStart + 999ms, received(0)).empty());
  EXPECT_EQ(guard.judge(kStart + 1s, received(0)).at(0).reason, "revoked");
}

TEST(Knocks, StrangersShareTheirAddressAndMembersDoNotSuffer) {
  Knocks knocks;
  certs::TransportPublicKey member, stranger;
  member.bytes[0] = 1;
  knocks.known(kStart, member);
  int through = 0;
  for (int i = 0; i < 10'000; ++i) {
    stranger.bytes[1] = static_cast<std::uint8_t>(i);
    stranger.bytes[2] = static_cast<std::uint8_t>(i >> 8);
    through += knocks.may_knock(kStart, "192.0.2.1", stranger) ? 1 : 0;
  }
  EXPECT_EQ(through, 400);
  EXPECT_TRUE(knocks.may_knock(kStart, "192.0.2.1", member));
  EXPECT_TRUE(knocks.may_knock(kStart, "192.0.2.2", stranger)) << "another address";
  EXPECT_TRUE(knocks.may_knock(kStart + 10ms, "192.0.2.1", stranger)) << "one a hundredth of a second";
  EXPECT_FALSE(knocks.may_knock(kStart + 10ms, "192.0.2.1", stranger));
}

TEST(Knocks, AMemberThatKnocksTooOftenIsHeldOff) {
  Knocks knocks;
  const certs::TransportPublicKey member;
  knocks.known(kStart, member);
  int through = 0;
  for (int i = 0; i < 1000; ++i) through += knocks.may_knock(kStart, "192.0.2.1", member) ? 1 : 0;
  EXPECT_EQ(through, 100);
}

}  // namespace
}  // namespace tomogrid::wire
