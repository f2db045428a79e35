#include "certs/keys.h"

#include <sodium.h>

#include <cstring>

#include "certs/sodium_ready.h"

namespace tomogrid::certs {

namespace {

constexpr std::string_view kBase32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::string_view kZ85 =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

constexpr std::size_t kSeed = crypto_sign_SEEDBYTES;
constexpr std::size_t kSigning = crypto_sign_SECRETKEYBYTES;
constexpr std::size_t kTransport = crypto_box_SECRETKEYBYTES;
static_assert(kSeed + kTransport == SecretKeys::kStoredSize);
static_assert(sizeof(Signature) == crypto_sign_BYTES);

int base32_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a';
  if (c >= '2' && c <= '7') return c - '2' + 26;
  return -1;
}

}  // namespace

std::string base32(ByteView bytes) {
  std::string text;
  text.reserve((bytes.size() * 8 + 4) / 5);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const std::uint8_t byte : bytes) {
    pending = (pending << 8 | byte) & 0xFFF;  // at most 4 bits were left
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text.push_back(kBase32[pending >> bits & 31]);
    }
  }
  if (bits > 0) text.push_back(kBase32[pending << (5 - bits) & 31]);
  return text;
}

std::optional<ByteString> parse_base32(std::string_view text) {
  ByteString bytes;
  bytes.reserve(text.size() * 5 / 8);
  std::uint32_t pending = 0;
  unsigned bits = 0;
  for (const char c : text) {
    const int digit = base32_digit(c);
    if (digit < 0) return std::nullopt;
    pending = (pending << 5 | static_cast<std::uint32_t>(digit)) & 0xFFF;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<std::uint8_t>(pending >> bits));
  }
  // A last character that adds no byte, or bits that nobody encoded: two texts would mean the same bytes.
  if (bits >= 5 || (pending & ((1U << bits) - 1)) != 0) return std::nullopt;
  return bytes;
}

std::string to_string(const MemberId& id) {
  return base32(id.bytes);
}

std::string short_text(const MemberId& id) {
  return to_string(id).substr(0, 8);
}

std::optional<MemberId> parse_member_id(std::string_view text) {
  MemberId id;
  const auto bytes = parse_base32(text);
  if (!bytes || bytes->size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
  return id;
}

std::string z85(const TransportPublicKey& key) {
  std::string text;
  for (std::size_t i = 0; i < key.bytes.size(); i += 4) {
    std::uint32_t value = 0;
    for (std::size_t j = 0; j < 4; ++j) value = value << 8 | key.bytes[i + j];
    char digits[5];
    for (int d = 4; d >= 0; --d) {
      digits[d] = kZ85[value % 85];
      value /= 85;
    }
    text.append(digits, 5);
  }
  return text;
}

std::optional<TransportPublicKey> parse_z85(std::string_view text) {
  TransportPublicKey key;
  if (text.size() != key.bytes.size() / 4 * 5) return std::nullopt;
  for (std::size_t group = 0; group < text.size() / 5; ++group) {
    std::uint64_t value = 0;
    for (const char c : text.substr(group * 5, 5)) {
      const std::size_t digit = kZ85.find(c);
      if (digit == std::string_view::npos) return std::nullopt;
      value = value * 85 + digit;
    }
    if (value > 0xFFFFFFFFU) return std::nullopt;
    for (std::size_t j = 0; j < 4; ++j) {
      key.bytes[group * 4 + j] = static_cast<std::uint8_t>(value >> (24 - 8 * j));
    }
  }
  return key;
}

MemberId member_id(const SigningPublicKey& key) {
  require_sodium();
  MemberId id;
  crypto_generichash(id.bytes.data(), id.bytes.size(), key.bytes.data(), key.bytes.size(), nullptr, 0);
  return id;
}

SecretKeys::SecretKeys(ByteView stored) : memory_(kSigning + kTransport) {
  TOMOGRID_ASSERT(stored.size() == kStoredSize);
  std::uint8_t* const signing = memory_.writable().data();
  crypto_sign_seed_keypair(signing_key_.bytes.data(), signing, stored.data());
  std::memcpy(signing + kSigning, stored.data() + kSeed, kTransport);
  crypto_scalarmult_base(transport_key_.bytes.data(), signing + kSigning);
  memory_.make_read_only();
}

SecretKeys::~SecretKeys() = default;  // memory_ wipes itself

std::unique_ptr<SecretKeys> SecretKeys::generate() {
  SecretBytes stored(kStoredSize);
  randombytes_buf(stored.writable().data(), stored.size());
  return std::unique_ptr<SecretKeys>(new SecretKeys(stored.view()));
}

std::unique_ptr<SecretKeys> SecretKeys::from_seed(const std::array<std::uint8_t, 32>& seed) {
  SecretBytes stored(kStoredSize);
  randombytes_buf_deterministic(stored.writable().data(), stored.size(), seed.data());
  return std::unique_ptr<SecretKeys>(new SecretKeys(stored.view()));
}

Result<std::unique_ptr<SecretKeys>> SecretKeys::from_stored(const SecretBytes& stored) {
  if (stored.size() != kStoredSize) {
    return Error{ErrorCode::BadInput,
                 "secret keys take " + std::to_string(kStoredSize) + " bytes, not " + std::to_string(stored.size())};
  }
  return std::unique_ptr<SecretKeys>(new SecretKeys(stored.view()));
}

std::unique_ptr<SecretBytes> SecretKeys::stored() const {
  auto stored = std::make_unique<SecretBytes>(kStoredSize);
  std::uint8_t* const out = stored->writable().data();
  crypto_sign_ed25519_sk_to_seed(out, memory_.view().data());
  std::memcpy(out + kSeed, memory_.view().data() + kSigning, kTransport);
  return stored;
}

ByteView SecretKeys::transport_secret() const {
  return memory_.view().subspan(kSigning, kTransport);
}

}  // namespace tomogrid::certs
