// One member of the federation, as itself: its keys, its certificate chain and whom it trusts.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "certs/certificate.h"
#include "certs/keys.h"

namespace tomogrid::certs {

// Neither copied nor moved; immutable, so threads share it by const reference. Loaded from a folder by
// load_identity() in certs/member.h, or made in memory by make_identity() in certs/authority.h.
class Identity final {
 public:
  // Refused when the chain's leaf is not about these keys. Validity in time and revocation are judged by whoever meets
  // this member (and by load_identity), not here.
  static Result<std::unique_ptr<Identity>> make(std::unique_ptr<SecretKeys> keys, CertificateChain chain,
                                                Anchor anchor);
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;

  const MemberId& member() const { return member_; }
  const std::string& name() const { return certificate_.subject; }
  Roles roles() const { return certificate_.roles; }
  const Certificate& certificate() const { return certificate_; }
  const CertificateChain& chain() const { return chain_; }
  const Anchor& anchor() const { return anchor_; }
  const std::string& federation() const { return anchor_.federation; }
  const TransportPublicKey& transport_key() const { return certificate_.transport_key; }
  // For ZMQ_CURVE_SECRETKEY only: 32 bytes, valid as long as this object.
  ByteView transport_secret() const { return keys_->transport_secret(); }

  Signature sign(std::string_view kind, ByteView body) const { return keys_->sign(kind, body); }
  // The whole record, ready to send.
  Signed signed_record(std::string_view kind, ByteString body) const;

 private:
  Identity(std::unique_ptr<SecretKeys> keys, CertificateChain chain, Anchor anchor, Certificate certificate);
  std::unique_ptr<SecretKeys> keys_;
  CertificateChain chain_;
  Anchor anchor_;
  Certificate certificate_;
  MemberId member_;
};

}  // namespace tomogrid::certs
