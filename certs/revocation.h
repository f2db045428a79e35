// Who is out: one numbered list, signed by the authority, that only grows while what it names could still be valid.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "certs/keys.h"
#include "certs/signed.h"

namespace tomogrid::certs {

struct Anchor;

// Of a certificate: random, 128 bit.
struct Serial {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Serial&) const = default;
};
std::string to_string(const Serial& serial);  // 32 hexadecimal digits
std::optional<Serial> parse_serial(std::string_view text);

// Revocation ends a certificate and both its keys: who returns, returns with new keys.
struct Revocation {
  Serial serial;
  MemberId member;
  TransportPublicKey transport_key;  // so that a connection is refused before any hello
  WallTime revoked;
  WallTime not_after;  // of the certificate: the entry may be dropped some time after
  bool operator==(const Revocation&) const = default;
};

inline constexpr std::size_t kRevocationsMax = 480;             // so that a list fits one message at the door (64 KiB)
inline constexpr std::size_t kRevocationListLimit = 56 * 1024;  // encoded body

struct RevocationList {
  std::string federation = {};
  std::uint64_t number = 0;  // 0: none seen yet
  WallTime issued = {};
  WallTime stale_after = {};             // a newer list is expected by then; staleness is shown and stops nothing
  std::vector<Revocation> entries = {};  // by serial, unique
  bool revokes(const Serial& serial) const;
  bool revokes(const MemberId& member) const;
  bool revokes(const TransportPublicKey& key) const;
  bool operator==(const RevocationList&) const = default;
};

ByteString encode(const RevocationList& list);
Result<RevocationList> decode_revocations(ByteView body);  // form only; BadInput

// Unverified unless signed by the authority; Refused for another federation's.
Result<RevocationList> verify_revocations(const Signed& record, const Anchor& anchor);

// The newest list that this member has seen, on disk before it is used. One thread; several processes may share the
// file.
class RevocationStore final {
 public:
  // Loads `file` when it exists. Throws Failure when that is unreadable or not of this authority: serving without it
  // could let a removed member back in.
  RevocationStore(std::filesystem::path file, const Anchor& anchor);
  ~RevocationStore();
  RevocationStore(const RevocationStore&) = delete;
  RevocationStore& operator=(const RevocationStore&) = delete;

  const RevocationList& list() const { return list_; }
  // As signed, to hand on; nullopt while number is 0.
  const std::optional<Signed>& record() const { return record_; }
  // For judged_time().
  WallTime latest_signed() const { return list_.issued; }

  enum class Offered { Newer, Same };
  // Takes a list that a peer handed on: verified, written to disk, and only then used. Refused when its number is
  // lower than ours; Conflict when the number is ours and the content is not (the authority's key signed two lists:
  // tell its keeper); Storage.
  Result<Offered> offer(const Signed& record);
  // Takes what a command of the same member has put on disk meanwhile (`tomogrid certs install`). Cheap when the file
  // is as it was: call it often. True: a newer list is in use. An error is told once per change of the file, and what
  // was in use stays.
  Result<bool> refresh();

 private:
  // Tells one state of the file from another.
  struct Stamp {
    std::uint64_t inode = 0, size = 0;
    std::int64_t seconds = 0, nanoseconds = 0;
    bool operator==(const Stamp&) const = default;
  };
  Stamp stamp() const;
  // Takes what is on disk when that is newer.
  Result<void> load();
  std::filesystem::path file_;
  std::string federation_;
  SigningPublicKey authority_;
  RevocationList list_;
  std::optional<Signed> record_;
  Stamp seen_;
};

}  // namespace tomogrid::certs
