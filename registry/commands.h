// `tomogrid registry`.
#pragma once

#include "base/options.h"

namespace tomogrid::registry {

Command registry_command();

}  // namespace tomogrid::registry
