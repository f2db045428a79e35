#include "certs/signed.h"

#include "federation.h"

namespace tomogrid::certs {
namespace {

ByteString body() {
  return ByteString{1, 2, 3, 4, 5, 6, 7};
}

TEST(Signed, TheSignerVerifiesAndNobodyElse) {
  const Signed record = sign(*seeded(1), kinds::advert, body());
  EXPECT_TRUE(verify(record, kinds::advert, seeded(1)->signing_key()));
  expect_error(verify(record, kinds::advert, seeded(2)->signing_key()), ErrorCode::Unverified, "altered");
}

TEST(Signed, SignatureCoversPrefixKindAndBody) {
  // By openssl, over "tomogrid/advert/1" and the body, with the key of RFC 8032 section 7.1 test 1.
  SecretBytes stored(SecretKeys::kStoredSize);
  const auto seed = from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").value();
  std::copy(seed.begin(), seed.end(), stored.writable().begin());
  const auto keys = good(SecretKeys::from_stored(stored));
  EXPECT_EQ(to_hex(sign(*keys, kinds::advert, body()).signature),
            "112c11f040a6ad215cc68decbea1f8701ea3a485b1614411f5582c5141ef711d"
            "c254dd36b6add4f3dda7b4a52b9a89b7d297048a92dbb88ca36bf45aef477a0b");
}

TEST(Signed, AKindNeverVerifiesAsAnother) {
  const auto keys = seeded(1);
  const Signed record = sign(*keys, kinds::ticket, body());
  expect_error(verify(record, kinds::receipt, keys->signing_key()), ErrorCode::Unverified, "not ticket");
  Signed renamed = record;
  renamed.kind = kinds::receipt;
  expect_error(verify(renamed, kinds::receipt, keys->signing_key()), ErrorCode::Unverified, "signature");
}

TEST(Signed, EveryFlippedBitIsFound) {
  const auto keys = seeded(1);
  const Signed record = sign(*keys, kinds::receipt, body());
  for (std::size_t bit = 0; bit < record.body.size() * 8; ++bit) {
    Signed changed = record;
    changed.body[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(verify(changed, kinds::receipt, keys->signing_key())) << bit;
  }
  for (std::size_t bit = 0; bit < record.signature.size() * 8; ++bit) {
    Signed changed = record;
    changed.signature[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_FALSE(verify(changed, kinds::receipt, keys->signing_key())) << bit;
  }
  Signed longer = record;
  longer.body.push_back(0);
  EXPECT_FALSE(verify(longer, kinds::receipt, keys->signing_key()));
}

TEST(Signed, ASmallOrderKeySignsNothing) {
  // The identity point would verify signatures that nobody made; libsodium refuses it.
  SigningPublicKey weak;
  weak.bytes[0] = 1;
  Signed forged{std::string(kinds::certificate), body(), {}};
  forged.signature[0] = 1;
  EXPECT_FALSE(verify(forged, kinds::certificate, weak));
}

TEST(Signed, EncodingComesBackAndIsBounded) {
  const Signed record = sign(*seeded(1), kinds::decision, body());
  EXPECT_EQ(good(decode_signed(encode(record))), record);
  expect_error(decode_signed(encode(record), Bytes(64)), ErrorCode::BadInput, "more than 64");
  Signed unknown = record;
  unknown.kind = "gossip";
  expect_error(decode_signed(encode(unknown)), ErrorCode::BadInput, "unknown");
}

}  // namespace
}  // namespace tomogrid::certs
