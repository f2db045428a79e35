// Energy windows beside the photopeak, from which scatter is estimated. A file with several windows is read once for
// each (LoadOptions::window); their facts say which is which.
#pragma once

#include "base/result.h"
#include "image/image.h"

namespace tomogrid::image {

enum class WindowPlace { Below, Above };

// Where a window lies, by the middle of its range. BadInput: limits of either that the file does not state, or a window
// that covers the photopeak.
Result<WindowPlace> place_beside_photopeak(const AcquisitionFacts& photopeak, const AcquisitionFacts& window);

}  // namespace tomogrid::image
