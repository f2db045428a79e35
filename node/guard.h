// The small program between a node and a worker: `tomogrid-guard`. It is the worker's parent, so that nothing of a
// worker outlives its node.
//
// Descriptors it inherits: 0, 1, 2 and 3 are the worker's; 4 is the node's hold. It waits for one byte on 4 before it
// starts the worker (the node has then written the process group into its journal). When 4 ends - the node let go, or
// is gone - it asks the worker to stop by SIGTERM, and after `grace` kills all that descends from it, also what has
// left the process group (mpirun gives its ranks groups of their own; the guard is their subreaper).
//
// It ends as the worker did: with its exit status, or by its signal. 127: the program cannot be started. 125: bad
// usage.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tomogrid::node {

struct GuardOptions {
  std::uint64_t memory_limit = 0;   // RLIMIT_DATA, bytes; 0: none
  std::uint64_t file_limit = 0;     // RLIMIT_FSIZE, bytes; 0: none
  std::uint64_t open_files = 1024;  // RLIMIT_NOFILE
  std::vector<int> cpus;            // affinity; empty: as inherited
  int grace_ms = 1000;
  std::vector<std::string> command;  // absolute path first
};

// The guard's own command line, and back. parse: nullopt when it is not one.
std::vector<std::string> guard_arguments(const GuardOptions& options);
std::optional<GuardOptions> parse_guard_arguments(const std::vector<std::string>& words);

// What main() of tomogrid-guard does; returns its exit status, or ends by the worker's signal.
int run_guard(const GuardOptions& options);

}  // namespace tomogrid::node
