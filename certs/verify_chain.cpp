// The decision whether a certificate chain holds. Pure: time and revocations come in.
#include <algorithm>

#include "certs/certificate.h"

namespace tomogrid::certs {

namespace {

Error unverified(std::string message) {
  return {ErrorCode::Unverified, std::move(message)};
}
Error refused(std::string message) {
  return {ErrorCode::Refused, std::move(message)};
}

std::string named(const Certificate& c) {
  return "the certificate of " + c.subject + " (" + short_text(c.member()) + ")";
}

// Why a signature does not hold. Reads the body only to say so; nothing is believed.
Error explain_signature(const Signed& link, const MemberId& signer, bool by_authority, const Anchor& anchor) {
  const auto claimed = decode_certificate(link.body);
  if (!claimed) return unverified("a certificate was altered: its signature does not hold and its body is malformed");
  if (claimed->issuer == signer) {
    return unverified(named(*claimed) + " was altered: its signature does not hold over these bytes");
  }
  if (by_authority) {
    return unverified(named(*claimed) + " comes from a wrong authority: it was issued by " +
                      short_text(claimed->issuer) + " for federation " + claimed->federation +
                      ", and the authority of " + anchor.federation + " is " + short_text(signer));
  }
  return unverified(named(*claimed) +
                    " was not issued by the next certificate of its chain: the chain is out of order");
}

Result<void> check_time(const Certificate& c, WallTime now) {
  if (now < c.not_before) {
    return refused(named(c) + " is not yet valid: it begins on " + iso_time(c.not_before.unix_ms) + " and it is now " +
                   iso_time(now.unix_ms) + "; check the clock of this machine");
  }
  if (now > c.not_after) {
    return refused(named(c) + " expired on " + iso_time(c.not_after.unix_ms) + " and it is now " +
                   iso_time(now.unix_ms) + "; ask the authority for a new one");
  }
  return {};
}

Result<void> check_revoked(const Certificate& c, const RevocationList& revocations) {
  if (!revocations.revokes(c.serial) && !revocations.revokes(c.member()) && !revocations.revokes(c.transport_key)) {
    return {};
  }
  return refused(named(c) + " was revoked by the authority (revocation list " + std::to_string(revocations.number) +
                 ")");
}

// What an issuing certificate above allows for what stands below it.
Result<void> check_limits(const Certificate& c, const Certificate& issuer) {
  const IssuingLimits& limits = *issuer.issuing;
  const std::string by = ", which its issuer " + issuer.subject + " may not grant";
  if (!limits.roles.contains_all(c.roles)) {
    return refused(named(c) + " has roles " + to_string(c.roles) + by + " (only " + to_string(limits.roles) + ")");
  }
  if (!c.subject.ends_with(limits.name_suffix)) {
    return refused(named(c) + " has a name" + by + " (only names ending in " + limits.name_suffix + ")");
  }
  if (c.not_after - c.not_before > limits.validity_max) return refused(named(c) + " has a validity" + by);
  if (!std::includes(limits.groups.begin(), limits.groups.end(), c.groups.begin(), c.groups.end())) {
    return refused(named(c) + " has groups" + by);
  }
  if (!c.quota.within(limits.quota)) return refused(named(c) + " has a quota" + by);
  if (c.issuing && !limits.may_delegate) return refused(named(c) + " is an issuing certificate" + by);
  return {};
}

Result<void> check_issuer(const Certificate& c) {
  if (!c.issuing || !may(c.roles, Verb::Issue)) {
    return refused(named(c) + " may not issue certificates, and its chain says that it did");
  }
  return {};
}

// One certificate whose signature holds. `above`: the chain from its issuer up, nearest first.
Result<void> check(const Certificate& c, const MemberId& signer, const std::vector<Certificate>& above,
                   const Anchor& anchor, WallTime now, const RevocationList& revocations) {
  if (c.issuer != signer) return unverified(named(c) + " names another issuer than the one that signed it");
  if (c.federation != anchor.federation) {
    return refused(named(c) + " is of federation " + c.federation + ", not of " + anchor.federation);
  }
  if (auto classes = check_one_class(c.roles); !classes) return refused(named(c) + ": " + classes.error().message);
  if (auto time = check_time(c, now); !time) return time;
  if (auto live = check_revoked(c, revocations); !live) return live;
  // Against every issuer above, not only the nearest: delegation cannot widen what was given.
  for (const Certificate& issuer : above) {
    if (auto limits = check_limits(c, issuer); !limits) return limits;
  }
  return {};
}

}  // namespace

Result<Verified> verify_chain(const CertificateChain& chain, const Anchor& anchor, WallTime now,
                              const RevocationList& revocations) {
  if (chain.links.empty() || chain.links.size() > kChainLengthMax) {
    return unverified("a certificate chain has 1 to 3 certificates, not " + std::to_string(chain.links.size()));
  }
  std::vector<Certificate> above;  // verified so far, nearest to the leaf first
  SigningPublicKey signer = anchor.authority;
  WallTime valid_until{INT64_MAX};
  for (auto link = chain.links.rbegin(); link != chain.links.rend(); ++link) {
    if (!verify(*link, kinds::certificate, signer)) {
      return explain_signature(*link, member_id(signer), above.empty(), anchor);
    }
    auto certificate = decode_certificate(link->body);
    if (!certificate) return certificate.error();
    if (auto good = check(*certificate, member_id(signer), above, anchor, now, revocations); !good) return good.error();
    if (link + 1 != chain.links.rend()) {
      if (auto issuer = check_issuer(*certificate); !issuer) return issuer.error();
    }
    valid_until = std::min(valid_until, certificate->not_after);
    signer = certificate->signing_key;
    above.insert(above.begin(), *std::move(certificate));
  }
  return Verified{.member = above.front().member(),
                  .certificate = above.front(),
                  .valid_until = valid_until,
                  .authority_signed = above.back().issued};
}

}  // namespace tomogrid::certs
