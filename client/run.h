// Sees one job through on behalf of a command: shows what happens, hands over the result, answers Ctrl-C, and says how
// it ended. A second job (the quality check of the same scan) may run beside it and never changes how the first one
// ends.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/display.h"
#include "client/journal.h"
#include "client/session.h"

namespace tomogrid::client {

// A job to begin, or one of the journal to go on with.
struct JobPlan {
  std::optional<job::JobId> attach;  // instead of `request`
  JobRequest request;
  std::shared_ptr<const std::vector<InputStream>> inputs;
  Delivery delivery;
};

struct RunOptions {
  bool detach = false;  // leave once the node has all of the scan
  bool cancel = false;  // with attach: cancel it
  bool json = false;
  std::chrono::milliseconds check_patience{3000};  // for the second job, after the first has ended
};

// What a run came to, for the command to print.
struct Outcome {
  std::optional<Error> error;  // empty: delivered
  bool detached = false;
  std::optional<job::JobId> job;
  std::string node;
  std::vector<std::string> files;           // written, receipt last
  std::vector<std::string> warnings;        // of the worker and the client
  std::optional<std::string> report;        // report.json of a job that has one, as text
  std::optional<std::string> check_report;  // of the second job
};

// Runs the session's loop until the job has ended or is detached.
Outcome run_job(Session& session, const JobPlan& plan, const std::optional<JobPlan>& check, const RunOptions& options);

}  // namespace tomogrid::client
