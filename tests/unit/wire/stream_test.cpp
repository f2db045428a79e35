// Both ends of streams without sockets: credit, order, duplicates, cuts at many points, and a peer that breaks the rules.
#include "wire/stream.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "certs/content_hash.h"

namespace tomogrid::wire {
namespace {

constexpr std::uint64_t kKiB = 1024, kMiB = 1024 * kKiB;
constexpr PeerId kPeer = 5;

StreamKey key(const std::string& name = "scan") {
  StreamKey key;
  key.name = name;
  return key;
}

std::vector<std::uint8_t> noise(std::size_t size, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

template <class Kind>
std::vector<Kind> only(const StreamEffects& effects) {
  std::vector<Kind> found;
  for (const StreamEffect& effect : effects) {
    if (const auto* kind = std::get_if<Kind>(&effect)) found.push_back(*kind);
  }
  return found;
}
template <class Kind>
std::vector<Kind> said(const StreamEffects& effects) {
  std::vector<Kind> found;
  for (const SayStream& say : only<SayStream>(effects)) {
    if (const auto* kind = std::get_if<Kind>(&say.message)) found.push_back(*kind);
  }
  return found;
}
template <class Kind>
std::vector<Kind> told(const StreamEffects& effects) {
  std::vector<Kind> found;
  for (const TellMachine& tell : only<TellMachine>(effects)) {
    if (const auto* kind = std::get_if<Kind>(&tell.event)) found.push_back(*kind);
  }
  return found;
}

// What outlives a session at the receiving end.
struct Disk {
  std::vector<std::uint8_t> bytes;
  IntervalSet stored;
  bool complete = false;
};

// One session between a sender and a receiver, with a random network in between: chunks are reordered and written twice
// or in overlapping pieces, writes and hashes finish in any order, and after a number of steps the session is cut.
class Network {
 public:
  Network(const std::vector<std::uint8_t>& content, Disk& disk, Windows windows, std::uint64_t seed, std::vector<Range> order = {})
      : content_(content), disk_(disk), windows_(windows), random_(seed), sender_(kPeer), receiver_(kPeer, windows) {
    StreamEffects effects;
    number_ = sender_.offer(key(), content.size(), order, effects);
    perform(std::move(effects), true);
  }
  // False: cut before the end.
  bool run(std::uint64_t steps) {
    for (std::uint64_t step = 0; step < steps && !failed; ++step) {
      if (sent && disk_.complete) return true;
      if (!one_step()) ++idle_;
      EXPECT_LT(idle_, 10'000U) << "nobody can go on";
      if (idle_ >= 10'000) return false;
    }
    return sent && disk_.complete;
  }
  std::uint64_t chunks = 0, resent = 0;
  bool sent = false, failed = false;
  std::uint64_t most_unsettled = 0;

 private:
  struct Job {
    enum Kind { Store, Hash } kind;
    std::uint64_t begin = 0, end = 0;
  };
  bool one_step() {
    switch (random_() % 6) {
      case 0: return deliver(to_receiver_, false);
      case 1: return deliver(to_sender_, true);
      case 2: return send_chunk();
      case 3: return arrive();
      case 4: return work();
      default: {
        if (!root_told_ && random_() % 3 == 0) {
          root_told_ = true;
          perform(sender_.root_known(number_, certs::content_hash(content_)), true);
          return true;
        }
        return false;
      }
    }
  }
  bool deliver(std::deque<Message>& queue, bool at_sender) {
    if (queue.empty()) return false;
    const Message message = std::move(queue.front());
    queue.pop_front();
    idle_ = 0;
    if (at_sender) {
      perform(sender_.handle(message), true);
    } else if (const auto* offer = std::get_if<StreamOffer>(&message)) {
      EXPECT_TRUE(receiver_.offered(*offer));
      perform(receiver_.accept(offer->number, offer->key, offer->length, disk_.stored.ranges()), false);
    } else {
      perform(receiver_.handle(message), false);
    }
    return true;
  }
  bool send_chunk() {
    const std::uint64_t size = kAckBlock << random_() % 4;
    StreamEffects effects;
    const auto chunk = sender_.next(size, effects);
    perform(std::move(effects), true);
    if (!chunk) return false;
    idle_ = 0;
    ++chunks;
    EXPECT_LE(chunk->length, size);
    EXPECT_LE(chunk->offset % size + chunk->length, size) << "crosses a multiple of the chunk size";
    in_flight_.push_back({chunk->number, chunk->offset, chunk->length});
    return true;
  }
  bool arrive() {
    if (in_flight_.empty()) return false;
    idle_ = 0;
    const std::size_t pick = random_() % in_flight_.size();
    const ChunkHeader chunk = in_flight_[pick];
    in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(pick));
    auto arrived = receiver_.arrived(chunk, chunk.length);
    most_unsettled = std::max(most_unsettled, receiver_.unsettled());
    perform(std::move(arrived.effects), false);
    for (const auto& [begin, end] : arrived.store) jobs_.push_back({Job::Store, begin, end});
    return true;
  }
  bool work() {
    if (jobs_.empty()) return false;
    idle_ = 0;
    const std::size_t pick = random_() % jobs_.size();
    const Job job = jobs_[pick];
    jobs_.erase(jobs_.begin() + static_cast<std::ptrdiff_t>(pick));
    if (job.kind == Job::Store) {
      std::copy(content_.begin() + static_cast<std::ptrdiff_t>(job.begin), content_.begin() + static_cast<std::ptrdiff_t>(job.end),
                disk_.bytes.begin() + static_cast<std::ptrdiff_t>(job.begin));
      EXPECT_EQ(disk_.stored.add(job.begin, job.end), job.end - job.begin) << "a byte was written twice";
      perform(receiver_.stored(number_, job.begin, job.end - job.begin, std::nullopt), false);
    } else {
      const std::uint64_t first = job.begin * certs::kLeafSize;
      const std::uint64_t size = std::min<std::uint64_t>(certs::kLeafSize, disk_.bytes.size() - first);
      EXPECT_TRUE(disk_.stored.contains(first, first + size));
      perform(receiver_.leaf_hashed(number_, job.begin, certs::hash_leaf(ByteView(disk_.bytes).subspan(first, size))), false);
    }
    return true;
  }
  void perform(StreamEffects effects, bool at_sender) {
    for (StreamEffect& effect : effects) {
      if (auto* say = std::get_if<SayStream>(&effect)) {
        (at_sender ? to_receiver_ : to_sender_).push_back(std::move(say->message));
      } else if (const auto* hash = std::get_if<HashLeaf>(&effect)) {
        jobs_.push_back({Job::Hash, hash->leaf, 0});
      } else if (std::holds_alternative<CompleteSink>(effect)) {
        disk_.complete = true;
        perform(receiver_.completed(number_), false);
      } else if (const auto* tell = std::get_if<TellMachine>(&effect)) {
        if (std::holds_alternative<StreamSent>(tell->event)) sent = true;
        if (std::holds_alternative<StreamBroken>(tell->event)) failed = true;
      } else if (const auto* drop = std::get_if<DropPeer>(&effect)) {
        ADD_FAILURE() << drop->reason;
        failed = true;
      }
    }
  }

  const std::vector<std::uint8_t>& content_;
  Disk& disk_;
  Windows windows_;
  std::mt19937_64 random_;
  StreamSender sender_;
  StreamReceiver receiver_;
  std::uint32_t number_ = 0;
  std::deque<Message> to_sender_, to_receiver_;
  std::vector<ChunkHeader> in_flight_;
  std::vector<Job> jobs_;
  bool root_told_ = false;
  std::uint64_t idle_ = 0;
};

TEST(Streams, ArriveWholeInAnyOrder) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto content = noise(random() % (4 * kMiB), seed);
    Disk disk;
    disk.bytes.resize(content.size());
    Windows windows;
    windows.stream = (random() % 16 + 1) * 64 * kKiB;
    Network network(content, disk, windows, seed);
    ASSERT_TRUE(network.run(2'000'000));
    EXPECT_TRUE(disk.bytes == content);
    EXPECT_LE(network.most_unsettled, windows.stream) << "more in memory than was granted";
  }
}

TEST(Streams, ResumeAfterCutsAtAHundredPoints) {
  const auto content = noise(3 * kMiB + 12'345, 3);
  std::uint64_t chunks_whole = 0;
  {
    Disk disk;
    disk.bytes.resize(content.size());
    Network whole(content, disk, {}, 1);
    ASSERT_TRUE(whole.run(2'000'000));
    chunks_whole = whole.chunks;
  }
  for (std::uint64_t cut = 1; cut <= 100; ++cut) {
    SCOPED_TRACE("cut " + std::to_string(cut));
    Disk disk;
    disk.bytes.resize(content.size());
    std::uint64_t chunks = 0;
    bool done = false;
    // Cut again and again, each time a little later, until it is through.
    for (std::uint64_t session = 0; session < 200 && !done; ++session) {
      Network network(content, disk, {}, cut * 1000 + session);
      done = network.run(session < 3 ? cut * 12 : 2'000'000);
      chunks += network.chunks;
      ASSERT_FALSE(network.failed);
    }
    ASSERT_TRUE(done);
    EXPECT_TRUE(disk.bytes == content);
    EXPECT_LT(chunks, 4 * chunks_whole);
  }
}

TEST(Streams, HonourAnOrderOfTheirOwnAndStillCoverEverything) {
  const auto content = noise(2 * kMiB + 5, 8);
  const std::vector<Range> order{{kMiB, kMiB + 100'000}, {0, 50'000}, {kMiB + 50'000, 3 * kMiB}, {7, 9}};
  StreamSender sender(kPeer);
  StreamEffects effects;
  const std::uint32_t number = sender.offer(key(), content.size(), order, effects);
  (void)sender.handle(StreamCredit{number, 0, {}, 100 * kMiB});
  IntervalSet sent;
  std::vector<std::uint64_t> firsts;
  while (const auto chunk = sender.next(kMiB, effects)) {
    EXPECT_EQ(sent.add(chunk->offset, chunk->offset + chunk->length), chunk->length) << "sent twice";
    firsts.push_back(chunk->offset);
  }
  EXPECT_EQ(sent.ranges(), (std::vector<Range>{{0, content.size()}}));
  EXPECT_EQ(firsts[0], kMiB);
  EXPECT_EQ(firsts[1], 0U);
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    Disk disk;
    disk.bytes.resize(content.size());
    Network network(content, disk, {}, seed, order);
    ASSERT_TRUE(network.run(2'000'000));
    EXPECT_TRUE(disk.bytes == content);
  }
}

TEST(Streams, EmptyOneIsCompleteAtOnce) {
  const std::vector<std::uint8_t> nothing;
  Disk disk;
  Network network(nothing, disk, {}, 1);
  EXPECT_TRUE(network.run(100'000));
  EXPECT_EQ(network.chunks, 0U);
}

// ---- The receiver and a peer that breaks the rules -----------------------------------------------------------------------------

class ReceiverTest : public ::testing::Test {
 protected:
  StreamEffects accept(std::uint64_t length, std::vector<Range> stored = {}) {
    EXPECT_TRUE(receiver.offered({key(), 1, length}));
    return receiver.accept(1, key(), length, stored);
  }
  void expect_drop(const StreamEffects& effects, const std::string& words) {
    const auto drops = only<DropPeer>(effects);
    ASSERT_EQ(drops.size(), 1U);
    EXPECT_NE(drops[0].reason.find(words), std::string::npos) << drops[0].reason;
  }
  StreamReceiver receiver{kPeer, {kMiB, 4 * kMiB}};
};

TEST_F(ReceiverTest, TellsWhatItHasFirst) {
  const auto credits = said<StreamCredit>(accept(10 * kMiB, {{0, 100'000}, {160 * kKiB, 200 * kKiB}}));
  ASSERT_EQ(credits.size(), 1U);
  EXPECT_EQ(credits[0].prefix, 100'000U);
  EXPECT_EQ(credits[0].credit, kMiB);
  // Blocks from 96 KiB on; 160 to 192 KiB are whole, the rest of the last is not.
  EXPECT_EQ(credits[0].bitmap, (ByteString{0b00110000}));
}

TEST_F(ReceiverTest, DropsWhoSendsBeyondCredit) {
  (void)accept(10 * kMiB);
  auto first = receiver.arrived({1, 0, static_cast<std::uint32_t>(kMiB)}, kMiB);
  EXPECT_TRUE(only<DropPeer>(first.effects).empty());
  expect_drop(receiver.arrived({1, kMiB, 1}, 1).effects, "more was sent than there was credit for");
}

TEST_F(ReceiverTest, DropsChunksBeyondTheEndOrOfNoStreamOrOfAnotherLength) {
  (void)accept(100'000);
  expect_drop(receiver.arrived({1, 99'999, 2}, 2).effects, "beyond the end");
  expect_drop(receiver.arrived({1, UINT64_MAX, 2}, 2).effects, "beyond the end");
  expect_drop(receiver.arrived({2, 0, 10}, 10).effects, "never offered");
  expect_drop(receiver.arrived({1, 0, 10}, 9).effects, "says it has 10");
}

TEST_F(ReceiverTest, DropsAStreamCutIntoAbsurdlyManyPieces) {
  StreamReceiver patient(kPeer, {64 * kMiB, 64 * kMiB});
  ASSERT_TRUE(patient.offered({key(), 1, kMiB}));
  (void)patient.accept(1, key(), kMiB, {});
  for (std::uint64_t offset = 0; offset < kMiB; offset += 2) {
    const auto arrived = patient.arrived({1, offset, 1}, 1);
    if (only<DropPeer>(arrived.effects).empty()) continue;
    EXPECT_EQ(offset / 2, StreamReceiver::kPiecesMax);
    return;
  }
  FAIL() << "never dropped";
}

TEST_F(ReceiverTest, NumbersOnlyGrow) {
  (void)accept(10);
  EXPECT_FALSE(receiver.offered({key("other"), 1, 10}));
}

TEST_F(ReceiverTest, DuplicatesAreNotWrittenAgain) {
  (void)accept(kMiB);
  auto first = receiver.arrived({1, 0, 1000}, 1000);
  EXPECT_EQ(first.store, (std::vector<Range>{{0, 1000}}));
  EXPECT_TRUE(receiver.arrived({1, 100, 500}, 500).store.empty()) << "on its way is as good as stored";
  EXPECT_EQ(receiver.arrived({1, 900, 200}, 200).store, (std::vector<Range>{{1000, 1100}}));
}

TEST_F(ReceiverTest, AnotherHashForgetsWhatWasStoredAndSaysWhy) {
  const auto content = noise(1000, 1);
  (void)accept(content.size());
  (void)receiver.arrived({1, 0, 1000}, 1000);
  (void)receiver.handle(StreamEnd{1, content.size(), job::Digest{1, 2, 3}});
  const auto stored = receiver.stored(1, 0, 1000, std::nullopt);
  ASSERT_EQ(only<HashLeaf>(stored).size(), 1U);
  const auto effects = receiver.leaf_hashed(1, 0, certs::hash_leaf(content));
  EXPECT_EQ(only<ForgetSink>(effects).size(), 1U);
  ASSERT_EQ(said<StreamAbort>(effects).size(), 1U);
  EXPECT_EQ(said<StreamAbort>(effects)[0].code, "hash");
  ASSERT_EQ(told<StreamBroken>(effects).size(), 1U);
  EXPECT_TRUE(only<CompleteSink>(effects).empty());
}

TEST_F(ReceiverTest, AnotherLengthIsRefused) {
  (void)accept(1000);
  const auto effects = receiver.handle(StreamEnd{1, 999, {}});
  ASSERT_EQ(said<StreamAbort>(effects).size(), 1U);
  EXPECT_EQ(said<StreamAbort>(effects)[0].code, "length");
  EXPECT_FALSE(receiver.live(1));
}

TEST_F(ReceiverTest, WhatArrivesAfterAnEndIsLetGoAndStillCounted) {
  (void)accept(10 * kMiB);
  (void)receiver.arrived({1, 0, static_cast<std::uint32_t>(kMiB)}, kMiB);
  (void)receiver.stop(1, "cancelled", "by the user", false);
  (void)receiver.let_go(1, kMiB);
  EXPECT_EQ(receiver.unsettled(), 0U);
  ASSERT_TRUE(receiver.offered({key(), 2, 10 * kMiB}));
  const auto credits = said<StreamCredit>(receiver.accept(2, key(), 10 * kMiB, {}));
  EXPECT_EQ(credits.at(0).credit, 2 * kMiB);
}

TEST_F(ReceiverTest, BreaksEveryStreamWithTheSession) {
  (void)accept(1000);
  ASSERT_TRUE(receiver.offered({key("mu"), 2, 50}));
  (void)receiver.accept(2, key("mu"), 50, {});
  const auto effects = receiver.break_all("session", "connection lost");
  EXPECT_EQ(told<StreamBroken>(effects).size(), 2U);
  EXPECT_TRUE(said<StreamAbort>(effects).empty()) << "there is nobody to tell";
}

// ---- The sender -----------------------------------------------------------------------------------------------------------------

TEST(StreamSender, StreamsTakeTurns) {
  StreamSender sender(kPeer);
  StreamEffects effects;
  const auto a = sender.offer(key("a"), kMiB, {}, effects), b = sender.offer(key("b"), kMiB, {}, effects);
  (void)sender.handle(StreamCredit{a, 0, {}, 10 * kMiB});
  (void)sender.handle(StreamCredit{b, 0, {}, 10 * kMiB});
  std::vector<std::uint32_t> turns;
  for (int i = 0; i < 4; ++i) turns.push_back(sender.next(64 * kKiB, effects)->number);
  EXPECT_EQ(turns, (std::vector<std::uint32_t>{a, b, a, b}));
}

TEST(StreamSender, NeverTakesMoreThanItsCredit) {
  StreamSender sender(kPeer);
  StreamEffects effects;
  const auto number = sender.offer(key(), 10 * kMiB, {}, effects);
  EXPECT_FALSE(sender.next(64 * kKiB, effects)) << "no credit before the receiver has spoken";
  (void)sender.handle(StreamCredit{number, 0, {}, 200'000});
  std::uint64_t taken = 0;
  while (const auto chunk = sender.next(64 * kKiB, effects)) taken += chunk->length;
  EXPECT_LE(taken, 200'000U);
  EXPECT_GT(taken, 200'000U - 64 * kKiB);
}

TEST(StreamSender, ResumesBetweenWhatIsThere) {
  StreamSender sender(kPeer);
  StreamEffects effects;
  const auto number = sender.offer(key(), 10 * kAckBlock, {}, effects);
  (void)sender.handle(StreamCredit{number, 3 * kAckBlock + 5, {0b00110010}, kMiB});   // blocks 4, 7, 8
  IntervalSet sent;
  while (const auto chunk = sender.next(kAckBlock, effects)) sent.add(chunk->offset, chunk->offset + chunk->length);
  EXPECT_EQ(sent.ranges(), (std::vector<Range>{{3 * kAckBlock + 5, 4 * kAckBlock}, {5 * kAckBlock, 7 * kAckBlock}, {9 * kAckBlock, 10 * kAckBlock}}));
}

TEST(StreamSender, DoneBeforeItsEndIsALie) {
  StreamSender sender(kPeer);
  StreamEffects effects;
  const auto number = sender.offer(key(), 1000, {}, effects);
  EXPECT_EQ(only<DropPeer>(sender.handle(StreamDone{number})).size(), 1U);
}

TEST(StreamSender, OfferedAgainSupersedes) {
  StreamSender sender(kPeer);
  StreamEffects effects;
  const auto first = sender.offer(key(), 1000, {}, effects);
  effects.clear();
  (void)sender.offer(key(), 1000, {}, effects);
  EXPECT_EQ(said<StreamAbort>(effects).at(0).number, first);
  EXPECT_EQ(told<StreamBroken>(effects).at(0).code, "superseded");
  EXPECT_EQ(sender.count(), 1U);
}

TEST(ChunkSizer, GrowsWithTheRateAndStaysUnderAQuarterOfASecond) {
  ChunkSizer slow, fast;
  EXPECT_EQ(slow.size(), 64 * kKiB);
  for (int i = 0; i <= 20; ++i) {
    const Instant now{std::chrono::milliseconds(1000 + 100 * i)};
    slow.observe(now, static_cast<std::uint64_t>(i) * 25'000);          // 250 kB/s: 2 Mbit/s
    fast.observe(now, static_cast<std::uint64_t>(i) * 50'000'000);      // 500 MB/s
  }
  EXPECT_EQ(slow.size(), 32 * kKiB);
  EXPECT_EQ(fast.size(), kChunkLimit);
}

}  // namespace
}  // namespace tomogrid::wire
