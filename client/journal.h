// The client's memory on disk: SQLite in the member's private folder, so that a client that was killed goes on where it
// was.
//
//   job       record.h, written by the machine through wire::Journal
//   node      where nodes were last reached; likewise
//   delivery  what only the user's side knows: where results go, and whose scan it is. Never leaves this file, and is
//             deleted when the result is delivered.
//
// Several processes may use one journal: each writes the rows of its own jobs. One thread per object. Throws Failure
// (Storage) when the file cannot be opened or is not a journal.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/text.h"
#include "job/job.h"
#include "wire/ports.h"

struct sqlite3;

namespace tomogrid::client {

// How to hand over a result: kept so that `attach` can do it in another process, days later.
struct Delivery {
  std::vector<std::string> outputs;  // absolute paths, in the order asked
  std::string receipt;               // absolute path; empty: none
  std::string previews;              // folder; empty: none
  std::string parameters_in_words;   // for the DICOM result's Derivation Description
  ByteString identity;               // image::Identity::serialise(): patient data in the clear
};

class Journal final : public wire::Journal {
 public:
  // Creates FOLDER (0700) and FOLDER/client.db (0600) when absent.
  explicit Journal(const std::filesystem::path& folder);
  ~Journal() override;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  Result<void> commit(const std::vector<wire::Row>& rows) override;
  Result<std::vector<wire::Row>> recover() override;  // job and node

  Result<void> keep(const job::JobId& job, const Delivery& delivery);
  std::optional<Delivery> delivery(const job::JobId& job);
  Result<void> forget_delivery(const job::JobId& job);

 private:
  sqlite3* database_ = nullptr;
};

}  // namespace tomogrid::client
