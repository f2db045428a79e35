// The worker's side of the contract in worker_protocol.h, for programs that are workers: reads standard input, writes
// descriptor 3. The only file of this folder that touches descriptors.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/text.h"
#include "job/worker_protocol.h"

namespace tomogrid::job {

class WorkerChannel final {
 public:
  // Takes the job's folder (reads job.json; throws Failure when it is unreadable), standard input and descriptor 3.
  // Descriptors are parameters for tests. SIGPIPE is ignored from here on: a node that is gone is seen as end of input.
  explicit WorkerChannel(const std::filesystem::path& folder, int input = 0, int output = 3);

  const WorkOrder& order() const { return order_; }
  std::filesystem::path input_path(const std::string& name) const;
  std::filesystem::path output_path(const std::string& name) const;

  // Lines that have arrived; waits up to `wait` for the first. Malformed lines are dropped.
  std::vector<ToWorker> poll(std::chrono::milliseconds wait);
  // A Cancel line or the end of input has been seen by poll(): stop, without outputs.
  bool cancelled() const { return cancelled_; }

  // Never blocks for long; returns false when the node is gone.
  bool say(const FromWorker& line);
  // Writes out/NAME by .part, fsync and rename. Throws Failure (Storage).
  void write_output(const std::string& name, ByteView content) const;

 private:
  std::filesystem::path folder_;
  WorkOrder order_;
  int input_, output_;
  std::string pending_;
  bool ended_ = false, cancelled_ = false;
};

}  // namespace tomogrid::job
