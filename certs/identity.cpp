#include "certs/identity.h"

namespace tomogrid::certs {

Identity::Identity(std::unique_ptr<SecretKeys> keys, CertificateChain chain, Anchor anchor, Certificate certificate)
    : keys_(std::move(keys)),
      chain_(std::move(chain)),
      anchor_(std::move(anchor)),
      certificate_(std::move(certificate)),
      member_(keys_->member()) {}

Result<std::unique_ptr<Identity>> Identity::make(std::unique_ptr<SecretKeys> keys, CertificateChain chain,
                                                 Anchor anchor) {
  if (chain.links.empty()) return Error{ErrorCode::BadInput, "a certificate chain without certificates"};
  auto certificate = decode_certificate(chain.links.front().body);
  if (!certificate) return certificate.error();
  if (certificate->signing_key != keys->signing_key() || certificate->transport_key != keys->transport_key()) {
    return Error{ErrorCode::Refused, "the certificate of " + certificate->subject + " is about other keys (" +
                                         short_text(certificate->member()) + ") than the ones here (" +
                                         short_text(keys->member()) +
                                         "); ask the authority with this member's request"};
  }
  return std::unique_ptr<Identity>(
      new Identity(std::move(keys), std::move(chain), std::move(anchor), *std::move(certificate)));
}

Signed Identity::signed_record(std::string_view kind, ByteString body) const {
  return certs::sign(*keys_, kind, std::move(body));
}

}  // namespace tomogrid::certs
