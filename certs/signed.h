// A body with a signature over exactly these bytes. Verify, then parse; never re-encode.
#pragma once

#include <string>
#include <string_view>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"
#include "certs/keys.h"

namespace tomogrid::certs {

// What a signature may be about. A signature of one kind never verifies as another.
namespace kinds {
inline constexpr std::string_view certificate = "certificate";  // certificate.h
inline constexpr std::string_view request = "request";          // certificate.h
inline constexpr std::string_view revocations = "revocations";  // revocation.h
inline constexpr std::string_view advert = "advert";            // the rest: bodies belong to wire/messages
inline constexpr std::string_view ticket = "ticket";
inline constexpr std::string_view receipt = "receipt";
inline constexpr std::string_view decision = "decision";
}  // namespace kinds
bool is_kind(std::string_view kind);

// The signature covers "tomogrid/" kind "/1" || body.
struct Signed {
  std::string kind;
  ByteString body;
  Signature signature{};
  bool operator==(const Signed&) const = default;
};

// Largest body of any kind; a kind's own decoder may ask less.
inline constexpr std::size_t kSignedBodyLimit = 64 * 1024;

// Requires is_kind(kind) and body.size() <= kSignedBodyLimit.
Signed sign(const SecretKeys& keys, std::string_view kind, ByteString body);

// Ok when `record` is of `kind` and signed by `signer`. Unverified otherwise. Only then parse record.body.
Result<void> verify(const Signed& record, std::string_view kind, const SigningPublicKey& signer);

// Canonical Cap'n Proto (certs/bodies.capnp, struct Signed), for files and inside messages. BadInput: longer than
// `limit`, not canonical, unknown kind, trailing bytes.
ByteString encode(const Signed& record);
Result<Signed> decode_signed(ByteView bytes, Bytes limit = Bytes(kSignedBodyLimit + 256));

}  // namespace tomogrid::certs
