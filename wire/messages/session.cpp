#include "wire/messages/session.h"

#include "certs/certificate.h"
#include "wire/messages/codecs.h"

namespace tomogrid::wire::codec {

void put(schema::Greet::Builder to, const Greet& from) {
  put_each(to.initVersions(count_of(from.versions.size())), from.versions,
           [](auto& list, unsigned i, std::uint16_t version) { list.set(i, version); });
}
void get(schema::Greet::Reader from, Greet& to) {
  to.versions = get_each<std::uint16_t>(from.getVersions(), "versions", kVersionsMax, [](std::uint16_t version) { return version; });
  if (to.versions.empty()) refuse("versions", "is empty");
}

void put(schema::Hello::Builder to, const Hello& from) {
  to.setVersion(from.version);
  to.setFederation(from.federation);
  put_each(to.initChain(count_of(from.chain.size())), from.chain,
           [](auto& list, unsigned i, const ByteString& link) { list.set(i, data_of(link)); });
  to.setWallMs(from.wall.unix_ms);
  to.setRevocationNumber(from.revocation_number);
  to.setNonce(data_of(from.nonce));
}
void get(schema::Hello::Reader from, Hello& to) {
  constexpr std::size_t kLinkLimit = certs::kCertificateLimit + 256;
  to.version = from.getVersion();
  to.federation = get_name(from.getFederation(), "federation");
  to.chain = get_each<ByteString>(from.getChain(), "chain", certs::kChainLengthMax,
                                  [](::capnp::Data::Reader link) { return get_bytes(link, "certificate", kLinkLimit); });
  if (to.chain.empty()) refuse("chain", "is empty");
  to.wall = get_wall(from.getWallMs(), "wall");
  to.revocation_number = from.getRevocationNumber();
  to.nonce = get_fixed<32>(from.getNonce(), "nonce");
}

void put(schema::Welcome::Builder to, const Welcome& from) {
  to.setSession(data_of(from.session));
  to.setBulkPort(from.bulk_port);
}
void get(schema::Welcome::Reader from, Welcome& to) {
  to.session = get_fixed<16>(from.getSession(), "session");
  to.bulk_port = from.getBulkPort();
}

void put(schema::RevocationList::Builder to, const RevocationList& from) { to.setSignedList(data_of(from.signed_list)); }
void get(schema::RevocationList::Reader from, RevocationList& to) {
  to.signed_list = get_bytes(from.getSignedList(), "list", certs::kRevocationListLimit + 256);
}

void put(schema::Bye::Builder to, const Bye& from) {
  to.setCode(from.code);
  to.setReason(sentence(from.reason));
}
void get(schema::Bye::Reader from, Bye& to) {
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.reason = get_sentence(from.getReason(), "reason");
}

}  // namespace tomogrid::wire::codec
