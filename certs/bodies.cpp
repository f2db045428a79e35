// Every body of this folder as bytes and back (bodies.capnp), encoder beside decoder.
#include <algorithm>

#include "bodies.capnp.h"
#include "certs/capnp_bytes.h"
#include "certs/certificate.h"
#include "certs/revocation.h"
#include "job/job.h"

namespace tomogrid::certs {

namespace {

std::string name_in(::capnp::Text::Reader text, const char* field) {
  std::string name(text.cStr(), text.size());
  if (!job::is_name(name)) throw MalformedBody(std::string(field) + " is not a name ([a-z0-9.-]{1,63})");
  return name;
}

Roles roles_in(std::uint32_t bits) {
  const auto roles = Roles::from_bits(bits);
  if (!roles) throw MalformedBody("it has a role that this version does not know");
  return *roles;
}

template <class Builder>
void put_groups(Builder out, const std::vector<std::string>& groups) {
  auto list = out.initGroups(static_cast<unsigned>(groups.size()));
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, groups[i].c_str());
}

std::vector<std::string> groups_in(::capnp::List<::capnp::Text>::Reader in) {
  if (in.size() > kGroupsMax) throw MalformedBody("it has more than " + std::to_string(kGroupsMax) + " groups");
  std::vector<std::string> groups;
  for (const auto group : in) groups.push_back(name_in(group, "group"));
  if (std::adjacent_find(groups.begin(), groups.end(), std::greater_equal<>()) != groups.end()) {
    throw MalformedBody("its groups are not sorted and unique");
  }
  return groups;
}

void put(schema::Quota::Builder out, const Quota& quota) {
  out.setJobs(quota.jobs);
  out.setOpensPerMinute(quota.opens_per_minute);
  out.setScratchBytes(quota.scratch.count());
}

Quota quota_in(schema::Quota::Reader in) {
  return {.jobs = in.getJobs(), .scratch = Bytes(in.getScratchBytes()), .opens_per_minute = in.getOpensPerMinute()};
}

void put(schema::IssuingLimits::Builder out, const IssuingLimits& limits) {
  out.setRoles(limits.roles.bits());
  out.setMayDelegate(limits.may_delegate);
  out.setValidityMaxMs(limits.validity_max.count());
  out.setNameSuffix(limits.name_suffix.c_str());
  put_groups(out, limits.groups);
  put(out.initQuota(), limits.quota);
}

IssuingLimits limits_in(schema::IssuingLimits::Reader in) {
  IssuingLimits limits;
  limits.roles = roles_in(in.getRoles());
  limits.may_delegate = in.getMayDelegate();
  limits.validity_max = std::chrono::milliseconds(in.getValidityMaxMs());
  limits.name_suffix = in.getNameSuffix().cStr();
  // A suffix usually begins with a dot (".hospital-a"), which a name may not.
  if (!limits.name_suffix.empty() && !job::is_name("x" + limits.name_suffix)) {
    throw MalformedBody("its name suffix cannot end a name");
  }
  limits.groups = groups_in(in.getGroups());
  limits.quota = quota_in(in.getQuota());
  return limits;
}

// Up to the year 9999: later times would not print.
WallTime time_in(std::int64_t unix_ms, const char* field) {
  if (unix_ms < 0 || unix_ms > 253402300799999) throw MalformedBody(std::string(field) + " is out of range");
  return {unix_ms};
}

}  // namespace

ByteString encode(const Certificate& c) {
  return encode_canonical<schema::Certificate>([&](schema::Certificate::Builder out) {
    out.setFederation(c.federation.c_str());
    out.setSerial(data_of(c.serial.bytes));
    out.setIssuer(data_of(c.issuer.bytes));
    out.setSubject(c.subject.c_str());
    out.setTransportKey(data_of(c.transport_key.bytes));
    out.setSigningKey(data_of(c.signing_key.bytes));
    out.setRoles(c.roles.bits());
    put_groups(out, c.groups);
    out.setIssuedMs(c.issued.unix_ms);
    out.setNotBeforeMs(c.not_before.unix_ms);
    out.setNotAfterMs(c.not_after.unix_ms);
    put(out.initQuota(), c.quota);
    if (c.issuing) put(out.initIssuing(), *c.issuing);
  });
}

Result<Certificate> decode_certificate(ByteView body) {
  const auto read = [](schema::Certificate::Reader in) {
    Certificate c;
    c.federation = name_in(in.getFederation(), "federation");
    c.serial.bytes = fixed_bytes<16>(in.getSerial(), "serial");
    c.issuer.bytes = fixed_bytes<32>(in.getIssuer(), "issuer");
    c.subject = name_in(in.getSubject(), "subject");
    c.transport_key.bytes = fixed_bytes<32>(in.getTransportKey(), "transport key");
    c.signing_key.bytes = fixed_bytes<32>(in.getSigningKey(), "signing key");
    c.roles = roles_in(in.getRoles());
    c.groups = groups_in(in.getGroups());
    c.issued = time_in(in.getIssuedMs(), "issued");
    c.not_before = time_in(in.getNotBeforeMs(), "not before");
    c.not_after = time_in(in.getNotAfterMs(), "not after");
    if (c.not_after <= c.not_before) throw MalformedBody("it ends before it begins");
    c.quota = quota_in(in.getQuota());
    if (in.hasIssuing()) c.issuing = limits_in(in.getIssuing());
    return c;
  };
  return decode_canonical<schema::Certificate, Certificate>(body, Bytes(kCertificateLimit), "a certificate", read);
}

