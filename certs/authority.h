// The authority: the federation's one root of trust. Offline: nothing here speaks to the network.
//
//   authority.secret  Ed25519 key, mode 0600, always sealed with a passphrase
//   anchor.cert       federation name and public key, to hand out
//   issued/           every certificate it signed, by serial
//   revoked/          those it took back: their keys are never certified again
//   revocations.list  the newest list
#pragma once

#include <chrono>
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

// What the authority grants; it need not be what was asked.
struct Terms {
  Roles roles = {};
  std::vector<std::string> groups = {};
  std::chrono::milliseconds validity = std::chrono::hours(24 * 365);
  std::optional<WallTime> not_before = {};  // default: now less 5 minutes, for clocks a little behind
  Quota quota = {};
  std::optional<IssuingLimits> issuing = {};
};

// A certificate that the authority signed, and whether it was taken back.
struct Issued {
  Certificate certificate;
  bool revoked = false;
};

// Signs certificates and revocation lists, and remembers what it signed. One thread. With a folder every change is on
// disk before it is returned; without one (tests, simulations) it lives in memory.
class Authority final {
 public:
  // In memory, with new keys or with those of `keys`. Requires job::is_name(federation).
  explicit Authority(const std::string& federation, std::unique_ptr<SecretKeys> keys = nullptr);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  const Anchor& anchor() const { return anchor_; }
  // Number 0 before the first list is published.
  const RevocationList& revocations() const { return revocations_; }
  const std::optional<Signed>& revocation_record() const { return revocation_record_; }
  // Every certificate that it signed itself, by time of issue.
  const std::vector<Issued>& issued() const { return issued_; }

  // Unverified: not signed by the key it names. Refused: another federation; a name that has a live certificate with
  // other keys; keys of another live member; keys once revoked. BadInput: roles of both classes, bad terms. Storage.
  // The same member asking again with the same keys renews.
  Result<CertificateChain> issue(const Signed& request, const Terms& terms, WallTime now);

  // Revokes every live certificate that `who` names: a subject, a member id, or a serial. NotFound. The new list has
  // the next number, and is to be handed to any member of the federation, which passes it on.
  Result<Signed> revoke(const std::string& who, WallTime now);
  // The same for one certificate, for what an issuing key signed (the authority keeps no record of those).
  Result<Signed> revoke(const Certificate& certificate, WallTime now);
  // A list with the next number and no new entry, so that members do not call theirs stale.
  Result<Signed> refresh_revocations(WallTime now);

 private:
  friend Result<std::unique_ptr<Authority>> open_authority(const std::filesystem::path&, const Passphrase&);
  void load();
  Result<void> check_free(const CertificateRequest& request, WallTime now) const;
  Result<Signed> publish(const std::vector<Certificate>& revoked, WallTime now);
  std::unique_ptr<SecretKeys> keys_;
  Anchor anchor_;
  std::filesystem::path folder_;  // empty: in memory
  std::vector<Issued> issued_;
  RevocationList revocations_;
  std::optional<Signed> revocation_record_;
};

// Signs with an issuing key; `issuer` must hold an issuing certificate. The chain is checked against its limits before
// it is returned, since every member would refuse it otherwise.
Result<CertificateChain> issue_by(const Identity& issuer, const Signed& request, const Terms& terms, WallTime now);

// Makes the folder (0700) with a new sealed key and a first, empty revocation list. Conflict when one is there.
Result<Anchor> create_authority(const std::filesystem::path& folder, const std::string& federation,
                                const Passphrase& passphrase, WallTime now, SealCost cost = SealCost::moderate());
// NotFound, "wrong passphrase" (Refused), BadInput.
Result<std::unique_ptr<Authority>> open_authority(const std::filesystem::path& folder, const Passphrase& passphrase);

// A whole member in memory: new keys (or those of `keys`), request, certificate. For tests and simulations.
Result<std::unique_ptr<Identity>> make_identity(Authority& authority, const std::string& name, Roles roles,
                                                WallTime now, std::unique_ptr<SecretKeys> keys = nullptr);

}  // namespace tomogrid::certs
