// A DICOM CT series: a folder of single slices. Not for other rooms; load_attenuation() makes a map of it.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "image/files.h"

namespace tomogrid::image {

struct CtSeries {
  LoadedVolume loaded;  // Hounsfield units, in the patient's coordinates; identity of the first slice
  double kvp = 120;
};

// Slices are ordered by ImagePositionPatient along the normal of ImageOrientationPatient, whatever their names or
// numbers. Files that are not CT slices are passed over, with a warning. Warnings: a body that reaches the edge of the
// field of view, spacing that varies by up to 5 %, a SpacingBetweenSlices that contradicts the positions.
//
// BadInput: no slices, one slice, two series in the folder, slices of different size, spacing, orientation or frame of
// reference, two at one place, a slice missing (spacing that varies by more), an enhanced CT file, a tilted gantry,
// a tube voltage outside 60 to 150 kVp.
Result<CtSeries> load_ct_series(const std::filesystem::path& folder);

}  // namespace tomogrid::image
