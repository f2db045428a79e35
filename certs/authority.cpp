#include "certs/authority.h"

#include <algorithm>

#include "base/file.h"
#include "certs/files.h"
#include "certs/random.h"
#include "job/job.h"

namespace tomogrid::certs {

namespace {

namespace fs = std::filesystem;

// Clocks of a federation may be 5 minutes apart (DESIGN: more is refused at hello), so a certificate begins that much
// earlier.
constexpr std::chrono::minutes kClockMargin{5};
// A new list is expected this often; a member says when its own is older.
constexpr std::chrono::hours kListFresh{24 * 30};
// How long an entry outlives its certificate: by then nobody's clock can be so wrong that it would be accepted.
constexpr std::chrono::hours kEntryKept{24 * 30};
constexpr std::chrono::hours kValidityMax{24 * 365 * 10};

fs::path secret_file(const fs::path& folder) {
  return folder / "authority.secret";
}
fs::path anchor_file(const fs::path& folder) {
  return folder / "anchor.cert";
}
fs::path list_file(const fs::path& folder) {
  return folder / "revocations.list";
}
fs::path issued_file(const fs::path& folder, const Serial& serial) {
  return folder / "issued" / (to_string(serial) + ".cert");
}
fs::path revoked_file(const fs::path& folder, const Serial& serial) {
  return folder / "revoked" / (to_string(serial) + ".cert");
}

Error refused(std::string message) {
  return {ErrorCode::Refused, std::move(message)};
}

Result<void> check_terms(const Terms& terms) {
  if (auto roles = check_one_class(terms.roles); !roles) return roles;
  if (terms.validity < std::chrono::minutes(1) || terms.validity > kValidityMax) {
    return Error{ErrorCode::BadInput, "a certificate lasts from 1 minute to 10 years"};
  }
  if (terms.issuing && !may(terms.roles, Verb::Issue)) {
    return Error{ErrorCode::BadInput, "an issuing certificate needs the role admin, not " + to_string(terms.roles)};
  }
  return {};
}

std::vector<std::string> sorted(std::vector<std::string> groups) {
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  return groups;
}

Certificate certificate_for(const CertificateRequest& request, const Terms& terms, const std::string& federation,
                            const MemberId& issuer, WallTime now) {
  Certificate c;
  c.federation = federation;
  c.serial = random_id<Serial>();
  c.issuer = issuer;
  c.subject = request.subject;
  c.transport_key = request.transport_key;
  c.signing_key = request.signing_key;
  c.roles = terms.roles;
  c.groups = sorted(terms.groups);
  c.issued = now;
  c.not_before = terms.not_before.value_or(now - kClockMargin);
  c.not_after = c.not_before + terms.validity;
  c.quota = terms.quota;
  c.issuing = terms.issuing;
  if (c.issuing) c.issuing->groups = sorted(c.issuing->groups);
  return c;
}

// What a decoder would refuse must never be signed: the terms came from a person.
Result<ByteString> body_of(const Certificate& certificate) {
  ByteString body = encode(certificate);
  if (const auto again = decode_certificate(body); !again) return again.error();
  return body;
}

Result<CertificateRequest> accepted_request(const Signed& record, const Terms& terms, const std::string& federation) {
  auto request = verify_request(record);
  if (!request) return request;
  if (!request->federation.empty() && request->federation != federation) {
    return refused("the request of " + request->subject + " is for federation " + request->federation + ", not " +
                   federation);
  }
  if (auto good = check_terms(terms); !good) return good.error();
  return request;
}

// Certificates kept in a folder, one file each.
void load_certificates(const fs::path& folder, bool revoked, std::vector<Issued>& into) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    if (entry.path().extension() != ".cert") continue;
    const Bundle bundle = read_bundle(entry.path()).or_throw();
    if (!bundle.chain) throw Failure(ErrorCode::BadInput, entry.path().string() + " holds no certificate");
    into.push_back({decode_certificate(bundle.chain->links.front().body).or_throw(), revoked});
  }
}

}  // namespace

Authority::Authority(const std::string& federation, std::unique_ptr<SecretKeys> keys)
    : keys_(keys != nullptr ? std::move(keys) : SecretKeys::generate()), anchor_{federation, keys_->signing_key()} {
  TOMOGRID_ASSERT(job::is_name(federation));
  revocations_.federation = federation;
}

Authority::~Authority() = default;

