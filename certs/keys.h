// Who a member is: public keys, the id made from one of them, and the secret keys that never leave the machine.
//
// Two key pairs per member: Ed25519 signs records (certificates, adverts, tickets, receipts), Curve25519 is the CURVE
// key of its ZeroMQ connections. Public keys and ids are values; secret keys are a resource in locked memory.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/text.h"
#include "certs/secret.h"

namespace tomogrid::certs {

// BLAKE2b-256 of the signing public key, so it cannot be claimed without holding that key.
struct MemberId {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const MemberId&) const = default;
};
// 52 characters of base32 (RFC 4648, upper case, no padding).
std::string to_string(const MemberId& id);
// The first 8 of them: for log lines and tables, never for decisions.
std::string short_text(const MemberId& id);
// The whole 52 characters in either case; nullopt otherwise.
std::optional<MemberId> parse_member_id(std::string_view text);

// Curve25519: whom a ZeroMQ connection reaches.
struct TransportPublicKey {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const TransportPublicKey&) const = default;
};
// The 40 characters that ZeroMQ and mDNS records use (ZeroMQ RFC 32).
std::string z85(const TransportPublicKey& key);
std::optional<TransportPublicKey> parse_z85(std::string_view text);

// Ed25519 (RFC 8032).
struct SigningPublicKey {
  std::array<std::uint8_t, 32> bytes{};
  auto operator<=>(const SigningPublicKey&) const = default;
};
MemberId member_id(const SigningPublicKey& key);

using Signature = std::array<std::uint8_t, 64>;

// Both secret keys of one member. Neither copied nor moved, in locked memory that is left out of core dumps and wiped
// at the end; there is no way to print it. Immutable, so any thread may sign.
class SecretKeys final {
 public:
  // Size of the stored form: Ed25519 seed, then Curve25519 secret key.
  static constexpr std::size_t kStoredSize = 64;

  static std::unique_ptr<SecretKeys> generate();
  // The same keys for the same seed: for simulations and test vectors only.
  static std::unique_ptr<SecretKeys> from_seed(const std::array<std::uint8_t, 32>& seed);
  // BadInput unless kStoredSize bytes.
  static Result<std::unique_ptr<SecretKeys>> from_stored(const SecretBytes& stored);
  std::unique_ptr<SecretBytes> stored() const;

  ~SecretKeys();
  SecretKeys(const SecretKeys&) = delete;
  SecretKeys& operator=(const SecretKeys&) = delete;

  const SigningPublicKey& signing_key() const { return signing_key_; }
  const TransportPublicKey& transport_key() const { return transport_key_; }
  MemberId member() const { return member_id(signing_key_); }
  // 32 bytes for ZMQ_CURVE_SECRETKEY and nothing else; valid as long as this object. ZeroMQ keeps a copy.
  ByteView transport_secret() const;
  // Over "tomogrid/" kind "/1" || body (signed.h). Requires is_kind(kind).
  Signature sign(std::string_view kind, ByteView body) const;

 private:
  explicit SecretKeys(ByteView stored);
  SecretBytes memory_;  // Ed25519 secret key (64), Curve25519 secret key (32)
  SigningPublicKey signing_key_;
  TransportPublicKey transport_key_;
};

// Base32 as in RFC 4648 without padding, upper case; decoding takes either case and refuses bits that encode nothing.
std::string base32(ByteView bytes);
std::optional<ByteString> parse_base32(std::string_view text);

}  // namespace tomogrid::certs
