// Every message: there and back, cut, altered, bounded, and the same bytes as ever.
#include "wire/messages.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>

#include "base/file.h"
#include "unit/wire/samples.h"

namespace tomogrid::wire {
namespace {

using samples::all;

void expect_malformed(const Result<Message>& result, const std::string& words) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::BadInput);
  EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
}

TEST(Messages, SamplesCoverEveryKind) {
  std::set<std::size_t> kinds;
  std::set<std::string_view> names;
  for (const Message& message : all()) {
    kinds.insert(message.index());
    names.insert(name_of(message));
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Message>);
  EXPECT_EQ(names.size(), std::variant_size_v<Message>);
}

TEST(Messages, ComeBackAsTheyWere) {
  for (const Message& message : all()) {
    const ByteString frame = encode(message);
    EXPECT_TRUE(fits(message));
    const auto back = decode(frame);
    ASSERT_TRUE(back) << name_of(message) << ": " << back.error().message;
    EXPECT_TRUE(*back == message) << name_of(message);
  }
}

TEST(Messages, CutAnywhereAreRefused) {
  for (const Message& message : all()) {
    const ByteString frame = encode(message);
    for (std::size_t size = 0; size < frame.size(); ++size) {
      EXPECT_FALSE(decode(ByteView(frame).first(size)).has_value()) << name_of(message) << " cut to " << size;
    }
  }
}

TEST(Messages, TrailingBytesAreRefused) {
  for (const Message& message : all()) {
    ByteString frame = encode(message);
    for (int i = 0; i < 16; ++i) {
      frame.push_back(0);
      EXPECT_FALSE(decode(frame).has_value()) << name_of(message);
    }
  }
}

// A changed bit is refused or changes the value, and then these are the bytes of that value.
TEST(Messages, EveryChangedBitIsRefusedOrIsAnotherValue) {
  for (const Message& message : all()) {
    ByteString frame = encode(message);
    for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
      frame[bit / 8] = static_cast<std::uint8_t>(frame[bit / 8] ^ 1U << bit % 8);
      const auto back = decode(frame);
      if (back) {
        ASSERT_FALSE(*back == message) << name_of(message) << " bit " << bit;
        ASSERT_TRUE(encode(*back) == frame) << name_of(message) << " bit " << bit;
      }
      frame[bit / 8] = static_cast<std::uint8_t>(frame[bit / 8] ^ 1U << bit % 8);
    }
  }
}

TEST(Messages, FramesOverTheLimitAreRefusedUnread) {
  expect_malformed(decode(ByteString(kControlMessageLimit + 8)), "more than 65536");
  expect_malformed(decode(ByteString()), "cut short");
}

TEST(Messages, RefuseWhatIsOutOfBounds) {
  using samples::id;
  expect_malformed(decode(encode(Greet{std::vector<std::uint16_t>(kVersionsMax + 1, 1)})), "versions has 17 entries");
  expect_malformed(decode(encode(Greet{})), "versions is empty");
  expect_malformed(decode(encode(Fetch{id<job::JobId>(1), "../etc"})), "name is not a name");
  expect_malformed(decode(encode(Fetch{id<job::JobId>(1), std::string(64, 'a')})), "name has 64 bytes");
  expect_malformed(decode(encode(Bye{"two words", "x"})), "code holds a character");
  expect_malformed(decode(encode(LeaseGranted{1, 1, std::chrono::milliseconds(-1)})), "lease is not a span");
  expect_malformed(decode(encode(ChunkHeader{1, 0, 0})), "chunk has 0 bytes");
  expect_malformed(decode(encode(ChunkHeader{1, 0, kChunkLimit + 1})), "chunk has 1048577 bytes");
  expect_malformed(decode(encode(StreamOffer{{id<job::JobId>(1), "scan", 0}, 1, kStreamLimit + 1})), "over 1 TiB");
  expect_malformed(decode(encode(StreamCredit{1, 0, ByteString(kBitmapLimit + 1), 0})), "bitmap has 2049 bytes");
  Waiting waiting{id<job::RequestId>(1), 1, Seconds(std::numeric_limits<double>::quiet_NaN()), ""};
  expect_malformed(decode(encode(waiting)), "earliest is not a finite number");
  JobStatus status = samples::status();
  status.fraction = 1.5;
  expect_malformed(decode(encode(status)), "fraction is over 1");
  status = samples::status();
  status.receipt = samples::signed_ticket();
  expect_malformed(decode(encode(status)), "receipt is a signed ticket, not a signed receipt");
  Open open = samples::open();
  open.parameters["fwhm"] = std::numeric_limits<double>::infinity();
  expect_malformed(decode(encode(open)), "parameter is not a finite number");
  open = samples::open();
  open.service.version = 0;
  expect_malformed(decode(encode(open)), "service has no version");
}

