// Interfile 3.3, written: the inverse of interfile.cpp.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "image/formats.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

// A header under construction.
struct Lines {
  std::string text = "!INTERFILE :=\n";
  void line(const std::string& key, const std::string& value = "") {
    if (value.find(';') != std::string::npos) refuse("\"" + key + "\" cannot hold a semicolon: it begins a comment");
    text += key + " := " + printable(value) + "\n";
  }
  void line(const std::string& key, double value) { line(key, shortest(value)); }
  void line(const std::string& key, std::size_t value) { line(key, std::to_string(value)); }
};

void put_position(Lines& lines, PatientPosition position) {
  if (position == PatientPosition::Unknown) return;
  const bool feet = position == PatientPosition::FFS || position == PatientPosition::FFP;
  const bool prone = position == PatientPosition::HFP || position == PatientPosition::FFP;
  lines.line("patient orientation", feet ? "feet_in" : "head_in");
  lines.line("patient rotation", prone ? "prone" : "supine");
}

void put_format(Lines& lines, bool whole) {
  lines.line("!number format", whole ? "unsigned integer" : "float");
  lines.line("!number of bytes per pixel", std::size_t{whole ? 2u : 4u});
}

bool fits_16_bits(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return v >= 0 && v <= 65535 && v == std::floor(v); });
}

ByteString packed(const std::vector<float>& values, bool whole) {
  if (!whole) {
    const ByteView bytes = as_bytes(values);
    return ByteString(bytes.begin(), bytes.end());
  }
  ByteString bytes(values.size() * 2);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto n = static_cast<std::uint16_t>(values[i]);
    bytes[2 * i] = static_cast<std::uint8_t>(n & 0xFF);
    bytes[2 * i + 1] = static_cast<std::uint8_t>(n >> 8);
  }
  return bytes;
}

struct Sweep {
  double start = 0, step = 0;  // degrees of DICOM's scale in the gantry; step positive: CCW
};

// Interfile knows one detector and equal steps.
Sweep sweep_of(const std::vector<View>& views, const GantryView& gantry) {
  std::vector<double> degrees;
  for (const View& view : views) {
    // The inverse of interfile.cpp's turn; turn is its own inverse.
    const double patient = 180 - dicom_of_theta(view.angle);
    degrees.push_back(180 - gantry.turn * (patient - gantry.shift_degrees));
    if (view.detector != 0) refuse("Interfile holds one detector: save a scan of several as DICOM");
  }
  Sweep sweep{degrees[0], views.size() > 1 ? std::remainder(degrees[1] - degrees[0], 360) : 360};
  for (std::size_t k = 0; k < degrees.size(); ++k) {
    const double expected = sweep.start + sweep.step * static_cast<double>(k);
    if (std::abs(std::remainder(degrees[k] - expected, 360)) > 1e-5) {
      refuse("Interfile needs views at equal angles: save this scan as DICOM");
    }
  }
  sweep.start = std::fmod(sweep.start, 360);
  if (sweep.start < 0) sweep.start += 360;
  return sweep;
}

// The step times the number of views, in whole nano-degrees, so that 120 steps of 3 are 360.
double extent_of(const Sweep& sweep, std::size_t views) {
  return std::round(std::abs(sweep.step) * static_cast<double>(views) * 1e9) / 1e9;
}

}  // namespace

