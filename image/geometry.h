// Where voxels and detector bins lie. The one place that states array order and handedness.
//
// Patient frame: DICOM's LPS in mm, with the patient head first and supine: +x to the patient's left, +y to the back,
// +z to the head. The rotation axis is parallel to z and passes through the origin.
//
// Volume:       [slice][row][column]; column along +x, row along +y, slice along +z; positions are voxel centres.
// Projections:  [view][row][bin];     bin along +u, row along +v.
// A view at angle theta has its detector at direction (sin theta, -cos theta): 0 is anterior, pi/2 the patient's left,
// pi posterior. A point (x, y, z) is seen at
//     u = x cos theta + y sin theta,    v = z,    d = radius - x sin theta + y cos theta
// where d is its distance from the collimator face. Row k of a projection and slice k of a volume lie at the same z
// when both are centred and have the same spacing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/quantity.h"

namespace tomogrid::image {

struct VolumeGeometry {
  std::size_t columns = 0, rows = 0, slices = 0;
  Millimetres column_mm, row_mm, slice_mm;     // centre to centre
  Millimetres x0, y0, z0;                      // centre of voxel (0, 0, 0)
  std::size_t voxels() const { return columns * rows * slices; }
  bool operator==(const VolumeGeometry&) const = default;
};

// A grid centred on the rotation axis and on z = 0.
VolumeGeometry centred_grid(std::size_t columns, std::size_t rows, std::size_t slices, Millimetres column,
                            Millimetres row, Millimetres slice);

// One stop of one detector.
struct View {
  Radians angle;               // theta above
  Millimetres radius;          // rotation axis to collimator face; 0: unknown
  Seconds start{0};            // since the start of the acquisition
  Seconds duration{0};         // 0: unknown
  std::uint32_t detector = 0;  // which head
  bool operator==(const View&) const = default;
};

struct ProjectionGeometry {
  std::size_t bins = 0, rows = 0;
  Millimetres bin_mm, row_mm;
  Millimetres u0, v0;          // centre of bin 0, of row 0; centred: -(bins - 1) / 2 * bin_mm
  std::vector<View> views;
  std::size_t elements() const { return bins * rows * views.size(); }
  bool operator==(const ProjectionGeometry&) const = default;
};

}  // namespace tomogrid::image
