// Where a node keeps image data while it works on it: a memory-backed folder with a quota, one folder per job.
//
//   ROOT/CLIENT-JOB/in/NAME         an input, at full length from the start (sparse)
//   ROOT/CLIENT-JOB/out/NAME        what the worker writes
//   ROOT/CLIENT-JOB/stored/NAME     which ranges of in/NAME are there: records appended after the bytes
//   ROOT/CLIENT-JOB/job.json        the work order
//
// Everything is mode 0700/0600 and owned by the node's user. What is stored survives the process (not the machine: it
// is memory), so a stream resumes and a job runs again after a crash; what is read back after a restart is hashed
// again.
//
// Wipe removes the files. They are pages of memory that the kernel clears before anyone else gets them; nothing was on
// a disk. A folder on a disk-backed file system, or a tmpfs on a machine with swap, is refused unless told.
//
// Threads: open_sink, open_source, prepare, wipe and inspect on one thread; sinks and sources as wire/ports.h says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "node/records.h"
#include "wire/ports.h"

namespace tomogrid::node {

struct ScratchOptions {
  std::filesystem::path root;  // created with mode 0700
  Bytes quota;                 // all jobs together; 0: half of the file system
  bool allow_disk = false;     // take a folder that is not memory, or memory that may be swapped out
};

// The memory-backed default for a member: /dev/shm/tomogrid-NAME-UID.
std::filesystem::path default_scratch(const std::string& member_name);

// Notes in a default scratch folder whose it is, so that sweep_abandoned_scratch() knows when nobody will come back for
// it.
void claim_scratch(const std::filesystem::path& root, const std::filesystem::path& home);
// Removes the default scratch folders of this user under `parent` whose home is gone: its journal is lost with it, and
// what it held would stay in memory until the machine restarts. Returns how many.
std::size_t sweep_abandoned_scratch(const std::filesystem::path& parent);

class Scratch final : public wire::StreamStore {
 public:
  // Throws Failure: Refused when the folder is not memory, could be swapped, or is open to others; Storage.
  explicit Scratch(ScratchOptions options);
  ~Scratch() override;

  // Makes the job's folders and its inputs at full length; again is harmless.
  Result<void> prepare(const wire::PrepareScratch& effect);
  // Removes everything of the job; absent is fine.
  Result<void> wipe(const wire::JobKey& job);

  Result<std::unique_ptr<wire::StreamSink>> open_sink(const wire::JobKey& job, const wire::StreamKey& key,
                                                      std::uint64_t length) override;
  // An output, a preview or a checkpoint. A worker replaces files by rename, so what was opened does not change.
  Result<std::unique_ptr<wire::StreamSource>> open_source(const wire::JobKey& job, const wire::StreamKey& key) override;

  const std::filesystem::path& root() const { return options_.root; }
  std::filesystem::path folder(const wire::JobKey& job) const;
  // What is held of each job, complete inputs and all outputs hashed anew; jobs of which nothing is here are left out.
  std::vector<ScratchFact> inspect() const;

  // Bytes that all jobs occupy now, and what the quota and the file system leave for jobs in all (own use not
  // subtracted).
  Bytes used() const;
  Bytes capacity() const;

  // What one input holds; shared by the sinks open on it. Public for the sinks only.
  struct InputState;

 private:
  std::shared_ptr<InputState> input_state(const wire::JobKey& job, const std::string& name, std::uint64_t length);
  ScratchOptions options_;
  std::map<std::pair<wire::JobKey, std::string>, std::weak_ptr<InputState>> open_inputs_;
};

}  // namespace tomogrid::node
