#include "client/household.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <memory>

#include "base/file.h"
#include "certs/authority.h"
#include "certs/member.h"
#include "certs/random.h"

namespace tomogrid::client {

namespace fs = std::filesystem;

namespace {

// Whoever reads this folder holds every member's keys anyway: the passphrase lies beside what it seals, and its seal is
// cheap.
std::unique_ptr<certs::Passphrase> passphrase_of(const fs::path& folder) {
  const fs::path file = folder / "authority.passphrase";
  if (!fs::exists(file)) write_file(file, bytes_of(to_hex(certs::random_bytes<16>())), FileMode::Private).or_throw();
  const ByteString text = read_file(file, Bytes(4096)).or_throw();
  return certs::passphrase_of(text_of(text));
}

std::unique_ptr<certs::Authority> open_or_create(const fs::path& folder, WallTime now) {
  const auto passphrase = passphrase_of(folder);
  const fs::path place = folder / "authority";
  if (!fs::exists(place / "anchor.cert")) {
    certs::create_authority(place, "up." + to_hex(certs::random_bytes<3>()), *passphrase, now,
                            certs::SealCost::minimal())
        .or_throw();
  }
  return certs::open_authority(place, *passphrase).or_throw();
}

void admit(certs::Authority& authority, const fs::path& folder, const std::string& name, certs::Roles roles,
           WallTime now) {
  if (certs::load_identity(folder, now)) return;
  fs::remove_all(folder);             // absent, expired or half made: a new one
  (void)authority.revoke(name, now);  // of a live one whose keys are gone; NotFound otherwise
  const auto request =
      certs::create_member(
          folder, {.name = name, .roles = roles, .groups = {}, .federation = authority.anchor().federation}, now)
          .or_throw();
  certs::Terms terms;
  terms.roles = roles;
  terms.quota.jobs = 64;
  const auto chain = authority.issue(request, terms, now).or_throw();
  certs::install_member(folder, chain, authority.anchor(), authority.revocation_record(), now).or_throw();
}

}  // namespace

Household::Household(fs::path folder, unsigned nodes, WallTime now) : folder_(std::move(folder)) {
  make_private_folder(folder_);
  lock_ = ::open((folder_ / "up.lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (lock_ < 0 || ::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    if (lock_ >= 0) ::close(lock_);
    throw Failure(ErrorCode::Conflict,
                  "a federation of " + folder_.string() + " is up already, or the folder cannot be written");
  }
  make_private_folder(folder_ / "log");
  const auto authority = open_or_create(folder_, now);
  admit(*authority, member("registry"), "registry", certs::Role::Registry, now);
  admit(*authority, member("manager"), "manager", certs::Role::Manager, now);
  admit(*authority, member("clinician"), "clinician", certs::Role::Clinician, now);
  admit(*authority, member("admin"), "admin", certs::Role::Admin, now);
  for (unsigned i = 1; i <= nodes; ++i) {
    nodes_.push_back("node-" + std::to_string(i));
    admit(*authority, member(nodes_.back()), nodes_.back(), certs::Role::Node, now);
  }
}

Household::~Household() {
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace tomogrid::client
