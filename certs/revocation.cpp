#include "certs/revocation.h"

#include <sys/stat.h>

#include <algorithm>

#include "certs/certificate.h"
#include "certs/files.h"

namespace tomogrid::certs {

std::string to_string(const Serial& serial) {
  return to_hex(serial.bytes);
}

std::optional<Serial> parse_serial(std::string_view text) {
  Serial serial;
  const auto bytes = from_hex(text);
  if (!bytes || bytes->size() != serial.bytes.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), serial.bytes.begin());
  return serial;
}

namespace {
template <class Predicate>
bool any(const std::vector<Revocation>& entries, Predicate&& predicate) {
  return std::any_of(entries.begin(), entries.end(), predicate);
}
}  // namespace

bool RevocationList::revokes(const Serial& serial) const {
  return any(entries, [&](const Revocation& r) { return r.serial == serial; });
}
bool RevocationList::revokes(const MemberId& member) const {
  return any(entries, [&](const Revocation& r) { return r.member == member; });
}
bool RevocationList::revokes(const TransportPublicKey& key) const {
  return any(entries, [&](const Revocation& r) { return r.transport_key == key; });
}

Result<RevocationList> verify_revocations(const Signed& record, const Anchor& anchor) {
  if (auto signature = verify(record, kinds::revocations, anchor.authority); !signature) {
    return Error{ErrorCode::Unverified, "a revocation list is not signed by the authority of " + anchor.federation +
                                            ": it was altered, or it is another authority's"};
  }
  auto list = decode_revocations(record.body);
  if (!list) return list;
  if (list->federation != anchor.federation) {
    return Error{ErrorCode::Refused,
                 "a revocation list is of federation " + list->federation + ", not of " + anchor.federation};
  }
  return list;
}

RevocationStore::RevocationStore(std::filesystem::path file, const Anchor& anchor)
    : file_(std::move(file)), federation_(anchor.federation), authority_(anchor.authority) {
  list_.federation = federation_;
  load().or_throw();
}

Result<void> RevocationStore::load() {
  const auto stored = read_bundle(file_);
  if (!stored && stored.error().code == ErrorCode::NotFound) return {};
  if (!stored) return stored.error();
  if (!stored->revocations) return Error{ErrorCode::BadInput, file_.string() + " holds no revocation list"};
  auto list = verify_revocations(*stored->revocations, {federation_, authority_});
  if (!list) return list.error();
  if (list->number <= list_.number) return {};
  list_ = *std::move(list);
  record_ = stored->revocations;
  return {};
}

RevocationStore::~RevocationStore() = default;

RevocationStore::Stamp RevocationStore::stamp() const {
  struct stat status {};
  if (::stat(file_.c_str(), &status) != 0) return {};
  return {status.st_ino, static_cast<std::uint64_t>(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

Result<bool> RevocationStore::refresh() {
  const Stamp now = stamp();
  if (now == seen_) return false;
  seen_ = now;
  const std::uint64_t before = list_.number;
  if (auto loaded = load(); !loaded) return loaded.error();
  return list_.number > before;
}

Result<RevocationStore::Offered> RevocationStore::offer(const Signed& record) {
  if (record_ && record == *record_) return Offered::Same;
  auto list = verify_revocations(record, {federation_, authority_});
  if (!list) return list.error();
  // A command of the same member may have put a newer one there: it is not to be replaced by what is newer only to us.
  if (auto loaded = load(); !loaded) return loaded.error();
  const std::string number = std::to_string(list->number);
  if (list->number < list_.number) {
    return Error{ErrorCode::Refused, "revocation list " + number + " is older than the list " +
                                         std::to_string(list_.number) + " that is known here"};
  }
  if (list->number == list_.number) {
    if (record_ && record.body == record_->body) return Offered::Same;
    return Error{ErrorCode::Conflict,
                 "two different revocation lists carry number " + number + ": tell the keeper of the authority's key"};
  }
  Bundle bundle;
  bundle.revocations = record;
  if (auto written = write_bundle(file_, bundle); !written) return written.error();
  list_ = *std::move(list);
  record_ = record;
  return Offered::Newer;
}

}  // namespace tomogrid::certs
