#include "certs/certificate.h"

#include <algorithm>

namespace tomogrid::certs {

bool Quota::within(const Quota& other) const {
  return jobs <= other.jobs && scratch <= other.scratch && opens_per_minute <= other.opens_per_minute;
}

WallTime judged_time(WallTime clock, WallTime latest_signed) {
  return std::max(clock, latest_signed);
}

Signed make_request(const SecretKeys& keys, CertificateRequest request) {
  request.signing_key = keys.signing_key();
  request.transport_key = keys.transport_key();
  return sign(keys, kinds::request, encode(request));
}

Result<CertificateRequest> verify_request(const Signed& record) {
  // The one body that is parsed before it is verified: the key that must have signed it is inside.
  auto request = decode_request(record.body);
  if (!request) return request.error();
  if (auto signature = verify(record, kinds::request, request->signing_key); !signature) {
    return Error{ErrorCode::Unverified, "the request of " + request->subject +
                                            " is not signed with the key it names: it was altered; ask for it again"};
  }
  if (auto roles = check_one_class(request->roles); !roles) {
    return Error{ErrorCode::Refused, "the request of " + request->subject + ": " + roles.error().message};
  }
  return request;
}

}  // namespace tomogrid::certs
