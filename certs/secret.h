// Memory for secrets, passphrases, sealing under a passphrase, and files that only their owner reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/text.h"

namespace tomogrid::certs {

// Bytes between guard pages, locked against swapping where the limit allows, left out of core dumps, wiped at the end.
// Neither copied nor moved: there is one place where a secret is.
class SecretBytes final {
 public:
  explicit SecretBytes(std::size_t size);
  ~SecretBytes();
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  std::size_t size() const { return size_; }
  ByteView view() const { return {data_, size_}; }
  std::span<std::uint8_t> writable() { return {data_, size_}; }
  // From now on a write through writable() ends the process.
  void make_read_only();

 private:
  std::uint8_t* data_;
  std::size_t size_;
};

// A passphrase of 1 to 1024 bytes, taken as it is (no normalisation, no trimming but one final newline of a file).
using Passphrase = SecretBytes;
std::unique_ptr<Passphrase> passphrase_of(std::string_view text);  // the caller wipes its own copy

// Where commands take a passphrase from, in this order: the file, the environment variable TOMOGRID_PASSPHRASE, the
// terminal without echo (twice when `confirm`). Never the command line, which every user of the machine can read.
struct PassphraseSource {
  std::optional<std::filesystem::path> file = {};  // refused when others can read it
  bool confirm = false;  // a new one: asked twice
  std::string prompt = "passphrase";
};
// Usage when there is neither file, variable nor terminal, or when the two entries differ.
Result<std::unique_ptr<Passphrase>> read_passphrase(const PassphraseSource& source);

// What one guess of a passphrase costs (Argon2id). Stored in the sealed file, so it can be raised later.
struct SealCost {
  std::uint64_t operations = 0;
  std::uint64_t memory_bytes = 0;
  bool operator==(const SealCost&) const = default;
  static SealCost moderate();     // about 0.7 s and 256 MiB: the authority's key
  static SealCost interactive();  // about 0.1 s and 64 MiB: members' keys, unsealed at every start
  static SealCost minimal();      // the least that libsodium takes: tests and throw-away federations only
};

// What a sealed file is for; bound into the seal, so that one kind cannot be passed off as another.
enum class SecretPurpose : std::uint8_t { Member = 1, Authority = 2 };

// Writes `secret` with mode 0600, whole or not at all: sealed (XChaCha20-Poly1305 under Argon2id) with a passphrase, or
// as it is without one. Refuses to replace a file (Conflict): keys are never lost by a second run.
Result<void> write_secret(const std::filesystem::path& path, const SecretBytes& secret, SecretPurpose purpose,
                          const Passphrase* passphrase, SealCost cost);

// Whether the file needs a passphrase. NotFound, BadInput.
Result<bool> secret_is_sealed(const std::filesystem::path& path);

// Each failure its own: NotFound; Refused "... can be read by others; run: chmod 600 ..."; Refused "wrong passphrase
// ..."; Usage when sealed and `passphrase` is null; BadInput for a file that is not a secret of this purpose or is cut.
// A changed byte in a sealed file cannot be told from a wrong passphrase, and the message says so.
Result<std::unique_ptr<SecretBytes>> read_secret(const std::filesystem::path& path, SecretPurpose purpose,
                                                 const Passphrase* passphrase);

// Core dumps off and no attaching of debuggers by the same user: call first in every role. Throws Failure.
void harden_process();

}  // namespace tomogrid::certs
