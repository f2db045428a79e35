// The node's journal: rows in SQLite (write-ahead log, synchronous FULL), so that what is acknowledged survives the
// process and the machine.
//
// One thread, one process per file: a second one is refused. Errors: the constructor throws Failure (Storage,
// Conflict); commit() and recover() return theirs. Not in scratch: the journal holds no image content and lives under
// the member's home.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "wire/ports.h"

struct sqlite3;

namespace tomogrid::node {

class SqliteJournal final : public wire::Journal {
 public:
  // Creates `file` (mode 0600) or opens it, checking its integrity.
  explicit SqliteJournal(const std::filesystem::path& file);
  ~SqliteJournal() override;
  SqliteJournal(const SqliteJournal&) = delete;
  SqliteJournal& operator=(const SqliteJournal&) = delete;

  Result<void> commit(const std::vector<wire::Row>& rows) override;
  Result<std::vector<wire::Row>> recover() override;

  // max(stored + 1, wall), stored before it is returned: boots of one node are ordered, even when its clock is set
  // back.
  std::uint64_t next_boot(WallTime wall);

  // Rows to add to what recover() finds (what scratch holds): called by it.
  void on_recover(std::function<std::vector<wire::Row>(const std::vector<wire::Row>&)> more) {
    more_ = std::move(more);
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  Error error(const char* what) const;
  void execute(const char* sql);
  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> database_;
  std::function<std::vector<wire::Row>(const std::vector<wire::Row>&)> more_;
};

}  // namespace tomogrid::node
