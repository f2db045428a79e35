// A manager at work: the machine of manager.h with its keys, its decision log, its door and its loop.
#pragma once

#include "manager/manager.h"
#include "registry/serving.h"

namespace tomogrid::manager {

struct ManagerConfig {
  registry::ServingConfig serving;  // --home also holds decisions.log
  ManagerOptions machine;
};

// Serves until SIGINT or SIGTERM (a second one ends at once). Prints one line on standard output when it serves. Throws
// Failure when it cannot begin. Returns 0.
int serve(const ManagerConfig& config);

}  // namespace tomogrid::manager
