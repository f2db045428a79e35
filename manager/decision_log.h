// Every decision a manager has made, one a line: what its machine persists (table "decision"), and how it is checked
// again.
//
//   <request, 32 hex> <signing key of the decider, 64 hex> <the signed decision, hex>
//
// Only grows. A decision is handed to the kernel before its client hears of it (it survives the process) and reaches
// the disk with sync(); the client holds a signed copy as well.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "certs/keys.h"
#include "wire/ports.h"

namespace tomogrid::manager {

class DecisionLog final : public wire::Journal {
 public:
  // Creates or continues `file` (0600); a line that a crash left unfinished is cut off. One writer per file. Throws
  // Failure (Storage, Conflict).
  DecisionLog(std::filesystem::path file, const certs::SigningPublicKey& decider);
  ~DecisionLog() override;
  DecisionLog(const DecisionLog&) = delete;
  DecisionLog& operator=(const DecisionLog&) = delete;

  Result<void> commit(const std::vector<wire::Row>& rows) override;
  // Nothing: a manager is soft state, and tickets of an earlier run are in their nodes' adverts or end by themselves.
  Result<std::vector<wire::Row>> recover() override { return std::vector<wire::Row>{}; }
  void sync();

 private:
  std::filesystem::path file_;
  std::string decider_;
  int descriptor_ = -1;
  bool unsynced_ = false;
};

struct ReplayReport {
  std::uint64_t placed = 0, unplaceable = 0;  // decisions that replay
  struct Fault {
    std::uint64_t line = 0;
    std::string reason;
  };
  std::vector<Fault> faults;  // the first 100
  std::uint64_t faults_total = 0;
};
// Checks every line: its signature, that the key is the decider's, and that its figures lead to its winner. With
// `expected` also that it was decided by that member. NotFound or Storage when the file cannot be read.
Result<ReplayReport> replay_log(const std::filesystem::path& file,
                                const std::optional<certs::MemberId>& expected = std::nullopt);

}  // namespace tomogrid::manager
