// Who did what to which job: a log that can only grow, each line bound to all before it.
//
// One JSON object a line. A line's `chain` is SHA-256 over the previous line's chain value and this line's text before
// it, so a line altered, removed, inserted or moved breaks the chain there. Where the log ended at the last sync() is
// kept in FILE.head, so that lines missing at the end are found too. Against someone who rewrites both files, keep the
// head elsewhere now and then (`head()`), and give it to verify_audit().
//
// Durability: append() hands the line to the kernel (it survives the process); sync() makes it survive the machine. A
// role calls sync() before it acknowledges a change of a job, and within a second of any line otherwise; not per
// refusal, or strangers would decide how often this disk is flushed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"
#include "certs/keys.h"
#include "job/job.h"

namespace tomogrid::certs {

// One act. Nothing about a patient: ids, verbs, codes and sizes.
struct AuditEntry {
  WallTime time = {};
  std::optional<MemberId> actor = {};  // who; nullopt: this member itself or a stranger without certificate
  std::string verb = {};               // "open-job", "cancel", "hello", "revocations", ...
  std::optional<job::JobId> job = {};
  std::string outcome = {};  // "done", or a reason: "refused: expired"
  std::string detail = {};   // address, sizes; may be empty
};

// Where a log ended at some time.
struct AuditHead {
  std::uint64_t lines = 0;
  job::Digest chain{};
  bool operator==(const AuditHead&) const = default;
};

// One writer per file, one thread.
class AuditLog final {
 public:
  // Creates `file` (mode 0600) or continues it after checking all of it. A last line that a power cut left unfinished
  // is removed, and a line says so, as when FILE.head is missing. Throws Failure: Unverified when the chain is broken
  // (move the file aside and keep it), Conflict when another process writes it, Storage.
  AuditLog(std::filesystem::path file, WallTime now);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  AuditLog& operator=(const AuditLog&) = delete;

  // Text is made printable and cut at 512 bytes. Throws Failure (Storage).
  void append(const AuditEntry& entry);
  void sync();
  const AuditHead& head() const { return head_; }

 private:
  std::filesystem::path file_;
  int log_ = -1, side_ = -1;
  AuditHead head_;
};

// Reads the whole log and says where it ends. Unverified names the first line that does not follow; also when it is
// shorter than FILE.head or `expected` say, or differs from `expected` there. NotFound, Storage.
Result<AuditHead> verify_audit(const std::filesystem::path& file,
                               const std::optional<AuditHead>& expected = std::nullopt);

}  // namespace tomogrid::certs
