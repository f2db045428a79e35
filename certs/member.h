// A member's folder: keys made where they live, the chain it was given, whom it trusts, and who is out.
//
//   keys.secret       both secret keys, mode 0600, sealed when a passphrase was given
//   request.cert      what it asks the authority for
//   chain.cert        its certificate chain            (after install)
//   anchor.cert       the federation's authority        (after install)
//   revocations.list  the newest list it has seen       (after install or the first hello)
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "certs/certificate.h"
#include "certs/identity.h"
#include "certs/revocation.h"
#include "certs/secret.h"

namespace tomogrid::certs {

// `home`/member, or `home`/members/NAME when there are several on one machine.
std::filesystem::path member_folder(const std::filesystem::path& home, const std::optional<std::string>& name);
std::filesystem::path authority_folder(const std::filesystem::path& home);
std::filesystem::path revocations_file(const std::filesystem::path& member_folder);

struct NewMember {
  std::string name = {};
  Roles roles = {};
  std::vector<std::string> groups = {};
  std::string federation = {};  // may be empty
};
// Makes the folder (0700), new keys and the request. Conflict when keys are there already; Refused when the folder is
// open to others. `passphrase` may be null: then file permissions alone protect the keys.
Result<Signed> create_member(const std::filesystem::path& folder, const NewMember& member, WallTime now,
                             const Passphrase* passphrase = nullptr, SealCost cost = SealCost::interactive());

// Puts chain, anchor and (if any) revocations into the folder after checking that they fit its keys. An anchor already
// there is never replaced by another (Conflict): changing whom one trusts takes a new folder.
Result<void> install_member(const std::filesystem::path& folder, const CertificateChain& chain, const Anchor& anchor,
                            const std::optional<Signed>& revocations, WallTime now);

// Everything checked: permissions, keys against chain, chain against anchor and revocations at `now`. NotFound says
// which step is missing and the command that does it; otherwise as read_secret() and verify_chain().
Result<std::unique_ptr<Identity>> load_identity(const std::filesystem::path& folder, WallTime now,
                                                const Passphrase* passphrase = nullptr);

// True when keys.secret is there and sealed: the command then asks for the passphrase.
bool needs_passphrase(const std::filesystem::path& folder);

// A member at work, as its service lends it to wire::Loop: who it is, and the newest revocation list on disk. One
// thread.
class Member final {
 public:
  // Loads both from the member's folder. Throws Failure as load_identity() and RevocationStore do.
  Member(const std::filesystem::path& folder, WallTime now, const Passphrase* passphrase = nullptr)
      : Member(load_identity(folder, now, passphrase).or_throw(), revocations_file(folder)) {}
  // For tests: an identity made in memory, its list kept in `revocations`.
  Member(std::unique_ptr<Identity> identity, std::filesystem::path revocations)
      : identity_(std::move(identity)), revocations_(std::move(revocations), identity_->anchor()) {}
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;
  const Identity& identity() const { return *identity_; }
  RevocationStore& revocations() { return revocations_; }
  const RevocationStore& revocations() const { return revocations_; }

 private:
  std::unique_ptr<Identity> identity_;
  RevocationStore revocations_;
};

}  // namespace tomogrid::certs
