// The steps of one run, with their times, over one or several processes. Used by jobs and by hand.
#pragma once

#include <chrono>
#include <filesystem>
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
  // After each bootstrap replicate, of how many.
  std::function<void(std::size_t done, std::size_t of, Seconds remaining)> replicate;
};

// Gives every rank rank 0's task. `task` is empty elsewhere, and empty on rank 0 when there is none: then all get
// nothing.
std::optional<Task> share(Processes& ranks, std::optional<Task> task);

class TaskRun final {
 public:
  struct Limits {
    Bytes memory{0};  // 0: none
    InstructionSet instructions = InstructionSet::Best;
    std::filesystem::path plan_cache{};  // empty: none. By hand only: a plan derives from the patient's map
  };
  // The task is lent; its counts may still be empty. Requires the same task on every rank.
  TaskRun(const Task& task, Processes& ranks, const Listener& listener, Limits limits);
  // Checks what the task asks for (task.h) and builds the plan and the sensitivity.
  Result<void> prepare();
  // Requires prepare() and that the task has its counts, those of its scatter windows too. The volume holds the slices
  // that were asked for, in the unit that was asked for.
  Result<Reconstruction> iterate();
  // Standard deviations, on the grid and in the unit of `result`. nullopt: not asked. Requires iterate().
  Result<std::optional<image::Volume>> uncertainty(const Reconstruction& result);

  const Plan& plan() const { return *plan_; }
  const Decision& decision() const { return decision_; }
  std::string passport(const Reconstruction& result, const std::optional<image::Volume>& deviation) const;
  // JSON with times, threads, ranks and memory: what differs from run to run.
  std::string record(Seconds waited, Seconds written) const;

 private:
  bool keep_going();
  Settings settings();
  std::vector<float> rows(std::span<const float> projections) const;
  std::vector<float> background(std::span<const float> lower, std::span<const float> upper) const;
  // Slices and unit that were asked for, of a volume over the plan's rows.
  image::Volume finished(const image::Volume& volume) const;
  const Task& task_;
  Processes& ranks_;
  const Listener& listener_;
  Limits limits_;
  Decision decision_;
  std::optional<Slab> slab_;
  std::optional<Plan> plan_;
  double background_counts_ = 0;
  bool plan_reused_ = false;
  Seconds plan_time_{0}, iterate_time_{0}, uncertainty_time_{0};
};

// Highest resident memory of this process so far.
Bytes peak_memory();

}  // namespace tomogrid::recon