InterfileText write_interfile_scan(const Projections& projections, const ScanLabels& labels,
                                   const std::string& data_name, std::span<const Projections> scatter) {
  const ProjectionGeometry& g = projections.geometry;
  std::vector<const Projections*> windows{&projections};
  for (const Projections& window : scatter) windows.push_back(&window);
  const auto centred = [](Millimetres first, std::size_t count, Millimetres step) {
    return std::abs(first.count() + 0.5 * static_cast<double>(count - 1) * step.count()) < 1e-6;
  };
  if (!centred(g.u0, g.bins, g.bin_mm) || !centred(g.v0, g.rows, g.row_mm)) {
    refuse("Interfile states no offset: only a scan centred on the axis can be saved so");
  }
  const GantryView gantry = gantry_view(labels.position);
  const Sweep sweep = sweep_of(g.views, gantry);
  const bool whole = std::all_of(windows.begin(), windows.end(),
                                 [](const Projections* window) { return fits_16_bits(window->values); });
  Lines lines;
  lines.line("!imaging modality", "nucmed");
  lines.line("!originating system", "tomogrid");
  lines.line("!version of keys", "3.3");
  lines.line("!GENERAL DATA");
  lines.line("!name of data file", data_name);
  lines.line("patient name", labels.patient_name);
  lines.line("!patient ID", labels.patient_id);
  lines.line("!GENERAL IMAGE DATA");
  lines.line("!type of data", "Tomographic");
  lines.line("imagedata byte order", "LITTLEENDIAN");
  if (!projections.facts.nuclide.empty()) lines.line("isotope name", projections.facts.nuclide);
  if (!projections.facts.collimator.empty()) lines.line("name of collimator", projections.facts.collimator);
  if (windows.size() > 1 || projections.facts.windows.size() == 1) {
    lines.line("number of energy windows", windows.size());
    for (std::size_t w = 0; w < windows.size(); ++w) {
      if (windows[w]->facts.windows.size() != 1) continue;
      const std::string index = " [" + std::to_string(w + 1) + "]";
      lines.line("energy window lower level" + index, windows[w]->facts.windows[0].lower_kev);
      lines.line("energy window upper level" + index, windows[w]->facts.windows[0].upper_kev);
    }
  }
  lines.line("!SPECT STUDY (General)");
  put_position(lines, labels.position);
  put_format(lines, whole);
  lines.line("!matrix size [1]", g.bins);
  lines.line("!scaling factor (mm/pixel) [1]", g.bin_mm.count());
  lines.line("!matrix size [2]", g.rows);
  lines.line("!scaling factor (mm/pixel) [2]", g.row_mm.count());
  lines.line("!number of projections", g.views.size());
  lines.line("!extent of rotation", extent_of(sweep, g.views.size()));
  if (g.views[0].duration.count() > 0) lines.line("!time per projection (sec)", g.views[0].duration.count());
  lines.line("!process status", "acquired");
  lines.line("!SPECT STUDY (acquired data)");
  lines.line("!direction of rotation", sweep.step < 0 ? "CW" : "CCW");
  lines.line("start angle", sweep.start);
  const bool circular =
      std::all_of(g.views.begin(), g.views.end(), [&](const View& v) { return v.radius == g.views[0].radius; });
  lines.line("orbit", circular ? "circular" : "non-circular");
  if (circular) {
    if (g.views[0].radius.count() > 0) lines.line("radius", g.views[0].radius.count());
  } else {
    std::string radii = "{";
    for (const View& view : g.views) radii += (radii.size() > 1 ? "," : "") + shortest(view.radius.count());
    lines.line("radius", radii + "}");
  }
  lines.line("!END OF INTERFILE");

  std::vector<float> values(projections.values.size() * windows.size());
  for (std::size_t w = 0; w < windows.size(); ++w) {
    float* const out = values.data() + w * projections.values.size();
    for (std::size_t v = 0; v < g.views.size(); ++v) {
      for (std::size_t r = 0; r < g.rows; ++r) {
        const std::size_t from = (v * g.rows + (gantry.rows_reversed ? g.rows - 1 - r : r)) * g.bins;
        for (std::size_t b = 0; b < g.bins; ++b)
          out[(v * g.rows + r) * g.bins + b] = windows[w]->values[from + (gantry.bins_reversed ? g.bins - 1 - b : b)];
      }
    }
  }
  return {std::move(lines.text), packed(values, whole)};
}

InterfileText write_interfile_volume(const Volume& volume, const std::string& data_name) {
  const VolumeGeometry& g = volume.geometry;
  Lines lines;
  lines.line("!imaging modality", "nucmed");
  lines.line("!originating system", "tomogrid");
  lines.line("!version of keys", "3.3");
  lines.line("name of data file", data_name);
  lines.line("!GENERAL DATA");
  // The axes are the patient's, as for one head in and supine, however they lay: that is what these words tell.
  put_position(lines, PatientPosition::HFS);
  lines.line("!GENERAL IMAGE DATA");
  lines.line("!type of data", "Tomographic");
  lines.line("imagedata byte order", "LITTLEENDIAN");
  lines.line("!SPECT STUDY (General)");
  lines.line("!process status", "Reconstructed");
  put_format(lines, false);
  lines.line("number of dimensions", std::size_t{3});
  const char* names[] = {"x", "y", "z"};
  const std::size_t sizes[] = {g.columns, g.rows, g.slices};
  const double steps[] = {g.column_mm.count(), g.row_mm.count(), g.slice_mm.count()};
  // The first slice in the file is the one nearest the head.
  const double first[] = {g.x0.count(), g.y0.count(),
                          g.z0.count() + static_cast<double>(g.slices - 1) * g.slice_mm.count()};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::string index = " [" + std::to_string(axis + 1) + "]";
    lines.line("matrix axis label" + index, names[axis]);
    lines.line("!matrix size" + index, sizes[axis]);
    lines.line("scaling factor (mm/pixel)" + index, steps[axis]);
    lines.line("tomogrid first voxel (mm)" + index, first[axis]);
  }
  if (!volume.unit.empty()) lines.line("tomogrid unit", volume.unit);
  lines.line("number of time frames", std::size_t{1});
  lines.line("!END OF INTERFILE");
  std::vector<float> values(volume.values.size());
  const std::size_t slice = g.columns * g.rows;
  for (std::size_t k = 0; k < g.slices; ++k) {
    std::copy_n(volume.values.begin() + static_cast<std::ptrdiff_t>((g.slices - 1 - k) * slice), slice,
                values.begin() + static_cast<std::ptrdiff_t>(k * slice));
  }
  return {std::move(lines.text), packed(values, false)};
}

}  // namespace tomogrid::image