ByteString encode(const CertificateRequest& r) {
  return encode_canonical<schema::Request>([&](schema::Request::Builder out) {
    out.setFederation(r.federation.c_str());
    out.setSubject(r.subject.c_str());
    out.setTransportKey(data_of(r.transport_key.bytes));
    out.setSigningKey(data_of(r.signing_key.bytes));
    out.setRoles(r.roles.bits());
    put_groups(out, r.groups);
    out.setMadeMs(r.made.unix_ms);
  });
}

Result<CertificateRequest> decode_request(ByteView body) {
  const auto read = [](schema::Request::Reader in) {
    CertificateRequest r;
    if (in.getFederation().size() > 0) r.federation = name_in(in.getFederation(), "federation");
    r.subject = name_in(in.getSubject(), "subject");
    r.transport_key.bytes = fixed_bytes<32>(in.getTransportKey(), "transport key");
    r.signing_key.bytes = fixed_bytes<32>(in.getSigningKey(), "signing key");
    r.roles = roles_in(in.getRoles());
    r.groups = groups_in(in.getGroups());
    r.made = time_in(in.getMadeMs(), "time");
    return r;
  };
  return decode_canonical<schema::Request, CertificateRequest>(body, Bytes(kCertificateLimit), "a certificate request",
                                                               read);
}

ByteString encode(const CertificateChain& chain) {
  return encode_canonical<schema::Chain>([&](schema::Chain::Builder out) {
    auto links = out.initLinks(static_cast<unsigned>(chain.links.size()));
    for (unsigned i = 0; i < links.size(); ++i) {
      links[i].setKind(chain.links[i].kind.c_str());
      links[i].setBody(data_of(chain.links[i].body));
      links[i].setSignature(data_of(chain.links[i].signature));
    }
  });
}

Result<CertificateChain> decode_chain(ByteView bytes) {
  const auto read = [](schema::Chain::Reader in) {
    CertificateChain chain;
    const auto links = in.getLinks();
    if (links.size() == 0 || links.size() > kChainLengthMax) {
      throw MalformedBody("it has " + std::to_string(links.size()) + " certificates, not 1 to 3");
    }
    for (const auto link : links) {
      Signed record;
      record.kind = link.getKind().cStr();
      if (record.kind != kinds::certificate) throw MalformedBody("it holds something that is not a certificate");
      const auto body = link.getBody();
      if (body.size() > kCertificateLimit) throw MalformedBody("it holds a certificate that is too large");
      record.body.assign(body.begin(), body.end());
      record.signature = fixed_bytes<64>(link.getSignature(), "signature");
      chain.links.push_back(std::move(record));
    }
    return chain;
  };
  return decode_canonical<schema::Chain, CertificateChain>(bytes, Bytes(kChainLimit), "a certificate chain", read);
}

ByteString encode(const Anchor& anchor) {
  return encode_canonical<schema::Anchor>([&](schema::Anchor::Builder out) {
    out.setFederation(anchor.federation.c_str());
    out.setAuthority(data_of(anchor.authority.bytes));
  });
}

Result<Anchor> decode_anchor(ByteView bytes) {
  return decode_canonical<schema::Anchor, Anchor>(bytes, Bytes(512), "a federation anchor", [](auto in) {
    Anchor anchor;
    anchor.federation = name_in(in.getFederation(), "federation");
    anchor.authority.bytes = fixed_bytes<32>(in.getAuthority(), "authority key");
    return anchor;
  });
}

ByteString encode(const RevocationList& list) {
  return encode_canonical<schema::Revocations>([&](schema::Revocations::Builder out) {
    out.setFederation(list.federation.c_str());
    out.setNumber(list.number);
    out.setIssuedMs(list.issued.unix_ms);
    out.setStaleAfterMs(list.stale_after.unix_ms);
    auto entries = out.initEntries(static_cast<unsigned>(list.entries.size()));
    for (unsigned i = 0; i < entries.size(); ++i) {
      entries[i].setSerial(data_of(list.entries[i].serial.bytes));
      entries[i].setMember(data_of(list.entries[i].member.bytes));
      entries[i].setTransportKey(data_of(list.entries[i].transport_key.bytes));
      entries[i].setRevokedMs(list.entries[i].revoked.unix_ms);
      entries[i].setNotAfterMs(list.entries[i].not_after.unix_ms);
    }
  });
}

Result<RevocationList> decode_revocations(ByteView body) {
  const auto read = [](schema::Revocations::Reader in) {
    RevocationList list;
    list.federation = name_in(in.getFederation(), "federation");
    list.number = in.getNumber();
    if (list.number == 0) throw MalformedBody("its number is 0");
    list.issued = time_in(in.getIssuedMs(), "issued");
    list.stale_after = time_in(in.getStaleAfterMs(), "stale after");
    const auto entries = in.getEntries();
    if (entries.size() > kRevocationsMax) throw MalformedBody("it has too many entries");
    for (const auto entry : entries) {
      Revocation r;
      r.serial.bytes = fixed_bytes<16>(entry.getSerial(), "serial");
      r.member.bytes = fixed_bytes<32>(entry.getMember(), "member");
      r.transport_key.bytes = fixed_bytes<32>(entry.getTransportKey(), "transport key");
      r.revoked = time_in(entry.getRevokedMs(), "revoked");
      r.not_after = time_in(entry.getNotAfterMs(), "not after");
      if (!list.entries.empty() && list.entries.back().serial >= r.serial) {
        throw MalformedBody("its entries are not sorted and unique");
      }
      list.entries.push_back(r);
    }
    return list;
  };
  return decode_canonical<schema::Revocations, RevocationList>(body, Bytes(kRevocationListLimit), "a revocation list",
                                                               read);
}

}  // namespace tomogrid::certs
