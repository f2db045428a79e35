#include "certs/audit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/text.h"
#include "certs/content_hash.h"

namespace tomogrid::certs {

namespace {

// A line is BODY without its closing brace, then this, 64 hexadecimal digits, and `"}`.
constexpr std::string_view kChainField = ",\"chain\":\"";
constexpr std::size_t kTail = kChainField.size() + 64 + 2;
constexpr std::size_t kTextMax = 512;
constexpr std::size_t kLineMax = 8 * 1024;

std::string reason() {
  return std::generic_category().message(errno);
}

[[noreturn]] void storage_failed(const char* what, const std::filesystem::path& file) {
  throw Failure(ErrorCode::Storage,
                std::string("cannot ") + what + " the audit log " + file.string() + ": " + reason());
}

std::filesystem::path head_file(const std::filesystem::path& file) {
  return file.string() + ".head";
}

job::Digest next_chain(const job::Digest& before, std::string_view body) {
  ByteString bytes(before.begin(), before.end());
  bytes.insert(bytes.end(), body.begin(), body.end());
  return sha256(bytes);
}

// Without the closing brace, so that the chain value can follow.
std::string body_of(std::uint64_t number, const AuditEntry& entry) {
  const auto text = [](std::string_view from) { return printable(from.substr(0, kTextMax)); };
  nlohmann::ordered_json line;
  line["line"] = number;
  line["time"] = iso_time(entry.time.unix_ms);
  line["unix_ms"] = entry.time.unix_ms;
  line["actor"] = entry.actor ? to_string(*entry.actor) : "";
  line["verb"] = text(entry.verb);
  line["job"] = entry.job ? to_string(*entry.job) : "";
  line["outcome"] = text(entry.outcome);
  line["detail"] = text(entry.detail);
  std::string body = line.dump();
  body.pop_back();
  return body;
}

std::string complete_line(std::string_view body, const job::Digest& chain) {
  return std::string(body).append(kChainField).append(to_hex(chain)).append("\"}\n");
}

// The state after `line` when it follows `head`; nullopt when it does not.
std::optional<AuditHead> follow(const AuditHead& head, std::string_view line) {
  if (line.size() <= kTail || !line.ends_with("\"}")) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - kTail);
  const AuditHead next{head.lines + 1, next_chain(head.chain, body)};
  const std::string number = "{\"line\":" + std::to_string(next.lines) + ",";
  if (!body.starts_with(number)) return std::nullopt;
  if (std::string(line) + "\n" != complete_line(body, next.chain)) return std::nullopt;
  return next;
}

struct Scan {
  AuditHead head;
  std::uint64_t good_bytes = 0;         // up to the end of the last line that follows
  bool unfinished = false;              // bytes without a newline stand at the end
  std::optional<std::uint64_t> broken;  // first line that does not follow
  std::optional<AuditHead> at;          // the state after `marked` lines
};

Result<Scan> scan(const std::filesystem::path& file, std::optional<std::uint64_t> marked) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) {
    std::error_code ignored;
    const auto code = std::filesystem::exists(file, ignored) ? ErrorCode::Storage : ErrorCode::NotFound;
    return Error{code, "cannot open the audit log " + file.string()};
  }
  Scan result;
  if (marked == 0) result.at = AuditHead{};
  std::string line;
  while (std::getline(stream, line)) {
    if (stream.eof()) {
      result.unfinished = true;
      break;
    }
    const auto next = line.size() <= kLineMax ? follow(result.head, line) : std::nullopt;
    if (!next) {
      result.broken = result.head.lines + 1;
      break;
    }
    result.head = *next;
    result.good_bytes += line.size() + 1;
    if (marked == next->lines) result.at = *next;
  }
  return result;
}

// "LINES HEX": what FILE.head holds. nullopt when it is not there or not that.
std::optional<AuditHead> read_head(const std::filesystem::path& file) {
  std::ifstream stream(head_file(file));
  std::string lines, chain;
  if (!(stream >> lines >> chain)) return std::nullopt;
  AuditHead head;
  const auto [end, error] = std::from_chars(lines.data(), lines.data() + lines.size(), head.lines);
  const auto bytes = from_hex(chain);
  if (error != std::errc{} || end != lines.data() + lines.size() || !bytes || bytes->size() != head.chain.size()) {
    return std::nullopt;
  }
  std::copy(bytes->begin(), bytes->end(), head.chain.begin());
  return head;
}

Error broken_at(const std::filesystem::path& file, std::uint64_t line) {
  return {ErrorCode::Unverified, "the audit log " + file.string() + " was changed: line " + std::to_string(line) +
                                     " does not follow the lines before it"};
}

