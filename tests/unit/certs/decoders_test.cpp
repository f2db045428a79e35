// Every decoder of this room: what it wrote comes back; no cut, flipped bit or added byte gives the value back or a
// crash.
#include <functional>

#include "base/file.h"
#include "certs/authority.h"
#include "certs/certificate.h"
#include "certs/random.h"
#include "certs/revocation.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

Certificate full_certificate() {
  Certificate c;
  c.federation = "north";
  c.serial.bytes.fill(7);
  c.issuer = seeded(1)->member();
  c.subject = "alice.hospital-a";
  c.transport_key = seeded(2)->transport_key();
  c.signing_key = seeded(2)->signing_key();
  c.roles = Role::Admin;
  c.groups = {"a", "b"};
  c.issued = kNow;
  c.not_before = kNow;
  c.not_after = kNow + 30 * kDay;
  c.issuing = IssuingLimits{.roles = {Role::Node, Role::Clinician},
                            .validity_max = kDay,
                            .name_suffix = ".x",
                            .groups = {"g"},
                            .quota = {},
                            .may_delegate = true};
  return c;
}

RevocationList some_revocations() {
  RevocationList list{.federation = "north", .number = 3, .issued = kNow, .stale_after = kNow + kDay};
  for (std::uint8_t i = 1; i < 4; ++i) {
    Revocation r{};
    r.serial.bytes[0] = i;
    r.member = seeded(i)->member();
    r.transport_key = seeded(i)->transport_key();
    r.revoked = kNow;
    r.not_after = kNow + kDay;
    list.entries.push_back(r);
  }
  return list;
}

template <class Value>
void hold_against_damage(const Value& value, const std::function<Result<Value>(ByteView)>& decode) {
  const ByteString bytes = encode(value);
  const auto back = decode(bytes);
  ASSERT_TRUE(back.has_value()) << back.error().message;
  EXPECT_EQ(*back, value);
  EXPECT_EQ(encode(*back), bytes);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(decode(ByteView(bytes).first(length)).has_value()) << "cut at " << length;
  }
  for (const std::size_t more : {1U, 7U, 8U, 64U}) {
    ByteString longer = bytes;
    longer.resize(bytes.size() + more);
    EXPECT_FALSE(decode(longer).has_value()) << more << " bytes more";
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    ByteString changed = bytes;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    const auto other = decode(changed);
    if (!other) continue;
    // Another value is possible (a signature would not hold for it); the same value from other bytes is not.
    EXPECT_NE(*other, value) << "bit " << bit;
    EXPECT_EQ(encode(*other), changed) << "bit " << bit;
  }
  // Not aligned, as it lies inside a message.
  ByteString shifted(1);
  shifted.insert(shifted.end(), bytes.begin(), bytes.end());
  EXPECT_EQ(decode(ByteView(shifted).subspan(1)).value(), value);
}

// The same values as files (tests/fuzz/seeds/certs_bodies_fuzz, after the byte that picks the decoder): a change of
// format, which would make every certificate of every federation invalid, is loud.
template <class Value>
void is_stored_as(const std::string& name, const Value& value) {
  const auto stored =
      read_file(std::string(TOMOGRID_SOURCE) + "/tests/fuzz/seeds/certs_bodies_fuzz/" + name, Bytes(1 << 16));
  ASSERT_TRUE(stored.has_value()) << stored.error().message;
  EXPECT_EQ(to_hex(ByteView(*stored).subspan(1)), to_hex(encode(value))) << name;
}

CertificateRequest some_request() {
  return {.federation = "north",
          .subject = "alice",
          .transport_key = seeded(2)->transport_key(),
          .signing_key = seeded(2)->signing_key(),
          .roles = Role::Clinician,
          .groups = {"a", "b"},
          .made = kNow};
}
Anchor some_anchor() {
  return {"north", seeded(1)->signing_key()};
}
Signed some_record() {
  return sign(*seeded(1), kinds::certificate, encode(full_certificate()));
}
CertificateChain some_chain() {
  return {{some_record(), some_record()}};
}

TEST(Decoders, FormatsAreWhatTheyWere) {
  is_stored_as("certificate", full_certificate());
  is_stored_as("request", some_request());
  is_stored_as("revocations", some_revocations());
  is_stored_as("anchor", some_anchor());
  is_stored_as("signed", some_record());
  is_stored_as("chain", some_chain());
}

TEST(Decoders, Certificate) {
  hold_against_damage<Certificate>(full_certificate(), decode_certificate);
}

TEST(Decoders, Request) {
  hold_against_damage<CertificateRequest>(some_request(), decode_request);
}

