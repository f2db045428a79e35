// Workers as child processes of this machine, each under its guard (guard.h), spoken to by JSON lines
// (job/worker_protocol.h).
//
// Thread: everything on the loop's thread, except the hashing of outputs, which a thread of its own does and posts.
// A worker gets: its job's folder as working directory, `job.json`, a clean environment with OMP_NUM_THREADS = granted
// cores, a set of processors of its own when there are enough (so that bound threads of several jobs do not share a
// core), limits, and no descriptor but 0 to 3. Its standard output and error go to worker.log in its folder, wiped with
// it. A job that got processors of more than one socket or host is started by mpirun, a rank for each (ranks.h), when its
// service may be.
//
// Lines to a worker that does not read wait here, up to 8 MiB; then it is stopped. Lines from a worker are at most 64
// KiB; a longer or malformed one is dropped and counted.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "node/ranks.h"
#include "node/scratch.h"
#include "wire/machine.h"
#include "wire/ports.h"

namespace tomogrid::node {

// What the launcher needs of the loop it lives in (wire::Loop in service).
struct LoopHooks {
  std::function<void(int descriptor, std::function<void()> ready)> watch;
  std::function<void(int descriptor)> unwatch;
  std::function<void(std::chrono::milliseconds delay, std::function<void()> due)> after;
  std::function<void(std::function<void()> work)> post;  // any thread
  std::function<void(const wire::Event& event)> feed;
};

struct LauncherOptions {
  std::filesystem::path guard;                  // tomogrid-guard
  std::vector<std::filesystem::path> programs;  // where a service's program is looked for, in order
  std::vector<Seat> seats;                      // processors that workers may be bound to, and those of other hosts
  std::uint32_t cores_per_rank = 0;             // 0: a rank for each socket and host
  std::filesystem::path mpirun;                 // absolute; empty: every job is one process here
  std::vector<std::string> mpirun_options;      // of the cluster: networks, how hosts are reached
  std::chrono::milliseconds grace{3000};        // from end of input to SIGTERM
  std::chrono::milliseconds kill_grace{1000};   // from SIGTERM to SIGKILL
  unsigned hash_threads = 2;
};

// Ends process groups that a node which died left behind, as its journal names them; returns how many were alive. Waits
// up to 2 s for their guards to do it first.
std::size_t end_leftover_workers(const std::vector<wire::Row>& rows);

class Launcher final : public wire::Workers {
 public:
  // `scratch` and `journal` outlive the launcher, and hooks are called until its end.
  Launcher(LauncherOptions options, Scratch& scratch, wire::Journal& journal, LoopHooks hooks);
  ~Launcher() override;  // end()
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  void prepare(const wire::PrepareScratch& effect) override;
  void start(const wire::StartWorker& effect) override;
  void tell(const wire::TellWorker& effect) override;
  void stop(const wire::StopWorker& effect) override;
  void wipe(const wire::Wipe& effect) override;

  // Kills what still runs, waits for it, and calls no hook any more: before the loop that the hooks speak of is gone.
  void end();

  // Processes of the guards: the roots of all that workers run.
  std::vector<int> process_groups() const;

 private:
  struct Worker;
  struct Hashing;
  Result<void> launch(const wire::StartWorker& effect, Worker& worker);
  Result<std::filesystem::path> find_program(const std::string& name) const;
  void prepare_folder(const std::filesystem::path& folder, job::WorkOrder& order) const;
  std::vector<std::string> place(std::vector<std::string> command, const wire::StartWorker& effect, job::Grant& grant,
                                 Worker& worker);
  job::Digest build_of(const std::filesystem::path& program);
  void read_lines(const wire::JobKey& job);
  void flush(const wire::JobKey& job);
  void let_go(const wire::JobKey& job);
  void on_exit(const wire::JobKey& job);
  void exited(const wire::JobKey& job, int status, std::vector<std::string> outputs, job::Digest build);
  void fail_later(const wire::JobKey& job, const std::string& reason);

  LauncherOptions options_;
  Scratch& scratch_;
  wire::Journal& journal_;
  LoopHooks hooks_;
  std::map<wire::JobKey, std::unique_ptr<Worker>> workers_;
  Seating seating_;
  struct Build {
    std::string identity;
    job::Digest digest{};
  };
  std::map<std::string, Build> builds_;  // program -> hash of its file as it was
  std::vector<std::unique_ptr<Hashing>> hashing_;
  std::shared_ptr<std::atomic<bool>> alive_ =
      std::make_shared<std::atomic<bool>>(true);  // false: callbacks that come late do nothing
};

}  // namespace tomogrid::node
