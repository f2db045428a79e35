// `tomogrid manager` and `tomogrid manager replay`.
#pragma once

#include "base/options.h"

namespace tomogrid::manager {

Command manager_command();
Command manager_replay_command();

}  // namespace tomogrid::manager
