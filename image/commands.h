// The commands that live in this room; main.cpp lists them.
#pragma once

#include "base/options.h"

namespace tomogrid::image {

// `tomogrid phantom -o scan.dcm`: a SPECT acquisition from formulas, with its truth (phantom.h).
Command phantom_command();

}  // namespace tomogrid::image
