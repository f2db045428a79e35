// A registry at work: the machine of registry.h with its keys, its door, its loop and discovery.
#pragma once

#include "registry/registry.h"
#include "registry/serving.h"

namespace tomogrid::registry {

struct RegistryConfig {
  ServingConfig serving;
  RegistryOptions machine;
};

// Serves until SIGINT or SIGTERM (a second one ends at once). Prints one line on standard output when it serves. Throws
// Failure when it cannot begin. Returns 0.
int serve(const RegistryConfig& config);

}  // namespace tomogrid::registry
