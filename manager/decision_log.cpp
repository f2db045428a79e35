#include "manager/decision_log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/log.h"
#include "base/text.h"
#include "certs/signed.h"
#include "manager/placement.h"

namespace tomogrid::manager {

namespace {

// A line is bounded: a signed record of at most 64 KiB in hexadecimal, the key and the request.
constexpr std::size_t kLineLimit = 2 * (certs::kSignedBodyLimit + 512) + 256;

Error storage(const std::filesystem::path& file, const char* what) {
  return {ErrorCode::Storage, std::string("cannot ") + what + " " + file.string() + ": " + std::strerror(errno)};
}

// Cuts off what comes after the last line end.
void cut_unfinished(int descriptor, const std::filesystem::path& file) {
  const off_t size = ::lseek(descriptor, 0, SEEK_END);
  off_t end = size;
  char byte = '\n';
  while (end > 0 && ::pread(descriptor, &byte, 1, end - 1) == 1 && byte != '\n') --end;
  if (end == size) return;
  if (::ftruncate(descriptor, end) != 0) throw Failure(storage(file, "shorten"));
  log::warning("decisions.unfinished-line-removed", {{"file", file.string()}});
}

std::optional<std::string> fault_of(std::string_view line, const std::optional<certs::MemberId>& expected,
                                    ReplayReport& report) {
  const std::size_t first = line.find(' '),
                    second = line.find(' ', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos) return "it does not have three parts";
  const auto request = job::parse_id<job::RequestId>(line.substr(0, first));
  const auto key_bytes = from_hex(line.substr(first + 1, second - first - 1)),
             record_bytes = from_hex(line.substr(second + 1));
  if (!request || !key_bytes || key_bytes->size() != 32 || !record_bytes) return "it is not hexadecimal throughout";
  certs::SigningPublicKey key;
  std::copy(key_bytes->begin(), key_bytes->end(), key.bytes.begin());
  const auto record = certs::decode_signed(*record_bytes);
  if (!record) return record.error().message;
  const auto decision = check_decision(*record, key);
  if (!decision) return decision.error().message;
  if (decision->place.request != *request) return "it is filed under another request";
  if (expected && decision->decided_by != *expected)
    return "it was decided by " + certs::short_text(decision->decided_by) + ", another member";
  ++(decision->winner ? report.placed : report.unplaceable);
  return std::nullopt;
}

}  // namespace

DecisionLog::DecisionLog(std::filesystem::path file, const certs::SigningPublicKey& decider)
    : file_(std::move(file)), decider_(to_hex(decider.bytes)) {
  descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (descriptor_ < 0) throw Failure(storage(file_, "open"));
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    throw Failure(ErrorCode::Conflict,
                  file_.string() + " is written by another process; is this manager running already?");
  }
  cut_unfinished(descriptor_, file_);
}

DecisionLog::~DecisionLog() {
  sync();
  ::close(descriptor_);
}

Result<void> DecisionLog::commit(const std::vector<wire::Row>& rows) {
  std::string lines;
  for (const wire::Row& row : rows) {
    TOMOGRID_ASSERT(row.table == "decision");
    lines += row.key + " " + decider_ + " " + row.body + "\n";
  }
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  std::size_t done = 0;
  while (done < lines.size()) {
    const ssize_t wrote = ::write(descriptor_, lines.data() + done, lines.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) {
      const Error error = storage(file_, "write");
      if (::ftruncate(descriptor_, before) != 0) log::error("decisions.not-restored", {{"file", file_.string()}});
      return error;
    }
    done += static_cast<std::size_t>(wrote);
  }
  unsynced_ = true;
  return {};
}

void DecisionLog::sync() {
  if (std::exchange(unsynced_, false) && ::fdatasync(descriptor_) != 0)
    log::error("decisions.sync-failed", {{"reason", std::strerror(errno)}});
}

Result<ReplayReport> replay_log(const std::filesystem::path& file, const std::optional<certs::MemberId>& expected) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream)
    return Error{ErrorCode::NotFound,
                 "cannot open " + file.string() + "; a manager keeps its decisions in decisions.log of its --home"};
  ReplayReport report;
  std::string line;
  std::uint64_t number = 0;
  while (std::getline(stream, line)) {
    ++number;
    const auto fault =
        line.size() > kLineLimit ? std::optional<std::string>("it is too long") : fault_of(line, expected, report);
    if (!fault) continue;
    ++report.faults_total;
    if (report.faults.size() < 100) report.faults.push_back({number, *fault});
  }
  if (stream.bad()) return Error{ErrorCode::Storage, "cannot read " + file.string()};
  return report;
}

}  // namespace tomogrid::manager
