#include "image/orientation.h"

#include <cmath>
#include <numbers>

#include "image/refusal.h"

namespace tomogrid::image {

namespace {

constexpr double kObliqueTolerance = 1e-3;  // sine of the angle to the nearest axis: 0.06 degrees

// In [0, 360), exact for whole and binary fractions of degrees.
double one_turn(double degrees) {
  double result = std::fmod(degrees, 360.0);
  if (result < 0) result += 360.0;
  return result >= 360.0 - 1e-9 ? 0.0 : result;
}

// The patient axis that `step` follows; its length with sign.
struct Along {
  std::size_t axis = 0;
  double length = 0;
};

Along dominant(const std::array<double, 3>& step) {
  const double norm = std::hypot(step[0], step[1], step[2]);
  if (!std::isfinite(norm) || norm <= 0) refuse("its axes have no length: the orientation is singular");
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double others = std::hypot(step[(axis + 1) % 3], step[(axis + 2) % 3]);
    if (others <= kObliqueTolerance * norm) return {axis, step[axis]};
  }
  refuse("an oblique grid (its axes are not the patient's): resample it along the axes first");
}

}  // namespace

Radians theta_of_dicom(double degrees) {
  return Radians(one_turn(180.0 - degrees) * (std::numbers::pi / 180.0));
}

double dicom_of_theta(Radians theta) {
  // Rounded to a nano-degree, so that 2 pi k / 120 is written as 3 k.
  return one_turn(std::round((180.0 - theta.count() * (180.0 / std::numbers::pi)) * 1e9) / 1e9);
}

FileAxes gantry_axes(PatientPosition position) {
  switch (position) {
    case PatientPosition::HFP:
      return {-1, -1, -1};
    case PatientPosition::FFS:
      return {-1, 1, 1};
    case PatientPosition::FFP:
      return {1, -1, 1};
    default:
      return {1, 1, -1};
  }
}

GantryView gantry_view(PatientPosition position) {
  // The detector's direction (sin t, -cos t) and the bins' direction (cos t, sin t), axis by axis.
  const FileAxes axes = gantry_axes(position);
  const double turn = axes.x * axes.y;
  return {
      .turn = turn, .shift_degrees = axes.y < 0 ? 180.0 : 0.0, .bins_reversed = turn < 0, .rows_reversed = axes.z < 0};
}

Volume along_axes(const FileGrid& grid, std::vector<float> values, std::string unit) {
  std::array<Along, 3> file;                 // of file axis i, j, k
  std::array<std::size_t, 3> from{3, 3, 3};  // which file axis runs along patient axis x, y, z
  for (std::size_t a = 0; a < 3; ++a) {
    file[a] = dominant(grid.step[a]);
    if (from[file[a].axis] != 3) refuse("two of its axes run along the same direction of the patient");
    from[file[a].axis] = a;
  }
  std::array<std::size_t, 3> size;
  std::array<double, 3> spacing, first;
  std::array<std::ptrdiff_t, 3> stride;  // in the file's array, along x, y, z
  const std::array<std::ptrdiff_t, 3> file_stride{1, static_cast<std::ptrdiff_t>(grid.size[0]),
                                                  static_cast<std::ptrdiff_t>(grid.size[0] * grid.size[1])};
  std::ptrdiff_t start = 0;
  for (std::size_t p = 0; p < 3; ++p) {
    const std::size_t a = from[p];
    const auto last = static_cast<std::ptrdiff_t>(grid.size[a]) - 1;
    size[p] = grid.size[a];
    spacing[p] = std::abs(file[a].length);
    stride[p] = file_stride[a];
    first[p] = grid.origin[p];
    if (file[a].length < 0) {
      first[p] += file[a].length * static_cast<double>(last);
      start += last * file_stride[a];
      stride[p] = -file_stride[a];
    }
    // Centred but for rounding: exactly as centred_grid() has it, so that grids compare equal.
    const double centred = spacing[p] * (-0.5 * (static_cast<double>(size[p]) - 1.0));
    if (std::abs(first[p] - centred) < 1e-6) first[p] = centred;
  }
  Volume volume;
  volume.geometry = {.columns = size[0],
                     .rows = size[1],
                     .slices = size[2],
                     .column_mm = Millimetres(spacing[0]),
                     .row_mm = Millimetres(spacing[1]),
                     .slice_mm = Millimetres(spacing[2]),
                     .x0 = Millimetres(first[0]),
                     .y0 = Millimetres(first[1]),
                     .z0 = Millimetres(first[2])};
  volume.unit = std::move(unit);
  if (start == 0 && stride == file_stride) {
    volume.values = std::move(values);
    return volume;
  }
  volume.values.resize(values.size());
  std::size_t out = 0;
  for (std::size_t k = 0; k < size[2]; ++k) {
    for (std::size_t j = 0; j < size[1]; ++j) {
      std::ptrdiff_t in =
          start + static_cast<std::ptrdiff_t>(k) * stride[2] + static_cast<std::ptrdiff_t>(j) * stride[1];
      for (std::size_t i = 0; i < size[0]; ++i, in += stride[0]) {
        volume.values[out++] = values[static_cast<std::size_t>(in)];
      }
    }
  }
  return volume;
}

}  // namespace tomogrid::image
