#include "certs/keys.h"

#include <type_traits>

#include "certs/random.h"
#include "certs/signed.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

template <std::size_t N>
std::array<std::uint8_t, N> hex(std::string_view text) {
  const auto bytes = from_hex(text).value();
  std::array<std::uint8_t, N> array{};
  std::copy(bytes.begin(), bytes.end(), array.begin());
  return array;
}

TEST(Base32, Rfc4648VectorsWithoutPadding) {
  const std::pair<const char*, const char*> vectors[]{{"", ""},
                                                      {"f", "MY"},
                                                      {"fo", "MZXQ"},
                                                      {"foo", "MZXW6"},
                                                      {"foob", "MZXW6YQ"},
                                                      {"fooba", "MZXW6YTB"},
                                                      {"foobar", "MZXW6YTBOI"}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base32(bytes_of(plain)), text);
    EXPECT_EQ(text_of(parse_base32(text).value()), plain);
  }
  EXPECT_EQ(text_of(parse_base32("mzxw6ytboi").value()), "foobar");
}

TEST(Base32, OneTextPerValueAndNothingElse) {
  for (const char* wrong : {"M", "MZX", "MZXW6Y", "MZ", "MY======", "M0", "M1", "M8", "MY ", "MZXR"}) {
    EXPECT_FALSE(parse_base32(wrong).has_value()) << wrong;
  }
}

TEST(Base32, EveryLengthComesBack) {
  for (std::size_t length = 0; length < 70; ++length) {
    ByteString bytes(length);
    fill_random(bytes);
    EXPECT_EQ(parse_base32(base32(bytes)).value(), bytes);
  }
}

TEST(MemberId, IsBlake2bOfTheSigningKey) {
  // The public key of RFC 8032 section 7.1 test 1; the hash by Python's hashlib.
  const SigningPublicKey key{hex<32>("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")};
  const std::string text = "PBE2YMCJNAF6D33WF37A2NXAC4Z4GRSOWDD4KWATRLHSJOZGHPJQ";
  EXPECT_EQ(to_string(member_id(key)), text);
  EXPECT_EQ(short_text(member_id(key)), "PBE2YMCJ");
  EXPECT_EQ(parse_member_id(text), member_id(key));
  EXPECT_FALSE(parse_member_id(text.substr(1)).has_value());
  EXPECT_FALSE(parse_member_id(text + "A").has_value());
}

TEST(TransportKey, Z85IsZeroMqs) {
  // The client key of ZeroMQ's own tests.
  const TransportPublicKey key{hex<32>("BB88471D65E2659B30C55A5321CEBB5AAB2B70A398645C26DCA2B2FCB43FC518")};
  const std::string text = "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID";
  EXPECT_EQ(z85(key), text);
  EXPECT_EQ(parse_z85(text), key);
  EXPECT_FALSE(parse_z85(text.substr(1)).has_value());
  EXPECT_FALSE(parse_z85("\"" + text.substr(1)).has_value());
  EXPECT_FALSE(parse_z85("#####" + text.substr(5)).has_value());  // above 2^32
}

TEST(SecretKeys, DeriveTheKnownPublicKeys) {
  // Ed25519 seed of RFC 8032 section 7.1 test 1; Curve25519 secret of ZeroMQ's own tests.
  SecretBytes stored(SecretKeys::kStoredSize);
  const auto bytes = hex<64>(
      "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
      "7BB864B489AFA3671FBE69101F94B38972F24816DFB01B51656B3FEC8DFD0888");
  std::copy(bytes.begin(), bytes.end(), stored.writable().begin());
  const auto keys = good(SecretKeys::from_stored(stored));
  EXPECT_EQ(to_hex(keys->signing_key().bytes), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  EXPECT_EQ(to_hex(keys->transport_key().bytes), "bb88471d65e2659b30c55a5321cebb5aab2b70a398645c26dca2b2fcb43fc518");
  EXPECT_EQ(to_hex(keys->transport_secret()), "7bb864b489afa3671fbe69101f94b38972f24816dfb01b51656b3fec8dfd0888");
  EXPECT_EQ(to_hex(keys->stored()->view()), to_hex(bytes));
}

TEST(SecretKeys, CannotBeCopiedMovedOrPrinted) {
  static_assert(!std::is_copy_constructible_v<SecretKeys> && !std::is_move_constructible_v<SecretKeys>);
  static_assert(!std::is_copy_assignable_v<SecretKeys> && !std::is_move_assignable_v<SecretKeys>);
  static_assert(!std::is_copy_constructible_v<SecretBytes> && !std::is_move_constructible_v<SecretBytes>);
  static_assert(!std::is_copy_constructible_v<Identity> && !std::is_move_constructible_v<Identity>);
  EXPECT_NE(SecretKeys::generate()->member(), SecretKeys::generate()->member());
  EXPECT_EQ(seeded(1)->member(), seeded(1)->member());
  SecretBytes wrong(SecretKeys::kStoredSize - 1);
  expect_error(SecretKeys::from_stored(wrong), ErrorCode::BadInput, "64 bytes");
}

TEST(SecretBytesDeathTest, WritingToAReadOnlySecretEndsTheProcess) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  SecretBytes secret(32);
  secret.make_read_only();
  EXPECT_DEATH(secret.writable()[0] = 1, "");
}

TEST(Random, IdsDiffer) {
  EXPECT_NE(random_id<job::JobId>(), random_id<job::JobId>());
  EXPECT_NE(random_id<Serial>(), random_id<Serial>());
}

}  // namespace
}  // namespace tomogrid::certs
