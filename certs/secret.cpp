#include "certs/secret.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/file.h"
#include "certs/private_file.h"
#include "certs/sodium_ready.h"

namespace tomogrid::certs {

namespace {

// A secret file: magic, purpose, sealed (0 or 1); then the secret and a check sum of all before it (damage, not
// attack), or operations and memory (64 bit little endian), salt, nonce and the sealed secret. Everything before the
// sealed secret is bound into the seal.
constexpr std::string_view kMagic = "tomogrid/secret/1\n";
constexpr std::size_t kHead = kMagic.size() + 2;
constexpr std::size_t kSalt = crypto_pwhash_SALTBYTES;
constexpr std::size_t kNonce = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t kTag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
constexpr std::size_t kSealedHead = kHead + 8 + 8 + kSalt + kNonce;
constexpr std::size_t kCheckSum = 16;
constexpr std::size_t kSecretMax = 1024;

// A file from elsewhere must not make us spend hours or all memory.
constexpr std::uint64_t kOperationsMax = 32;
constexpr std::uint64_t kMemoryMax = std::uint64_t{2} << 30;

void put_u64(ByteString& out, std::uint64_t value) {
  for (unsigned i = 0; i < 8; ++i) out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

std::uint64_t get_u64(ByteView bytes) {
  std::uint64_t value = 0;
  for (unsigned i = 0; i < 8; ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
  return value;
}

std::unique_ptr<SecretBytes> key_from(const Passphrase& passphrase, SealCost cost, const std::uint8_t* salt) {
  auto key = std::make_unique<SecretBytes>(crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
  const int failed =
      crypto_pwhash(key->writable().data(), key->size(), reinterpret_cast<const char*>(passphrase.view().data()),
                    passphrase.size(), salt, cost.operations, cost.memory_bytes, crypto_pwhash_ALG_ARGON2ID13);
  if (failed != 0) {
    throw Failure(ErrorCode::Internal, "cannot derive a key from the passphrase: " + human_bytes(cost.memory_bytes) +
                                           " of memory are needed for it");
  }
  return key;
}

std::array<std::uint8_t, kCheckSum> check_sum(ByteView bytes) {
  std::array<std::uint8_t, kCheckSum> sum{};
  crypto_generichash(sum.data(), sum.size(), bytes.data(), bytes.size(), nullptr, 0);
  return sum;
}

ByteString plain_content(const SecretBytes& secret, SecretPurpose purpose) {
  ByteString content(kMagic.begin(), kMagic.end());
  content.push_back(static_cast<std::uint8_t>(purpose));
  content.push_back(0);
  content.reserve(kHead + secret.size() + kCheckSum);  // no copy of the secret is left behind by growing
  content.insert(content.end(), secret.view().begin(), secret.view().end());
  const auto sum = check_sum(content);
  content.insert(content.end(), sum.begin(), sum.end());
  return content;
}

ByteString sealed_content(const SecretBytes& secret, SecretPurpose purpose, const Passphrase& passphrase,
                          SealCost cost) {
  ByteString content(kMagic.begin(), kMagic.end());
  content.push_back(static_cast<std::uint8_t>(purpose));
  content.push_back(1);
  put_u64(content, cost.operations);
  put_u64(content, cost.memory_bytes);
  content.resize(kSealedHead + secret.size() + kTag);
  std::uint8_t* const salt = content.data() + kHead + 16;
  std::uint8_t* const nonce = salt + kSalt;
  randombytes_buf(salt, kSalt + kNonce);
  const auto key = key_from(passphrase, cost, salt);
  crypto_aead_xchacha20poly1305_ietf_encrypt(content.data() + kSealedHead, nullptr, secret.view().data(), secret.size(),
                                             content.data(), kSealedHead, nullptr, nonce, key->view().data());
  return content;
}

Error malformed(const std::filesystem::path& path, const std::string& why) {
  return {ErrorCode::BadInput, path.string() + " is not a secret key file: " + why};
}

Result<std::unique_ptr<SecretBytes>> open_sealed(const std::filesystem::path& path, ByteView content,
                                                 const Passphrase* passphrase) {
  if (content.size() <= kSealedHead + kTag) return malformed(path, "it is cut short");
  if (passphrase == nullptr) {
    return Error{ErrorCode::Usage, path.string() + " is sealed; give its passphrase with --passphrase-file FILE, " +
                                       "in TOMOGRID_PASSPHRASE, or on a terminal"};
  }
  const SealCost cost{get_u64(content.subspan(kHead)), get_u64(content.subspan(kHead + 8))};
  if (cost.operations < crypto_pwhash_OPSLIMIT_MIN || cost.operations > kOperationsMax ||
      cost.memory_bytes < crypto_pwhash_MEMLIMIT_MIN || cost.memory_bytes > kMemoryMax) {
    return malformed(path, "its key derivation cost is out of range");
  }
  const std::uint8_t* const salt = content.data() + kHead + 16;
  const auto key = key_from(*passphrase, cost, salt);
  auto secret = std::make_unique<SecretBytes>(content.size() - kSealedHead - kTag);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret->writable().data(), nullptr, nullptr,
                                                 content.data() + kSealedHead, content.size() - kSealedHead,
                                                 content.data(), kSealedHead, salt + kSalt, key->view().data()) != 0) {
    return Error{ErrorCode::Refused,
                 "wrong passphrase for " + path.string() + " (or the file was altered, which cannot be told apart)"};
  }
  return secret;
}

}  // namespace

void require_sodium() {
  static const bool ready = sodium_init() >= 0;
  if (!ready) throw Failure(ErrorCode::Internal, "libsodium cannot start: no source of randomness");
}

SecretBytes::SecretBytes(std::size_t size) : data_(nullptr), size_(size) {
  require_sodium();
  // Locking may fail where RLIMIT_MEMLOCK is tiny; libsodium then goes on with guard pages, no core dump, and wiping.
  data_ = static_cast<std::uint8_t*>(sodium_malloc(size));
  if (data_ == nullptr) throw Failure(ErrorCode::Internal, "no memory for a secret");
  sodium_memzero(data_, size);
}

SecretBytes::~SecretBytes() {
  sodium_free(data_);
}

void SecretBytes::make_read_only() {
  sodium_mprotect_readonly(data_);
}

std::unique_ptr<Passphrase> passphrase_of(std::string_view text) {
  TOMOGRID_ASSERT(!text.empty());
  auto passphrase = std::make_unique<Passphrase>(text.size());
  std::memcpy(passphrase->writable().data(), text.data(), text.size());
  return passphrase;
}

SealCost SealCost::moderate() {
  return {crypto_pwhash_OPSLIMIT_MODERATE, crypto_pwhash_MEMLIMIT_MODERATE};
}
SealCost SealCost::interactive() {
  return {crypto_pwhash_OPSLIMIT_INTERACTIVE, crypto_pwhash_MEMLIMIT_INTERACTIVE};
}
SealCost SealCost::minimal() {
  return {crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN};
}

Result<std::unique_ptr<SecretBytes>> read_private_file(const std::filesystem::path& path, std::size_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Storage;
    return Error{code, "cannot open " + path.string() + ": " + std::generic_category().message(errno)};
  }
  const auto close_at_end = std::unique_ptr<const int, void (*)(const int*)>(&fd, [](const int* f) { ::close(*f); });
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    return Error{ErrorCode::BadInput, path.string() + " is not a regular file"};
  }
  if ((status.st_mode & 0077) != 0) {
    return Error{ErrorCode::Refused, path.string() + " holds a secret and can be read by others; run: chmod 600 " +
                                         path.string() + " and consider the secret known"};
  }
  if (status.st_uid != ::geteuid()) {
    return Error{ErrorCode::Refused, path.string() + " belongs to another user; a secret belongs to who uses it"};
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0 || size > limit)
    return Error{ErrorCode::BadInput, path.string() + " is empty or too large for a secret"};
  auto content = std::make_unique<SecretBytes>(size);
  if (::read(fd, content->writable().data(), size) != status.st_size) {
    return Error{ErrorCode::Storage, "cannot read " + path.string()};
  }
  return content;
}

