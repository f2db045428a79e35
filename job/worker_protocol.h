// How a node and a worker speak: job.json in the job's folder, JSON lines on the worker's standard input, JSON lines on
// its descriptor 3. Values with their encoders and decoders; pure.
//
// A worker starts in a private folder with in/, out/ and job.json. Inputs lie in in/NAME, full length from the start
// (sparse), and ranges become valid as InputAvailable says, in any order. An output is complete when out/NAME exists:
// write out/NAME.part, then rename. Exit status 0 and every required output present is success. End of file on standard
// input means: stop now. A line is at most 64 KiB of UTF-8.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "job/job.h"

namespace tomogrid::job {

inline constexpr std::size_t kWorkerLineLimit = 64 * 1024;

// job.json: all that a worker is told. No member, no patient, no path.
struct WorkOrder {
  JobId job;
  ServiceName service;
  Parameters parameters;                 // complete, within ranges
  Grant grant;
  std::vector<StreamFact> inputs;        // lengths; root all zero when not yet known
  bool operator==(const WorkOrder&) const = default;
};
std::string encode(const WorkOrder& order);
Result<WorkOrder> parse_work_order(std::string_view json);

// Node to worker.
struct InputAvailable { std::string name; std::uint64_t offset = 0, length = 0; bool operator==(const InputAvailable&) const = default; };
struct InputComplete { std::string name; bool operator==(const InputComplete&) const = default; };
struct Cancel { bool operator==(const Cancel&) const = default; };
struct CheckpointNow { bool operator==(const CheckpointNow&) const = default; };
using ToWorker = std::variant<InputAvailable, InputComplete, Cancel, CheckpointNow>;

// Worker to node.
struct Progress {
  std::string stage;                     // "plan", "receive", "iterate", "write"
  double fraction = 0;                   // of the whole job, 0 to 1
  std::optional<Seconds> remaining;      // estimate
  std::uint32_t step = 0, steps = 0;     // iteration of iterations
  bool operator==(const Progress&) const = default;
};
struct PreviewReady { std::string name; std::string caption; bool operator==(const PreviewReady&) const = default; };      // out/NAME; a later one replaces it
struct CheckpointReady { std::string name; std::uint32_t step = 0; bool operator==(const CheckpointReady&) const = default; };
struct Notice { std::string code; std::string message; bool operator==(const Notice&) const = default; };                  // a warning for the user
struct WorkerFailed { JobFailure failure; bool operator==(const WorkerFailed&) const = default; };                         // exit status non-zero follows
using FromWorker = std::variant<Progress, PreviewReady, CheckpointReady, Notice, WorkerFailed>;

// One line without the newline.
std::string encode(const ToWorker& line);
std::string encode(const FromWorker& line);
// BadInput: longer than kWorkerLineLimit, not UTF-8, not JSON, unknown event, a member missing, of the wrong type or out
// of range. Text is made printable.
Result<ToWorker> parse_to_worker(std::string_view line);
Result<FromWorker> parse_from_worker(std::string_view line);

}  // namespace tomogrid::job
