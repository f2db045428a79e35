#include "image/geometry.h"

namespace tomogrid::image {

namespace {
Millimetres first_centre(std::size_t count, Millimetres spacing) {
  return spacing * (-0.5 * (static_cast<double>(count) - 1.0));
}
}  // namespace

VolumeGeometry centred_grid(std::size_t columns, std::size_t rows, std::size_t slices, Millimetres column,
                            Millimetres row, Millimetres slice) {
  return {.columns = columns, .rows = rows, .slices = slices,
          .column_mm = column, .row_mm = row, .slice_mm = slice,
          .x0 = first_centre(columns, column), .y0 = first_centre(rows, row), .z0 = first_centre(slices, slice)};
}

}  // namespace tomogrid::image
