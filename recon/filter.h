// Separable Gaussians in a fixed order of operations. Private to recon/.
#pragma once

#include <span>

#include "base/quantity.h"

namespace tomogrid::recon {

// Low-pass for projections [plane][row][column]: each plane is filtered by itself, mirrored at its edges, so that a
// constant stays what it is and no counts are lost. FWHM 0: nothing is done.
struct PlaneShape {
  std::size_t columns = 0, rows = 0;
  Millimetres column_mm, row_mm;
};
void smooth_planes(std::span<float> planes, const PlaneShape& shape, Millimetres fwhm);

}  // namespace tomogrid::recon
