// Certificates: values, their signed form, chains, and the one function that decides whether a chain holds.
//
// A federation has one root of trust, its authority's Ed25519 key (`Anchor`). It signs members' certificates, or
// issuing certificates that sign them within limits; so a member shows a chain of 1 to 3.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/time.h"
#include "certs/keys.h"
#include "certs/revocation.h"
#include "certs/roles.h"
#include "certs/signed.h"

namespace tomogrid::certs {

inline constexpr std::size_t kCertificateLimit = 4 * 1024;  // encoded body
inline constexpr std::size_t kChainLengthMax = 3;
inline constexpr std::size_t kChainLimit = 16 * 1024;  // encoded chain
inline constexpr std::size_t kGroupsMax = 16;

// The federation as its members know it. Trusted because it came by a trusted way; everything else follows from it.
struct Anchor {
  std::string federation;  // job::is_name
  SigningPublicKey authority;
  bool operator==(const Anchor&) const = default;
};

// What a member may hold at any one node, in direct mode too. Node's own limits come on top.
struct Quota {
  std::uint32_t jobs = 8;  // open at once
  Bytes scratch = gibibytes(16);
  std::uint32_t opens_per_minute = 120;
  bool operator==(const Quota&) const = default;
  // No figure is larger than in `other`.
  bool within(const Quota& other) const;
};

// What an issuing key may grant. Enforced by everyone who verifies a chain, not by the issuer.
struct IssuingLimits {
  Roles roles;
  std::chrono::milliseconds validity_max{0};  // not_after - not_before of what it signs
  std::string name_suffix;                    // subjects end with this; empty: any
  std::vector<std::string> groups;            // subset of these
  Quota quota;                                // at most
  bool may_delegate = false;                  // may sign one more issuing key
  bool operator==(const IssuingLimits&) const = default;
};

struct Certificate {
  std::string federation;
  Serial serial;        // random, 128 bit
  MemberId issuer;      // of the key that signs this
  std::string subject;  // job::is_name; one live certificate per name
  TransportPublicKey transport_key;
  SigningPublicKey signing_key;
  Roles roles;                      // of one class
  std::vector<std::string> groups;  // sorted, unique; e.g. a hospital or a study
  WallTime issued;
  WallTime not_before, not_after;
  Quota quota;
  std::optional<IssuingLimits> issuing;
  MemberId member() const { return member_id(signing_key); }
  bool operator==(const Certificate&) const = default;
};

// What a member asks for, signed with its own new key: proof that it holds it.
struct CertificateRequest {
  std::string federation = {};  // may be empty: any
  std::string subject = {};
  TransportPublicKey transport_key = {};
  SigningPublicKey signing_key = {};
  Roles roles = {};  // wanted; the authority decides
  std::vector<std::string> groups = {};
  WallTime made = {};
  bool operator==(const CertificateRequest&) const = default;
};

// Leaf first, each signed by the next, the last by the authority. Untrusted until verify_chain().
struct CertificateChain {
  std::vector<Signed> links;
  bool operator==(const CertificateChain&) const = default;
};

// A chain that held at the time it was judged.
struct Verified {
  MemberId member;
  Certificate certificate;    // the leaf's
  WallTime valid_until;       // the earliest end in the chain
  WallTime authority_signed;  // when the authority signed the top of it: for judged_time()
};

// Judges every link from the authority down. `now` is judged_time() below.
//
// Each failure says which certificate and what to do:
// - Unverified: not signed by this federation's authority; a byte was altered; the chain is cut, too long or out of
// order.
// - BadInput: a body that is signed but not a certificate.
// - Refused: other federation; not yet valid; expired; revoked; a limit of an issuing key exceeded (roles, groups,
// validity,
//   name, quota, delegation); roles of both classes.
Result<Verified> verify_chain(const CertificateChain& chain, const Anchor& anchor, WallTime now,
                              const RevocationList& revocations);

// The clock, unless something the authority signed is later: a clock set back does not revive what has expired.
// Only the authority's times count; a member's could make everyone believe that all certificates have expired.
WallTime judged_time(WallTime clock, WallTime latest_signed);

// Ok: signed by the key that it names. Refused when it asks for nothing or for roles of both classes.
Result<CertificateRequest> verify_request(const Signed& request);
Signed make_request(const SecretKeys& keys, CertificateRequest request);  // fills in both public keys

// Bodies and chains: canonical Cap'n Proto. Decoders take any bytes; BadInput. They check form, never trust.
ByteString encode(const Certificate& certificate);
Result<Certificate> decode_certificate(ByteView body);
ByteString encode(const CertificateRequest& request);
Result<CertificateRequest> decode_request(ByteView body);
ByteString encode(const CertificateChain& chain);
Result<CertificateChain> decode_chain(ByteView bytes);
ByteString encode(const Anchor& anchor);
Result<Anchor> decode_anchor(ByteView bytes);

}  // namespace tomogrid::certs