TEST(Messages, SentencesAreCutAndCleanedWhereTheyAreWritten) {
  const auto back = decode(encode(Bye{"clock", std::string(kReasonLimit - 1, 'x') + "\xc3\xa4\x1b[31m"}));
  ASSERT_TRUE(back);
  EXPECT_EQ(std::get<Bye>(*back).reason, std::string(kReasonLimit - 1, 'x'));
  const auto clean = decode(encode(Bye{"clock", "red\x1b[31m and\nmore \xff"}));
  ASSERT_TRUE(clean);
  EXPECT_EQ(std::get<Bye>(*clean).reason, printable("red\x1b[31m and\nmore \xff"));
}

// The longest advert, ticket and decision that their decoders take, together in one frame at the door.
TEST(Messages, PlacedWithTwoHundredCandidatesFitsTheDoor) {
  Advert advert = samples::advert();
  advert.routes.assign(kRoutesMax, Route{std::string(kWordLimit, 'k'), std::string(kHostLimit, 'h'), 65535});
  advert.services.assign(kServicesMax, {std::string(63, 's'), 65535});
  advert.labels.assign(kLabelsMax, std::string(kWordLimit, 'l'));
  advert.recent_tickets.assign(kRecentTicketsMax, samples::id<job::TicketId>(1));
  advert.name = std::string(63, 'n');
  advert.software = std::string(kWordLimit, 'v');
  DecisionRecord decision = samples::decision();
  decision.candidates.assign(kCandidatesMax, samples::candidate(1, std::string(kWordLimit, 'r')));
  decision.place.excluded.assign(kExcludedMax, samples::id<certs::MemberId>(1));
  decision.place.needs.labels.assign(kLabelsMax, std::string(kWordLimit, 'l'));
  decision.place.service.name = std::string(63, 's');
  const ByteString advert_body = encode_body(advert), decision_body = encode_body(decision);
  EXPECT_LE(advert_body.size(), kAdvertLimit);
  ASSERT_TRUE(decode_advert(advert_body));
  ASSERT_TRUE(decode_decision(decision_body));
  Ticket ticket = samples::ticket();
  ticket.service.name = std::string(63, 's');
  const Message placed = Placed{samples::id<job::RequestId>(2), samples::signed_of("advert", advert_body),
                                samples::signed_of("ticket", encode_body(ticket)), samples::signed_of("decision", decision_body)};
  EXPECT_TRUE(fits(placed)) << advert_body.size() << " + " << decision_body.size();
  const auto back = decode(encode(placed));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_TRUE(*back == placed);
  RecordProperty("decision_bytes", static_cast<int>(decision_body.size()));
  RecordProperty("placed_bytes", static_cast<int>(encode(placed).size()));
}

TEST(Messages, FinishedStatusWithTheLongestReceiptFitsTheDoor) {
  Receipt receipt = samples::receipt();
  receipt.parameters = std::string(kParametersTextLimit, 'p');
  receipt.inputs.assign(kStreamsPerJobMax, samples::fact(std::string(63, 'i'), 1));
  receipt.outputs.assign(kStreamsPerJobMax, samples::fact(std::string(63, 'o'), 1));
  const ByteString body = encode_body(receipt);
  EXPECT_LE(body.size(), kReceiptLimit);
  ASSERT_TRUE(decode_receipt(body));
  JobStatus status = samples::status();
  status.outputs = receipt.outputs;
  status.receipt = samples::signed_of("receipt", body);
  ASSERT_TRUE(fits(status));
  EXPECT_TRUE(decode(encode(status)));
}