Result<void> write_secret(const std::filesystem::path& path, const SecretBytes& secret, SecretPurpose purpose,
                          const Passphrase* passphrase, SealCost cost) {
  TOMOGRID_ASSERT(secret.size() > 0 && secret.size() <= kSecretMax);
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    return Error{ErrorCode::Conflict, path.string() + " is there already; keys are never replaced: move it away first"};
  }
  ByteString content =
      passphrase != nullptr ? sealed_content(secret, purpose, *passphrase, cost) : plain_content(secret, purpose);
  auto written = write_file(path, content, FileMode::Private);
  sodium_memzero(content.data(), content.size());
  return written;
}

Result<bool> secret_is_sealed(const std::filesystem::path& path) {
  auto content = read_file(path, Bytes(kSealedHead + kSecretMax + kTag));
  if (!content) return content.error();
  const bool known = content->size() > kHead && text_of(ByteView(*content).first(kMagic.size())) == kMagic;
  const bool sealed = known && (*content)[kHead - 1] == 1;
  sodium_memzero(content->data(), content->size());
  if (!known) return malformed(path, "it does not begin as one");
  return sealed;
}

Result<std::unique_ptr<SecretBytes>> read_secret(const std::filesystem::path& path, SecretPurpose purpose,
                                                 const Passphrase* passphrase) {
  auto content = read_private_file(path, kSealedHead + kSecretMax + kTag);
  if (!content) return content.error();
  const ByteView bytes = (*content)->view();
  if (bytes.size() <= kHead || text_of(bytes.first(kMagic.size())) != kMagic) {
    return malformed(path, "it does not begin as one");
  }
  if (bytes[kMagic.size()] != static_cast<std::uint8_t>(purpose)) {
    return malformed(path, "it was made for another purpose (a member's keys are not an authority's)");
  }
  const std::uint8_t sealed = bytes[kHead - 1];
  if (sealed > 1) return malformed(path, "its kind is unknown");
  if (sealed == 1) return open_sealed(path, bytes, passphrase);
  if (bytes.size() <= kHead + kCheckSum) return malformed(path, "it is cut short");
  const ByteView covered = bytes.first(bytes.size() - kCheckSum);
  if (!std::ranges::equal(check_sum(covered), bytes.last(kCheckSum))) return malformed(path, "it is damaged");
  auto secret = std::make_unique<SecretBytes>(covered.size() - kHead);
  std::memcpy(secret->writable().data(), bytes.data() + kHead, secret->size());
  return secret;
}

void harden_process() {
  const struct rlimit none { 0, 0 };
  if (::setrlimit(RLIMIT_CORE, &none) != 0 || ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    throw Failure(ErrorCode::Internal, "cannot turn core dumps off: " + std::generic_category().message(errno));
  }
}

}  // namespace tomogrid::certs
