// What a node remembers of a job: the row of its journal, and what its scratch holds. Values with their encoders and
// decoders; pure.
//
// One row per job (table "job", key "CLIENT/JOB") holds its latest state and replaces the one before: Accepted,
// InputComplete, Started, Finished, Collected, Failed, Cancelled and Wiped of docs/operation.md are the changes after
// which it is written. A journal row never holds content of an image, a name or a path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "job/job.h"
#include "wire/machine.h"

namespace tomogrid::node {

inline constexpr const char* kJobTable = "job";          // JobRecord
inline constexpr const char* kNodeTable = "node";        // "drain", "boot"
inline constexpr const char* kWorkerTable = "worker";    // WorkerRecord, written by the launcher
inline constexpr const char* kScratchTable = "scratch";  // ScratchFact: never on disk, added when rows are recovered

struct InputRecord {
  job::StreamFact fact;  // root valid when complete
  bool complete = false;
  bool operator==(const InputRecord&) const = default;
};

struct JobRecord {
  wire::JobKey key;
  job::ServiceName service;
  std::string parameters;  // canonical text of the complete parameters
  job::Needs needs;        // as completed by the node
  std::vector<InputRecord> inputs;
  job::JobState state = job::JobState::Queued;
  bool managed = false;      // opened with a ticket
  job::TicketId ticket;      // when managed
  job::Grant grant;          // of the last attempt; cores 0: none yet
  std::uint32_t deaths = 0;  // of its workers, by themselves
  std::optional<job::JobFailure> failure;
  std::vector<job::StreamFact> outputs;  // Finished
  std::optional<certs::Signed> receipt;  // Finished
  std::string checkpoint;                // name of the worker's checkpoint in out/; empty: none
  std::uint64_t order = 0;               // of acceptance
  WallTime accepted, ended, expires;
  bool collected = false;
  bool wiped = false;
  bool operator==(const JobRecord&) const = default;

  bool input_complete() const;
};

std::string row_key(const wire::JobKey& key);
std::optional<wire::JobKey> parse_row_key(std::string_view text);
wire::Row encode(const JobRecord& record);
// BadInput says what is wrong; a journal is written by us, so it means damage.
Result<JobRecord> parse_job_record(const wire::Row& row);

// What scratch holds of one job after a restart, hashed anew.
struct ScratchFact {
  struct Input {
    std::string name;
    std::uint64_t length = 0;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> stored;
    std::optional<job::Digest> root;  // when all of it is stored
    bool operator==(const Input&) const = default;
  };
  wire::JobKey key;
  std::vector<Input> inputs;
  std::vector<job::StreamFact> outputs;  // every file of out/
  bool operator==(const ScratchFact&) const = default;
};
wire::Row encode(const ScratchFact& fact);
Result<ScratchFact> parse_scratch_fact(const wire::Row& row);

// A worker's process group while it runs, to be ended if a restarted node finds it alive. `start_time`: clock ticks
// since the machine's boot (/proc/PID/stat, field 22), so that a reused number is not taken for it.
struct WorkerRecord {
  wire::JobKey key;
  std::int32_t process_group = 0;
  std::uint64_t start_time = 0;
  bool operator==(const WorkerRecord&) const = default;
};
wire::Row encode(const WorkerRecord& record);
Result<WorkerRecord> parse_worker_record(const wire::Row& row);

}  // namespace tomogrid::node
