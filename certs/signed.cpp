#include "certs/signed.h"

#include <sodium.h>

#include <array>

#include "bodies.capnp.h"
#include "certs/capnp_bytes.h"
#include "certs/sodium_ready.h"

namespace tomogrid::certs {

namespace {

constexpr std::array kKinds{kinds::certificate, kinds::request, kinds::revocations, kinds::advert,
                            kinds::ticket,      kinds::receipt, kinds::decision};

// A kind holds no '/', so no two pairs of kind and body give the same bytes.
ByteString covered(std::string_view kind, ByteView body) {
  ByteString message;
  message.reserve(body.size() + 32);
  for (const std::string_view part : {std::string_view("tomogrid/"), kind, std::string_view("/1")}) {
    message.insert(message.end(), part.begin(), part.end());
  }
  message.insert(message.end(), body.begin(), body.end());
  return message;
}

}  // namespace

bool is_kind(std::string_view kind) {
  return std::find(kKinds.begin(), kKinds.end(), kind) != kKinds.end();
}

Signature SecretKeys::sign(std::string_view kind, ByteView body) const {
  TOMOGRID_ASSERT(is_kind(kind));
  const ByteString message = covered(kind, body);
  Signature signature{};
  crypto_sign_detached(signature.data(), nullptr, message.data(), message.size(), memory_.view().data());
  return signature;
}

Signed sign(const SecretKeys& keys, std::string_view kind, ByteString body) {
  TOMOGRID_ASSERT(body.size() <= kSignedBodyLimit);
  const Signature signature = keys.sign(kind, body);
  return {std::string(kind), std::move(body), signature};
}

Result<void> verify(const Signed& record, std::string_view kind, const SigningPublicKey& signer) {
  require_sodium();
  if (record.kind != kind) {
    return Error{ErrorCode::Unverified,
                 "a record of kind " + std::string(kind) + " is needed here, not " + printable(record.kind)};
  }
  const ByteString message = covered(kind, record.body);
  if (crypto_sign_verify_detached(record.signature.data(), message.data(), message.size(), signer.bytes.data()) != 0) {
    return Error{ErrorCode::Unverified, "the signature of this " + std::string(kind) + " is not " +
                                            short_text(member_id(signer)) +
                                            "'s over these bytes: it was altered, or someone else signed it"};
  }
  return {};
}

ByteString encode(const Signed& record) {
  return encode_canonical<schema::Signed>([&](schema::Signed::Builder out) {
    out.setKind(record.kind);
    out.setBody(data_of(record.body));
    out.setSignature(data_of(record.signature));
  });
}

Result<Signed> decode_signed(ByteView bytes, Bytes limit) {
  return decode_canonical<schema::Signed, Signed>(bytes, limit, "a signed record", [](schema::Signed::Reader in) {
    Signed record;
    record.kind = in.getKind().cStr();
    if (!is_kind(record.kind)) throw MalformedBody("kind " + printable(record.kind) + " is unknown");
    const auto body = in.getBody();
    if (body.size() > kSignedBodyLimit) throw MalformedBody("its body is too large");
    record.body.assign(body.begin(), body.end());
    record.signature = fixed_bytes<64>(in.getSignature(), "signature");
    return record;
  });
}

}  // namespace tomogrid::certs