TEST(Decoders, Revocations) {
  hold_against_damage<RevocationList>(some_revocations(), decode_revocations);
}

TEST(Decoders, Anchor) {
  hold_against_damage<Anchor>(some_anchor(), decode_anchor);
}

TEST(Decoders, SignedRecord) {
  hold_against_damage<Signed>(some_record(), [](ByteView bytes) { return decode_signed(bytes); });
}

TEST(Decoders, Chain) {
  hold_against_damage<CertificateChain>(some_chain(), decode_chain);
}

TEST(Decoders, FlippedBitsOfARequestNeverVerify) {
  const Signed request = request_of(*seeded(2), "alice", Role::Clinician);
  for (std::size_t bit = 0; bit < request.body.size() * 8; ++bit) {
    Signed changed = request;
    changed.body[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(verify_request(changed).has_value()) << bit;
  }
}

TEST(Decoders, SizesStayWithinTheirLimits) {
  Certificate c = full_certificate();
  c.federation = c.subject = std::string(63, 'a');
  c.groups.clear();
  for (char i = 'a'; i < 'a' + static_cast<char>(kGroupsMax); ++i) c.groups.push_back(std::string(62, 'g') + i);
  c.issuing->groups = c.groups;
  EXPECT_LE(encode(c).size(), kCertificateLimit);
  EXPECT_TRUE(decode_certificate(encode(c)).has_value());
  const Signed link = sign(*seeded(1), kinds::certificate, encode(c));
  EXPECT_LE(encode(CertificateChain{{link, link, link}}).size(), kChainLimit);
  RevocationList list = some_revocations();
  list.entries.clear();
  for (std::size_t i = 0; i < kRevocationsMax; ++i) {
    Revocation r{};
    r.serial.bytes[0] = static_cast<std::uint8_t>(i >> 8);
    r.serial.bytes[1] = static_cast<std::uint8_t>(i);
    list.entries.push_back(r);
  }
  EXPECT_LE(encode(list).size(), kRevocationListLimit);
  EXPECT_TRUE(decode_revocations(encode(list)).has_value());
}

TEST(Decoders, WhatAPersonCouldNotMeanIsRefused) {
  const auto certificate = [](const std::function<void(Certificate&)>& change) {
    Certificate c = full_certificate();
    change(c);
    return decode_certificate(encode(c));
  };
  expect_error(certificate([](Certificate& c) { c.subject = "../alice"; }), ErrorCode::BadInput, "subject");
  expect_error(certificate([](Certificate& c) { c.subject = ""; }), ErrorCode::BadInput, "subject");
  expect_error(certificate([](Certificate& c) { c.subject = std::string(64, 'a'); }), ErrorCode::BadInput, "subject");
  expect_error(certificate([](Certificate& c) { c.federation = "North"; }), ErrorCode::BadInput, "federation");
  expect_error(certificate([](Certificate& c) { c.groups = {"b", "a"}; }), ErrorCode::BadInput, "sorted");
  expect_error(certificate([](Certificate& c) { c.groups = {"a", "a"}; }), ErrorCode::BadInput, "sorted");
  expect_error(certificate([](Certificate& c) { c.groups.assign(17, "a"); }), ErrorCode::BadInput, "groups");
  expect_error(certificate([](Certificate& c) { c.not_after = c.not_before; }), ErrorCode::BadInput, "ends before");
  expect_error(certificate([](Certificate& c) { c.not_after.unix_ms = INT64_MAX; }), ErrorCode::BadInput,
               "out of range");
  expect_error(certificate([](Certificate& c) { c.not_before.unix_ms = -1; }), ErrorCode::BadInput, "out of range");
  expect_error(certificate([](Certificate& c) { c.issuing->name_suffix = "/x"; }), ErrorCode::BadInput, "suffix");
  RevocationList list = some_revocations();
  std::swap(list.entries[0], list.entries[1]);
  expect_error(decode_revocations(encode(list)), ErrorCode::BadInput, "sorted");
  list.number = 0;
  expect_error(decode_revocations(encode(list)), ErrorCode::BadInput, "number");
}

TEST(Decoders, RandomBytesAreRefused) {
  for (int i = 0; i < 2000; ++i) {
    ByteString bytes(static_cast<std::size_t>(i % 64) * 8);
    fill_random(bytes);
    EXPECT_FALSE(decode_certificate(bytes).has_value());
    EXPECT_FALSE(decode_chain(bytes).has_value());
    EXPECT_FALSE(decode_revocations(bytes).has_value());
    EXPECT_FALSE(decode_request(bytes).has_value());
    EXPECT_FALSE(decode_signed(bytes).has_value());
  }
}

}  // namespace
}  // namespace tomogrid::certs
