// The steps of one run, with their times, over one or several processes. Used by jobs and by hand.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "recon/mpi_ranks.h"
#include "recon/task.h"

namespace tomogrid::recon {

// What the person or node who asked wants to hear. Called on rank 0 only, by the thread that computes.
struct Listener {
  std::function<void(const Notice&)> notice;
  std::function<bool()> cancelled;  // asked often; must be quick
  // After each iteration, with the estimate of the seconds that remain.
  std::function<void(const IterationReport&, Seconds remaining, const std::function<image::Volume()>& estimate,
                     const std::function<Checkpoint()>& checkpoint)>
      iteration;
};

// Gives every rank rank 0's task. `task` is empty elsewhere, and empty on rank 0 when there is none: then all get
// nothing.
std::optional<Task> share(Processes& ranks, std::optional<Task> task);

class TaskRun final {
 public:
  struct Limits {
    Bytes memory{0};  // 0: none
    InstructionSet instructions = InstructionSet::Best;
  };
  // The task is lent; its counts may still be empty. Requires the same task on every rank.
  TaskRun(const Task& task, Processes& ranks, const Listener& listener, Limits limits);
  // Builds the plan and the sensitivity.
  Result<void> prepare();
  // Requires prepare() and that the task has its counts.
  Result<Reconstruction> iterate();

  const Plan& plan() const { return *plan_; }
  const Decision& decision() const { return decision_; }
  // JSON with times, threads, ranks and memory: what differs from run to run.
  std::string record(Seconds waited, Seconds written) const;

 private:
  bool keep_going();
  const Task& task_;
  Processes& ranks_;
  const Listener& listener_;
  Limits limits_;
  Decision decision_;
  std::optional<Plan> plan_;
  Seconds plan_time_{0}, iterate_time_{0};
};

// Highest resident memory of this process so far.
Bytes peak_memory();

}  // namespace tomogrid::recon
