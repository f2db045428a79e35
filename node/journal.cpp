#include "node/journal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "node/records.h"

namespace tomogrid::node {

namespace {

// A prepared statement, finalised at the end of scope.
class Statement final {
 public:
  Statement(sqlite3* database, const char* sql) {
    status_ = sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  bool ready() const { return status_ == SQLITE_OK; }
  Statement& bind(int index, const std::string& text) {
    sqlite3_bind_text(statement_, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    return *this;
  }
  int step() { return sqlite3_step(statement_); }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    return {bytes == nullptr ? "" : bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_ERROR;
};

}  // namespace

void SqliteJournal::Close::operator()(sqlite3* database) const {
  sqlite3_close(database);
}

SqliteJournal::SqliteJournal(const std::filesystem::path& file) : file_(file) {
  // SQLite would create it with the umask's mode; the journal names who asked for what.
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0)
    throw Failure(ErrorCode::Storage, "cannot open the journal " + file.string() + "; is its folder there and yours?");
  ::close(descriptor);
  sqlite3* opened = nullptr;
  const int status = sqlite3_open_v2(file.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(opened);
  if (status != SQLITE_OK) throw Failure(error("open"));
  execute("PRAGMA locking_mode=EXCLUSIVE");
  execute("PRAGMA journal_mode=WAL");
  execute("PRAGMA synchronous=FULL");
  execute("PRAGMA secure_delete=ON");
  execute(
      "CREATE TABLE IF NOT EXISTS rows (kind TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, "
      "key)) WITHOUT ROWID");
  execute("BEGIN IMMEDIATE; COMMIT");  // takes the exclusive lock now: a second node on this folder must not serve
  Statement check(database_.get(), "PRAGMA quick_check(1)");
  if (!check.ready() || check.step() != SQLITE_ROW || check.text(0) != "ok") {
    throw Failure(ErrorCode::Storage,
                  "the journal " + file.string() + " is damaged; move it aside, and the jobs in it are lost");
  }
}

SqliteJournal::~SqliteJournal() = default;

Error SqliteJournal::error(const char* what) const {
  const int code = database_ == nullptr ? SQLITE_NOMEM : sqlite3_errcode(database_.get());
  const std::string why = database_ == nullptr ? "out of memory" : sqlite3_errmsg(database_.get());
  if (code == SQLITE_BUSY || code == SQLITE_LOCKED) {
    return {ErrorCode::Conflict,
            "the journal " + file_.string() + " is used by another node; give each its own --home"};
  }
  return {ErrorCode::Storage, std::string("cannot ") + what + " the journal " + file_.string() + ": " + why};
}

void SqliteJournal::execute(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) throw Failure(error("set up"));
}

Result<void> SqliteJournal::commit(const std::vector<wire::Row>& rows) {
  sqlite3* const database = database_.get();
  const auto run = [&](const char* sql) { return sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK; };
  if (!run("BEGIN IMMEDIATE")) return error("write");
  for (const wire::Row& row : rows) {
    const bool erase = row.body.empty();
    Statement change(database, erase ? "DELETE FROM rows WHERE kind = ?1 AND key = ?2"
                                     : "INSERT INTO rows VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET body = ?3");
    if (change.ready()) change.bind(1, row.table).bind(2, row.key);
    if (change.ready() && !erase) change.bind(3, row.body);
    if (!change.ready() || change.step() != SQLITE_DONE) {
      const Error why = error("write");
      run("ROLLBACK");
      return why;
    }
  }
  if (!run("COMMIT")) {
    const Error why = error("write");
    run("ROLLBACK");
    return why;
  }
  return {};
}

Result<std::vector<wire::Row>> SqliteJournal::recover() {
  std::vector<wire::Row> rows;
  Statement all(database_.get(), "SELECT kind, key, body FROM rows ORDER BY kind, key");
  if (!all.ready()) return error("read");
  int status = SQLITE_ROW;
  while ((status = all.step()) == SQLITE_ROW) rows.push_back({all.text(0), all.text(1), all.text(2)});
  if (status != SQLITE_DONE) return error("read");
  if (more_) {
    for (wire::Row& row : more_(rows)) rows.push_back(std::move(row));
  }
  return rows;
}

std::uint64_t SqliteJournal::next_boot(WallTime wall) {
  Statement stored(database_.get(), "SELECT body FROM rows WHERE kind = 'node' AND key = 'boot'");
  std::uint64_t last = 0;
  if (stored.ready() && stored.step() == SQLITE_ROW) {
    const std::string text = stored.text(0);
    std::from_chars(text.data(), text.data() + text.size(), last);
  }
  const std::uint64_t boot = std::max(last + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(wall.unix_ms, 1)));
  commit({{kNodeTable, "boot", std::to_string(boot)}}).or_throw();
  return boot;
}

}  // namespace tomogrid::node
