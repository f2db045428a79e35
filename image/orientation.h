// From the angles and axes that file formats speak of to those of image/geometry.h. Pure. Not for other rooms.
//
// DICOM (PS3.3 C.8.4.11 and C.8.4.12, Start Angle): zero degrees is a detector at the patient's back; seen from the
// patient's feet the angle grows counter-clockwise, from the back towards the patient's left. So a detector at phi
// degrees is in direction (sin phi, cos phi) of (left, back), and since theta's direction is (sin theta, -cos theta):
//     theta = 180 degrees - phi,
// and RotationDirection CW ("decreasing angle") makes theta grow. It is tied to the patient, however they lie.
//
// Interfile 3.3 says neither what its angles are tied to nor from where they are seen. We read them as STIR does: tied
// to the gantry, DICOM's for a patient who lies head in and supine. A patient who lies otherwise is turned in the
// gantry, which `patient orientation` and `patient rotation` tell.
#pragma once

#include <array>
#include <vector>

#include "image/files.h"
#include "image/geometry.h"

namespace tomogrid::image {

// theta in [0, 2 pi) of a detector at `degrees` of DICOM's scale, and back, in [0, 360).
Radians theta_of_dicom(double degrees);
double dicom_of_theta(Radians theta);

// The patient axis (+x left, +y back, +z head) along which each file axis runs for a patient lying so, as signs.
// File axes of Interfile: X to the left, Y to the back, Z to the feet of a patient head in and supine.
struct FileAxes {
  double x = 1, y = 1, z = -1;
};
FileAxes gantry_axes(PatientPosition position);  // Unknown: as HFS

// How Interfile projections of a patient lying so become ours: theta = turn * theta_gantry + shift, bins reversed if
// mirrored, rows reversed if the first row is the one nearest the head.
struct GantryView {
  double turn = 1, shift_degrees = 0;
  bool bins_reversed = false, rows_reversed = true;
};
GantryView gantry_view(PatientPosition position);

// A grid as a file states it: index axes i (fastest), j, k with their steps and the centre of voxel (0, 0, 0); LPS, mm.
struct FileGrid {
  std::array<std::size_t, 3> size{};
  std::array<std::array<double, 3>, 3> step{};   // step[axis] is a vector
  std::array<double, 3> origin{};
};
// The values in [slice][row][column] order along the patient's axes. Throws Refusal: oblique, singular, axes not
// distinct.
Volume along_axes(const FileGrid& grid, std::vector<float> values, std::string unit);

}  // namespace tomogrid::image
