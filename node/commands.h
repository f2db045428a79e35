// `tomogrid node` and `tomogrid node calibrate`.
#pragma once

#include <vector>

#include "base/options.h"

namespace tomogrid::node {

// One Command each. Draining is asked over the wire (`tomogrid drain`, client/).
std::vector<Command> node_commands();

}  // namespace tomogrid::node
