#include "client/journal.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/file.h"

namespace tomogrid::client {

namespace {

constexpr int kBusyMilliseconds = 10'000;

struct Finalise {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalise>;

Error storage(sqlite3* database, const std::string& what) {
  return {ErrorCode::Storage, "the client's journal: " + what + ": " + sqlite3_errmsg(database)};
}

Statement prepare(sqlite3* database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) throw Failure(storage(database, sql));
  return Statement(statement);
}

void bind_text(sqlite3_stmt* statement, int index, std::string_view text) {
  sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
}

std::string column(sqlite3_stmt* statement, int index) {
  const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, index));
  return text != nullptr ? std::string(text, static_cast<std::size_t>(sqlite3_column_bytes(statement, index)))
                         : std::string();
}

bool run(sqlite3* database, const char* sql) {
  return sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK;
}

bool put(sqlite3* database, const wire::Row& row) {
  if (row.body.empty()) {
    const Statement statement = prepare(database, "DELETE FROM rows WHERE tab=? AND key=?");
    bind_text(statement.get(), 1, row.table);
    bind_text(statement.get(), 2, row.key);
    return sqlite3_step(statement.get()) == SQLITE_DONE;
  }
  const Statement statement = prepare(database, "INSERT OR REPLACE INTO rows(tab, key, body) VALUES(?,?,?)");
  bind_text(statement.get(), 1, row.table);
  bind_text(statement.get(), 2, row.key);
  bind_text(statement.get(), 3, row.body);
  return sqlite3_step(statement.get()) == SQLITE_DONE;
}

}  // namespace

Journal::Journal(const std::filesystem::path& folder) {
  make_private_folder(folder);
  const std::filesystem::path file = folder / "client.db";
  // SQLite gives its side files the mode of the database: make that private before anything is in it.
  const int descriptor = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor < 0) throw Failure(ErrorCode::Storage, "cannot create the client's journal " + file.string());
  ::close(descriptor);
  if (sqlite3_open_v2(file.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX, nullptr) != SQLITE_OK) {
    const Error error = storage(database_, "cannot open " + file.string());
    sqlite3_close(database_);
    throw Failure(error);
  }
  sqlite3_busy_timeout(database_, kBusyMilliseconds);
  if (!run(database_, "PRAGMA journal_mode=WAL") || !run(database_, "PRAGMA synchronous=FULL") ||
      !run(database_, "PRAGMA secure_delete=ON") ||
      !run(database_, "CREATE TABLE IF NOT EXISTS rows(tab TEXT, key TEXT, body TEXT, PRIMARY KEY(tab, key))")) {
    const Error error = storage(database_, "cannot use " + file.string());
    sqlite3_close(database_);
    throw Failure(error);
  }
}

Journal::~Journal() {
  sqlite3_close(database_);
}

Result<void> Journal::commit(const std::vector<wire::Row>& rows) {
  if (!run(database_, "BEGIN IMMEDIATE")) return storage(database_, "cannot begin");
  for (const wire::Row& row : rows) {
    if (put(database_, row)) continue;
    const Error error = storage(database_, "cannot write " + row.table);
    run(database_, "ROLLBACK");
    return error;
  }
  if (run(database_, "COMMIT")) return {};
  const Error error = storage(database_, "cannot commit");
  run(database_, "ROLLBACK");
  return error;
}

Result<std::vector<wire::Row>> Journal::recover() {
  std::vector<wire::Row> rows;
  const Statement statement =
      prepare(database_, "SELECT tab, key, body FROM rows WHERE tab IN ('job','node') ORDER BY tab, key");
  for (;;) {
    const int step = sqlite3_step(statement.get());
    if (step == SQLITE_DONE) return rows;
    if (step != SQLITE_ROW) return storage(database_, "cannot read");
    rows.push_back({column(statement.get(), 0), column(statement.get(), 1), column(statement.get(), 2)});
  }
}

Result<void> Journal::keep(const job::JobId& job, const Delivery& delivery) {
  const nlohmann::json body{{"outputs", delivery.outputs},
                            {"receipt", delivery.receipt},
                            {"previews", delivery.previews},
                            {"parameters", delivery.parameters_in_words},
                            {"identity", to_hex(delivery.identity)}};
  return commit(
      {{"delivery", job::to_string(job), body.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)}});
}

std::optional<Delivery> Journal::delivery(const job::JobId& job) {
  const Statement statement = prepare(database_, "SELECT body FROM rows WHERE tab='delivery' AND key=?");
  bind_text(statement.get(), 1, job::to_string(job));
  if (sqlite3_step(statement.get()) != SQLITE_ROW) return std::nullopt;
  try {
    const auto body = nlohmann::json::parse(column(statement.get(), 0));
    auto identity = from_hex(body.at("identity").get<std::string>());
    if (!identity) return std::nullopt;
    return Delivery{body.at("outputs").get<std::vector<std::string>>(), body.at("receipt").get<std::string>(),
                    body.at("previews").get<std::string>(), body.at("parameters").get<std::string>(),
                    *std::move(identity)};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

Result<void> Journal::forget_delivery(const job::JobId& job) {
  return commit({{"delivery", job::to_string(job), ""}});
}

}  // namespace tomogrid::client
