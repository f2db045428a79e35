#include "certs/member.h"

#include <algorithm>

#include "base/file.h"
#include "certs/files.h"
#include "job/job.h"

namespace tomogrid::certs {

namespace {

namespace fs = std::filesystem;

fs::path keys_file(const fs::path& folder) {
  return folder / "keys.secret";
}
fs::path request_file(const fs::path& folder) {
  return folder / "request.cert";
}
fs::path chain_file(const fs::path& folder) {
  return folder / "chain.cert";
}
fs::path anchor_file(const fs::path& folder) {
  return folder / "anchor.cert";
}

Error missing(const fs::path& file, const std::string& what, const std::string& remedy) {
  return {ErrorCode::NotFound, "no " + what + " at " + file.string() + "; " + remedy};
}

// A part of the folder, or which command puts it there.
template <class T>
Result<T> part(const fs::path& file, std::optional<T> Bundle::*member, const std::string& what,
               const std::string& remedy) {
  auto bundle = read_bundle(file);
  if (!bundle) return bundle.error().code == ErrorCode::NotFound ? missing(file, what, remedy) : bundle.error();
  auto& found = (*bundle).*member;
  if (!found) return Error{ErrorCode::BadInput, file.string() + " holds no " + what};
  return *std::move(found);
}

constexpr const char* kInstall = "run: tomogrid certs install FILE, with the file that the authority sent";

Result<void> check_name(const std::string& name, const char* what) {
  if (job::is_name(name)) return {};
  return Error{ErrorCode::BadInput, std::string(what) + " \"" + printable(name) +
                                        "\": 1 to 63 of a-z, 0-9, dot and hyphen are allowed, no leading dot"};
}

Result<void> check_new(const NewMember& member) {
  if (auto name = check_name(member.name, "member name"); !name) return name;
  if (!member.federation.empty()) {
    if (auto name = check_name(member.federation, "federation"); !name) return name;
  }
  if (member.groups.size() > kGroupsMax) return Error{ErrorCode::BadInput, "too many groups"};
  for (const std::string& group : member.groups) {
    if (auto name = check_name(group, "group"); !name) return name;
  }
  return check_one_class(member.roles);
}

// The chain must hold for this folder's request, so that keys need not be unsealed to install.
Result<void> check_fits(const fs::path& folder, const CertificateChain& chain, const Anchor& anchor,
                        const RevocationList& revocations, WallTime now) {
  auto record =
      part(request_file(folder), &Bundle::request, "request", "run: tomogrid certs request --name NAME --role ROLE");
  if (!record) return record.error();
  const auto request = verify_request(*record);
  if (!request) return request.error();
  const auto verified = verify_chain(chain, anchor, judged_time(now, revocations.issued), revocations);
  if (!verified) return verified.error();
  const Certificate& certificate = verified->certificate;
  if (certificate.signing_key != request->signing_key || certificate.transport_key != request->transport_key) {
    return Error{ErrorCode::Refused, "the certificate of " + certificate.subject +
                                         " is about other keys than those in " + folder.string() +
                                         "; it answers another request"};
  }
  return {};
}

// An authority that this folder trusts already is never replaced.
Result<void> check_anchor(const fs::path& folder, const Anchor& anchor) {
  const auto there = read_bundle(anchor_file(folder));
  if (!there && there.error().code == ErrorCode::NotFound) return {};
  if (!there) return there.error();
  if (there->anchor == anchor) return {};
  return Error{ErrorCode::Conflict, folder.string() +
                                        " trusts another authority already; a member of two federations " +
                                        "has two folders (--member NAME)"};
}

// The newer of the list on disk and the list that came along. An older one with an older certificate is no error.
Result<void> take_revocations(RevocationStore& store, const std::optional<Signed>& record, std::uint64_t number) {
  if (!record || number < store.list().number) return {};
  const auto offered = store.offer(*record);
  return offered ? Result<void>() : offered.error();
}

}  // namespace

fs::path member_folder(const fs::path& home, const std::optional<std::string>& name) {
  return name ? home / "members" / *name : home / "member";
}

fs::path authority_folder(const fs::path& home) {
  return home / "authority";
}

fs::path revocations_file(const fs::path& member_folder) {
  return member_folder / "revocations.list";
}

Result<Signed> create_member(const fs::path& folder, const NewMember& member, WallTime now,
                             const Passphrase* passphrase, SealCost cost) try {
  if (auto good = check_new(member); !good) return good.error();
  make_private_folder(folder);
  const auto keys = SecretKeys::generate();
  CertificateRequest request{.federation = member.federation,
                             .subject = member.name,
                             .roles = member.roles,
                             .groups = member.groups,
                             .made = now};
  std::sort(request.groups.begin(), request.groups.end());
  request.groups.erase(std::unique(request.groups.begin(), request.groups.end()), request.groups.end());
  Signed record = make_request(*keys, std::move(request));
  auto written = write_secret(keys_file(folder), *keys->stored(), SecretPurpose::Member, passphrase, cost);
  if (!written) return written.error();
  Bundle bundle;
  bundle.request = record;
  if (auto saved = write_bundle(request_file(folder), bundle); !saved) return saved.error();
  return record;
} catch (const Failure& failure) {
  return failure.error();  // make_private_folder throws; callers of this want one kind of answer
}

Result<void> install_member(const fs::path& folder, const CertificateChain& chain, const Anchor& anchor,
                            const std::optional<Signed>& revocations, WallTime now) try {
  if (auto trusted = check_anchor(folder, anchor); !trusted) return trusted;
  // Judged before anything is written: a bundle of a stranger leaves no trace.
  RevocationList offered{.federation = anchor.federation};
  if (revocations) {
    auto list = verify_revocations(*revocations, anchor);
    if (!list) return list.error();
    offered = *std::move(list);
  }
  if (auto fits = check_fits(folder, chain, anchor, offered, now); !fits) return fits;
  RevocationStore store(revocations_file(folder), anchor);
  if (auto taken = take_revocations(store, revocations, offered.number); !taken) return taken;
  if (auto fits = check_fits(folder, chain, anchor, store.list(), now); !fits) return fits;
  Bundle trust, own;
  trust.anchor = anchor;
  own.chain = chain;
  if (auto written = write_bundle(anchor_file(folder), trust); !written) return written;
  return write_bundle(chain_file(folder), own);
} catch (const Failure& failure) {
  return failure.error();
}

Result<std::unique_ptr<Identity>> load_identity(const fs::path& folder, WallTime now,
                                                const Passphrase* passphrase) try {
  auto anchor = part(anchor_file(folder), &Bundle::anchor, "federation anchor", kInstall);
  if (!anchor) return anchor.error();
  auto chain = part(chain_file(folder), &Bundle::chain, "certificate", kInstall);
  if (!chain) return chain.error();
  const RevocationStore revocations(revocations_file(folder), *anchor);
  const auto verified =
      verify_chain(*chain, *anchor, judged_time(now, revocations.latest_signed()), revocations.list());
  if (!verified) return verified.error();
  const auto secret = read_secret(keys_file(folder), SecretPurpose::Member, passphrase);
  if (!secret) return secret.error();
  auto keys = SecretKeys::from_stored(**secret);
  if (!keys) return keys.error();
  return Identity::make(*std::move(keys), *std::move(chain), *std::move(anchor));
} catch (const Failure& failure) {
  return failure.error();
}

bool needs_passphrase(const fs::path& folder) {
  const auto sealed = secret_is_sealed(keys_file(folder));
  return sealed && *sealed;
}

}  // namespace tomogrid::certs