void Authority::load() {
  const auto list = read_bundle(list_file(folder_));
  if (list && list->revocations) {
    revocations_ = verify_revocations(*list->revocations, anchor_).or_throw();
    revocation_record_ = list->revocations;
  } else if (!list && list.error().code != ErrorCode::NotFound) {
    throw Failure(list.error());
  }
  load_certificates(folder_ / "issued", false, issued_);
  load_certificates(folder_ / "revoked", true, issued_);
  // A crash between publishing a list and moving the file leaves it under issued/: the list decides.
  for (Issued& issued : issued_) issued.revoked = issued.revoked || revocations_.revokes(issued.certificate.serial);
  std::sort(issued_.begin(), issued_.end(), [](const Issued& a, const Issued& b) {
    return std::tie(a.certificate.issued, a.certificate.serial) < std::tie(b.certificate.issued, b.certificate.serial);
  });
}

Result<void> Authority::check_free(const CertificateRequest& request, WallTime now) const {
  for (const auto& [certificate, revoked] : issued_) {
    const bool signing = certificate.signing_key == request.signing_key;
    const bool transport = certificate.transport_key == request.transport_key;
    if (revoked && (signing || transport)) {
      return refused("the keys of " + request.subject + " were revoked (as " + certificate.subject +
                     "); make new ones: tomogrid certs request");
    }
    if (revoked || certificate.not_after < now) continue;
    const bool name = certificate.subject == request.subject;
    if (name && !(signing && transport)) {
      return refused("the name " + request.subject + " belongs to " + short_text(certificate.member()) + " until " +
                     iso_time(certificate.not_after.unix_ms) + "; revoke that first, or choose another name");
    }
    if (!name && (signing || transport)) {
      return refused("the keys of " + request.subject + " are those of " + certificate.subject +
                     ", which has a live certificate; one name per member");
    }
  }
  return {};
}

Result<CertificateChain> Authority::issue(const Signed& record, const Terms& terms, WallTime now) {
  const auto request = accepted_request(record, terms, anchor_.federation);
  if (!request) return request.error();
  if (auto free = check_free(*request, now); !free) return free.error();
  const Certificate certificate = certificate_for(*request, terms, anchor_.federation, keys_->member(), now);
  auto body = body_of(certificate);
  if (!body) return body.error();
  CertificateChain chain{{sign(*keys_, kinds::certificate, *std::move(body))}};
  if (!folder_.empty()) {
    Bundle bundle;
    bundle.chain = chain;
    if (auto saved = write_bundle(issued_file(folder_, certificate.serial), bundle); !saved) return saved.error();
  }
  issued_.push_back({certificate, false});
  return chain;
}

Result<Signed> Authority::revoke(const std::string& who, WallTime now) {
  const auto member = parse_member_id(who);
  const auto serial = parse_serial(who);
  std::vector<Certificate> named;
  for (const auto& [certificate, revoked] : issued_) {
    if (revoked || certificate.not_after < now) continue;
    if (certificate.subject == who || certificate.member() == member || certificate.serial == serial) {
      named.push_back(certificate);
    }
  }
  if (named.empty()) {
    return Error{ErrorCode::NotFound, "no live certificate of " + printable(who) +
                                          " was issued by this authority; give a " +
                                          "name, a member id, a serial, or the certificate's file"};
  }
  return publish(named, now);
}

Result<Signed> Authority::revoke(const Certificate& certificate, WallTime now) {
  return publish({certificate}, now);
}

Result<Signed> Authority::refresh_revocations(WallTime now) {
  return publish({}, now);
}

Result<Signed> Authority::publish(const std::vector<Certificate>& revoked, WallTime now) {
  RevocationList next = revocations_;
  next.number += 1;
  // Never before the last: judged_time() of members goes only forward.
  next.issued = std::max(now, revocations_.issued);
  next.stale_after = next.issued + kListFresh;
  std::erase_if(next.entries, [&](const Revocation& r) { return r.not_after + kEntryKept < now; });
  for (const Certificate& c : revoked) {
    if (next.revokes(c.serial)) continue;
    next.entries.push_back({.serial = c.serial,
                            .member = c.member(),
                            .transport_key = c.transport_key,
                            .revoked = now,
                            .not_after = c.not_after});
  }
  std::sort(next.entries.begin(), next.entries.end(),
            [](const Revocation& a, const Revocation& b) { return a.serial < b.serial; });
  if (next.entries.size() > kRevocationsMax) {
    return refused("the revocation list would hold " + std::to_string(next.entries.size()) +
                   " entries, more than the " + std::to_string(kRevocationsMax) +
                   " that fit a message; issue shorter certificates, so that they end by themselves");
  }
  Signed record = sign(*keys_, kinds::revocations, encode(next));
  if (!folder_.empty()) {
    Bundle bundle;
    bundle.revocations = record;
    if (auto saved = write_bundle(list_file(folder_), bundle); !saved) return saved.error();
  }
  revocations_ = std::move(next);
  revocation_record_ = record;
  for (Issued& issued : issued_) {
    if (issued.revoked || !revocations_.revokes(issued.certificate.member())) continue;
    issued.revoked = true;
    std::error_code late;  // the list on disk decides; a file left behind is moved at the next revocation
    if (!folder_.empty()) {
      fs::rename(issued_file(folder_, issued.certificate.serial), revoked_file(folder_, issued.certificate.serial),
                 late);
    }
  }
  return record;
}