// Does the log still contain what `head` recorded?
Result<void> check_head(const std::filesystem::path& file, const AuditHead& head, const char* from) {
  const auto scanned = scan(file, head.lines);
  if (!scanned) return scanned.error();
  if (!scanned->at) {
    return Error{ErrorCode::Unverified, "the audit log " + file.string() + " was cut: it has " +
                                            std::to_string(scanned->head.lines) + " lines and " + from + " says " +
                                            std::to_string(head.lines)};
  }
  if (*scanned->at != head) {
    return Error{ErrorCode::Unverified, "the audit log " + file.string() + " was rewritten: line " +
                                            std::to_string(head.lines) + " is not the one that " + from + " says"};
  }
  return {};
}

int open_private(const std::filesystem::path& file, int flags) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);
  if (fd < 0) storage_failed("open", file);
  return fd;
}

void write_all(int fd, std::string_view text, const std::filesystem::path& file) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) storage_failed("write", file);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace

Result<AuditHead> verify_audit(const std::filesystem::path& file, const std::optional<AuditHead>& expected) {
  const auto scanned = scan(file, std::nullopt);
  if (!scanned) return scanned.error();
  if (scanned->broken) return broken_at(file, *scanned->broken);
  if (scanned->unfinished) {
    return Error{ErrorCode::Unverified,
                 "the audit log " + file.string() + " ends within line " + std::to_string(scanned->head.lines + 1)};
  }
  const auto side = read_head(file);
  if (!side && scanned->head.lines > 0) {
    return Error{ErrorCode::Unverified, head_file(file).string() +
                                            " is missing or damaged: whether lines are missing at " +
                                            "the end of the log cannot be told"};
  }
  if (side) {
    if (auto good = check_head(file, *side, "its head file"); !good) return good.error();
  }
  if (expected) {
    if (auto good = check_head(file, *expected, "the head given"); !good) return good.error();
  }
  return scanned->head;
}

AuditLog::AuditLog(std::filesystem::path file, WallTime now) : file_(std::move(file)) {
  log_ = open_private(file_, O_APPEND);
  try {
    if (::flock(log_, LOCK_EX | LOCK_NB) != 0) {
      throw Failure(ErrorCode::Conflict, "another process writes the audit log " + file_.string());
    }
    const Scan scanned = scan(file_, std::nullopt).or_throw();
    if (scanned.broken) {
      throw Failure(ErrorCode::Unverified,
                    broken_at(file_, *scanned.broken).message + "; move it aside, keep it, and start again");
    }
    const auto side = read_head(file_);
    if (side) check_head(file_, *side, "its head file").or_throw();
    side_ = open_private(head_file(file_), 0);
    head_ = scanned.head;
    // Only a power cut leaves an unfinished line: a line is one write, and only whole lines were acknowledged.
    if (scanned.unfinished && ::ftruncate(log_, static_cast<off_t>(scanned.good_bytes)) != 0) {
      storage_failed("repair", file_);
    }
    const auto note = [&](const char* verb, const char* detail) {
      append({.time = now, .verb = verb, .outcome = "done", .detail = detail});
    };
    if (scanned.unfinished) note("log-repaired", "an unfinished last line was removed");
    if (!side && scanned.head.lines > 0) note("log-head-missing", "lines may have been removed at the end before this");
    sync();
  } catch (...) {
    if (side_ >= 0) ::close(side_);
    ::close(log_);
    throw;
  }
}

AuditLog::~AuditLog() {
  try {
    sync();
  } catch (const Failure&) {
    // Disk gone: every line is with the kernel, and the head only lags behind.
  }
  ::close(side_);
  ::close(log_);
}

void AuditLog::append(const AuditEntry& entry) {
  const std::string body = body_of(head_.lines + 1, entry);
  const AuditHead next{head_.lines + 1, next_chain(head_.chain, body)};
  write_all(log_, complete_line(body, next.chain), file_);
  head_ = next;
}

void AuditLog::sync() {
  // The log first: a head that reached the disk before its lines would look like lines removed.
  if (::fdatasync(log_) != 0) storage_failed("sync", file_);
  // One small write at the start of the file; the width of the number keeps its length fixed.
  std::string number = std::to_string(head_.lines);
  number.insert(0, 20 - std::min<std::size_t>(20, number.size()), '0');
  const std::string text = number + " " + to_hex(head_.chain) + "\n";
  if (::pwrite(side_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) storage_failed("write", file_);
  if (::fdatasync(side_) != 0) storage_failed("sync", file_);
}

}  // namespace tomogrid::certs
