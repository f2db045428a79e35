// A node at work: the machine of node.h with its journal, scratch, launcher, capacity source and loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "job/service.h"
#include "node/ranks.h"
#include "registry/serving.h"
#include "wire/machine.h"

namespace tomogrid::node {

// Everything an administrator decides. Defaults are right for a machine that serves one federation.
struct ServiceConfig {
  registry::ServingConfig serving;              // home: journal.db, audit.log, machine.json
  std::uint16_t bulk_port = 0;                  // 0: any free one
  std::vector<wire::Target> registries;         // configured; with discovery, also those that are seen
  std::filesystem::path services;               // *.json descriptions
  std::vector<std::filesystem::path> programs;  // where their programs are, in order
  std::filesystem::path guard;                  // tomogrid-guard
  std::filesystem::path scratch;                // empty: /dev/shm, a folder of its own
  Bytes scratch_quota;                          // 0: half of the file system
  bool scratch_on_disk = false;
  std::optional<std::uint32_t> cores;     // fixed; otherwise measured all the time (capacity.h)
  std::uint32_t cores_least = 1;          // offered however busy the machine is; not when `cores` is given
  std::optional<Bytes> memory;            // fixed likewise
  std::optional<FlopRate> rate_per_core;  // instead of the machine descriptor's
  std::uint32_t cores_per_job_max = 0;
  std::uint32_t cores_per_rank = 0;         // 0: a rank for each socket and host (ranks.h)
  std::vector<WorkerHost> worker_hosts;     // their cores are offered too
  std::vector<std::string> mpirun_options;  // words put in as they are
  std::vector<std::string> labels;
  std::chrono::milliseconds retention = std::chrono::hours(24);
  std::uint32_t queue_max = 64;
  std::uint32_t jobs_per_member = 0;    // 0: what certificates say
  std::chrono::milliseconds poll{200};  // of capacity
};

// The services described in `folder` whose programs are found; what is left out is logged by name and reason. Throws
// Failure (NotFound) when there is none, BadInput for a description that is wrong.
std::vector<job::ServiceDescriptor> load_services(const std::filesystem::path& folder,
                                                  const std::vector<std::filesystem::path>& programs);

// Serves until SIGINT or SIGTERM (a second one ends at once). Throws Failure when it cannot begin. Prints one line on
// standard output when it serves. Returns 0, or the exit status of ErrorCode::Storage when the journal could not be
// written.
int serve(const ServiceConfig& config);

}  // namespace tomogrid::node