TEST(Messages, SnapshotsAreSplitSoThatEachFits) {
  std::vector<Listing> listings(1000, Listing{samples::signed_advert(), std::chrono::milliseconds(1)});
  const auto parts = split_snapshot(listings);
  std::size_t count = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    EXPECT_TRUE(fits(parts[i]));
    EXPECT_EQ(parts[i].last, i + 1 == parts.size());
    EXPECT_TRUE(decode(encode(parts[i])));
    count += parts[i].listings.size();
  }
  EXPECT_EQ(count, listings.size());
  EXPECT_GT(parts[0].listings.size(), 30U);
  const auto none = split_snapshot({});
  ASSERT_EQ(none.size(), 1U);
  EXPECT_TRUE(none[0].last);
}

TEST(Bodies, ComeBackAndRefuseEveryAlteration) {
  EXPECT_EQ(*decode_advert(encode_body(samples::advert())), samples::advert());
  EXPECT_EQ(*decode_ticket(encode_body(samples::ticket())), samples::ticket());
  EXPECT_EQ(*decode_decision(encode_body(samples::decision())), samples::decision());
  EXPECT_EQ(*decode_receipt(encode_body(samples::receipt())), samples::receipt());
  DecisionRecord nobody = samples::decision();
  nobody.winner.reset();
  EXPECT_EQ(*decode_decision(encode_body(nobody)), nobody);
  for (const auto& [name, body] : samples::bodies()) {
    ByteString altered = body;
    for (std::size_t bit = 0; bit < altered.size() * 8; ++bit) {
      altered[bit / 8] = static_cast<std::uint8_t>(altered[bit / 8] ^ 1U << bit % 8);
      const auto advert = decode_advert(altered);
      EXPECT_FALSE(advert && *advert == samples::advert());
      const auto decision = decode_decision(altered);
      EXPECT_FALSE(decision && *decision == samples::decision());
      const auto ticket = decode_ticket(altered);
      EXPECT_FALSE(ticket && *ticket == samples::ticket());
      const auto receipt = decode_receipt(altered);
      EXPECT_FALSE(receipt && *receipt == samples::receipt());
      altered[bit / 8] = static_cast<std::uint8_t>(altered[bit / 8] ^ 1U << bit % 8);
    }
    for (std::size_t size = 0; size < body.size(); ++size) {
      const ByteView cut = ByteView(body).first(size);
      EXPECT_FALSE(decode_advert(cut) || decode_ticket(cut) || decode_decision(cut) || decode_receipt(cut)) << name << size;
    }
  }
}

// What members of other versions send and keep. A difference here is an incompatibility: it takes a new protocol version (or,
// for a signed body, a new kind), and then new files, written with TOMOGRID_WRITE_VECTORS=1.
TEST(Vectors, EncodeToTheBytesOnFile) {
  std::vector<std::pair<std::string, ByteString>> vectors = samples::bodies();
  std::set<std::string> used;
  for (const Message& message : all()) {
    std::string name(name_of(message));
    for (int i = 2; !used.insert(name).second; ++i) name = std::string(name_of(message)) + "-" + std::to_string(i);
    vectors.emplace_back(name, encode(message));
  }
  const std::filesystem::path folder = std::filesystem::path(TOMOGRID_SOURCE) / "tests/unit/wire/vectors";
  const bool write = std::getenv("TOMOGRID_WRITE_VECTORS") != nullptr;
  for (const auto& [name, bytes] : vectors) {
    const auto file = folder / (name + ".hex");
    const std::string text = to_hex(bytes) + "\n";
    if (write) write_file(file, bytes_of(text)).or_throw();
    const auto kept = read_file(file, mebibytes(1));
    ASSERT_TRUE(kept) << kept.error().message;
    EXPECT_EQ(text_of(*kept), text) << name;
  }
}

}  // namespace
}  // namespace tomogrid::wire