Result<Anchor> create_authority(const fs::path& folder, const std::string& federation, const Passphrase& passphrase,
                                WallTime now, SealCost cost) try {
  if (!job::is_name(federation)) {
    return Error{ErrorCode::BadInput, "federation name \"" + printable(federation) +
                                          "\": 1 to 63 of a-z, 0-9, dot and hyphen are allowed, no leading dot"};
  }
  make_private_folder(folder);
  make_private_folder(folder / "issued");
  make_private_folder(folder / "revoked");
  auto keys = SecretKeys::generate();
  // The key is written first and never replaced, so a second run cannot put another anchor beside it.
  auto written = write_secret(secret_file(folder), *keys->stored(), SecretPurpose::Authority, &passphrase, cost);
  if (!written) return written.error();
  Authority authority(federation, std::move(keys));
  Bundle trust, list;
  trust.anchor = authority.anchor();
  if (auto saved = write_bundle(anchor_file(folder), trust); !saved) return saved.error();
  list.revocations = authority.refresh_revocations(now).or_throw();
  if (auto saved = write_bundle(list_file(folder), list); !saved) return saved.error();
  return authority.anchor();
} catch (const Failure& failure) {
  return failure.error();
}

Result<std::unique_ptr<Authority>> open_authority(const fs::path& folder, const Passphrase& passphrase) try {
  const auto trust = read_bundle(anchor_file(folder));
  if (!trust && trust.error().code == ErrorCode::NotFound) {
    return Error{ErrorCode::NotFound,
                 "no authority at " + folder.string() + "; run: tomogrid certs init --federation NAME"};
  }
  if (!trust) return trust.error();
  if (!trust->anchor) return Error{ErrorCode::BadInput, anchor_file(folder).string() + " holds no anchor"};
  const auto secret = read_secret(secret_file(folder), SecretPurpose::Authority, &passphrase);
  if (!secret) return secret.error();
  auto keys = SecretKeys::from_stored(**secret);
  if (!keys) return keys.error();
  if ((*keys)->signing_key() != trust->anchor->authority) {
    return refused(anchor_file(folder).string() + " is not about the key in " + secret_file(folder).string());
  }
  auto authority = std::make_unique<Authority>(trust->anchor->federation, *std::move(keys));
  authority->folder_ = folder;
  authority->load();
  return authority;
} catch (const Failure& failure) {
  return failure.error();
}

Result<CertificateChain> issue_by(const Identity& issuer, const Signed& record, const Terms& terms, WallTime now) {
  const auto request = accepted_request(record, terms, issuer.federation());
  if (!request) return request.error();
  if (issuer.chain().links.size() >= kChainLengthMax) return refused("a chain has at most 3 certificates");
  auto body = body_of(certificate_for(*request, terms, issuer.federation(), issuer.member(), now));
  if (!body) return body.error();
  CertificateChain chain{{issuer.signed_record(kinds::certificate, *std::move(body))}};
  chain.links.insert(chain.links.end(), issuer.chain().links.begin(), issuer.chain().links.end());
  const WallTime judged = std::max(now, terms.not_before.value_or(now));
  const auto verified = verify_chain(chain, issuer.anchor(), judged, RevocationList{});
  if (!verified) return verified.error();
  return chain;
}

Result<std::unique_ptr<Identity>> make_identity(Authority& authority, const std::string& name, Roles roles,
                                                WallTime now, std::unique_ptr<SecretKeys> keys) {
  if (keys == nullptr) keys = SecretKeys::generate();
  const Signed request =
      make_request(*keys, {.federation = authority.anchor().federation, .subject = name, .roles = roles, .made = now});
  auto chain = authority.issue(request, {.roles = roles}, now);
  if (!chain) return chain.error();
  return Identity::make(std::move(keys), *std::move(chain), authority.anchor());
}

}  // namespace tomogrid::certs
