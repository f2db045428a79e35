// Interfile 3.3, read: SPECT projections and reconstructed volumes, with STIR's conventions where the standard is
// silent (docs/files.md).
#include <bit>
#include <cmath>
#include <cstring>

#include "image/formats.h"
#include "image/interfile_header.h"
#include "image/named_identity.h"
#include "image/nuclides.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

enum class NumberFormat { Unsigned, Signed, Float };

struct Encoding {
  NumberFormat format = NumberFormat::Unsigned;
  std::size_t bytes = 2;
  bool big_endian = true;
  std::uint64_t offset = 0;
  std::string file;
};

Encoding encoding_of(const InterfileHeader& header) {
  Encoding encoding;
  const std::string format = header.word("number format");
  std::size_t usual = 0;
  if (format == "signedinteger")
    encoding.format = NumberFormat::Signed;
  else if (format == "unsignedinteger" || format.empty())
    encoding.format = NumberFormat::Unsigned;
  else if (format == "float" || format == "shortfloat")
    encoding.format = NumberFormat::Float, usual = 4;
  else if (format == "longfloat")
    encoding.format = NumberFormat::Float, usual = 8;
  else
    refuse("\"number format\" is not one we read (signed or unsigned integer, short or long float)");
  encoding.bytes = usual != 0 ? header.count_or("number of bytes per pixel", usual, 1, 8)
                              : header.count("number of bytes per pixel", 1, 8);
  const bool is_float = encoding.format == NumberFormat::Float;
  const bool known = is_float ? encoding.bytes == 4 || encoding.bytes == 8
                              : encoding.bytes == 1 || encoding.bytes == 2 || encoding.bytes == 4;
  if (!known) refuse("\"number of bytes per pixel\" contradicts \"number format\"");
  const std::string order = header.word("imagedata byte order");
  if (order != "littleendian" && order != "bigendian" && !order.empty()) {
    refuse("\"imagedata byte order\" is neither LITTLEENDIAN nor BIGENDIAN");
  }
  encoding.big_endian = order != "littleendian";  // the standard's default
  for (const char* key : {"data compression", "data encode"}) {
    const std::string value = header.word(key);
    if (!value.empty() && value != "none")
      refuse("\"" + std::string(key) + "\": compressed or encoded data are not read");
  }
  // Blocks are of 2048 bytes.
  const double block = header.number("data starting block").value_or(0);
  const double offset = header.number("data offset in bytes").value_or(block * 2048);
  if (offset < 0 || offset > 1e12 || offset != std::floor(offset))
    refuse("\"data offset in bytes\" is not a whole number");
  encoding.offset = static_cast<std::uint64_t>(offset);
  encoding.file = header.text("name of data file");
  if (encoding.file.empty() && encoding.offset == 0) refuse("\"name of data file\" is missing");
  return encoding;
}

template <class T>
void decode(ByteView bytes, bool big_endian, std::span<float> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint8_t raw[sizeof(T)];
    std::memcpy(raw, bytes.data() + i * sizeof(T), sizeof(T));
    if (big_endian) {
      for (std::size_t a = 0, b = sizeof(T) - 1; a < b; ++a, --b) std::swap(raw[a], raw[b]);
    }
    T value;
    std::memcpy(&value, raw, sizeof(T));
    out[i] = static_cast<float>(value);
  }
}

void decode(const Encoding& encoding, ByteView bytes, std::span<float> values) {
  const bool big = encoding.big_endian;
  switch (encoding.format) {
    case NumberFormat::Float:
      if (encoding.bytes == 4)
        decode<float>(bytes, big, values);
      else
        decode<double>(bytes, big, values);
      break;
    case NumberFormat::Signed:
      if (encoding.bytes == 1)
        decode<std::int8_t>(bytes, big, values);
      else if (encoding.bytes == 2)
        decode<std::int16_t>(bytes, big, values);
      else
        decode<std::int32_t>(bytes, big, values);
      break;
    case NumberFormat::Unsigned:
      if (encoding.bytes == 1)
        decode<std::uint8_t>(bytes, big, values);
      else if (encoding.bytes == 2)
        decode<std::uint16_t>(bytes, big, values);
      else
        decode<std::uint32_t>(bytes, big, values);
      break;
  }
}

// Values [first, first + values.size()) of the data, in the file's order.
void read_values(const Encoding& encoding, double scale, const DataFile& data, std::uint64_t first,
                 std::span<float> values) {
  decode(encoding,
         data(encoding.file, encoding.offset + first * encoding.bytes, std::uint64_t{values.size()} * encoding.bytes),
         values);
  if (scale == 1) return;
  for (float& value : values) value *= static_cast<float>(scale);
}

PatientPosition position_of(const InterfileHeader& header, std::vector<std::string>& warnings) {
  const std::string orientation = header.word("patient orientation"), rotation = header.word("patient rotation");
  const bool head = orientation == "headin", feet = orientation == "feetin";
  const bool supine = rotation == "supine", prone = rotation == "prone";
  if (rotation == "other" || rotation == "left" || rotation == "right" || orientation == "other") {
    refuse("\"patient rotation\" or \"patient orientation\" is neither head in or feet in, nor supine or prone");
  }
  if ((head || feet) && (supine || prone)) {
    if (head) return supine ? PatientPosition::HFS : PatientPosition::HFP;
    return supine ? PatientPosition::FFS : PatientPosition::FFP;
  }
  warnings.push_back("how the patient lay is not stated: taken as head in, supine");
  return PatientPosition::Unknown;
}

Identity identity_in(const InterfileHeader& header, PatientPosition position) {
  return named_identity({.name = header.text("patient name"),
                         .id = header.text("patient ID"),
                         .study_id = header.text("study ID"),
                         .study_date = header.text("study date"),
                         .position = position});
}

double spacing(const InterfileHeader& header, int axis) {
  const std::string key = "scaling factor (mm/pixel) [" + std::to_string(axis) + "]";
  const std::optional<double> value = header.number(key);
  if (!value) refuse("\"" + key + "\" is missing");
  if (!(*value > 0)) refuse("\"" + key + "\" is not positive");
  return *value;
}

void require_modality(const InterfileHeader& header) {
  const std::string type = header.word("type of data");
  if (type != "tomographic" && type != "pet" && type != "spect") {
    refuse("\"type of data\" is not Tomographic (" +
           std::string(type.empty() ? "missing" : "static, dynamic, gated, ...") + ")");
  }
  if (header.count_or("number of time frames", 1, 1, 65535) > 1 ||
      header.count_or("number of time slots", 1, 1, 65535) > 1) {
    refuse("several time frames or gates: only one is reconstructed");
  }
}

// A scale that the pixels must be multiplied by; 1 when none is stated.
double scale_of(const InterfileHeader& header) {
  double scale = 1;
  for (const char* key : {"quantification units", "image scaling factor [1]", "rescale slope"}) {
    if (const auto value = header.number(key)) scale = *value;
  }
  if (scale == 0) refuse("its pixels are to be multiplied by 0");
  return scale;
}

void read_orbit(const InterfileHeader& header, std::vector<View>& views) {
  const std::string orbit = header.word("orbit");
  if (!orbit.empty() && orbit != "circular" && orbit != "noncircular" && orbit != "non-circular") {
    refuse("\"orbit\" is neither circular nor non-circular");
  }
  std::vector<double> radii = header.numbers("radius");
  if (radii.empty()) radii = header.numbers("radii");
  if (radii.size() > 1 && radii.size() != views.size()) {
    refuse("\"radius\" has " + std::to_string(radii.size()) + " values for " + std::to_string(views.size()) +
           " projections");
  }
  for (std::size_t k = 0; k < views.size() && !radii.empty(); ++k) {
    const double radius = radii.size() == 1 ? radii[0] : radii[k];
    if (radius < 0) refuse("\"radius\" is negative");
    views[k].radius = Millimetres(radius);
  }
}

void read_times(const InterfileHeader& header, std::vector<View>& views, std::vector<std::string>& warnings) {
  double seconds = header.number("time per projection (sec)").value_or(0);
  if (seconds == 0) seconds = header.number("image duration (sec) [1]").value_or(0) / static_cast<double>(views.size());
  if (seconds < 0) refuse("\"time per projection (sec)\" is negative");
  if (seconds == 0)
    warnings.push_back("the time per projection is not stated: decay during the scan cannot be modelled");
  for (std::size_t k = 0; k < views.size(); ++k) {
    views[k].start = Seconds(static_cast<double>(k) * seconds);
    views[k].duration = Seconds(seconds);
  }
}

AcquisitionFacts facts_of(const InterfileHeader& header, std::size_t window) {
  AcquisitionFacts facts;
  for (const char* key : {"isotope name", "radionuclide name [1]", "radionuclide [1]"}) {
    if (const auto nuclide = nuclide_in(header.text(key)); nuclide && facts.nuclide.empty()) facts.nuclide = *nuclide;
  }
  if (!facts.nuclide.empty()) facts.half_life = half_life_of(facts.nuclide);
  if (const auto collimator = collimator_in(header.text("name of collimator"))) facts.collimator = *collimator;
  const std::string index = "[" + std::to_string(window) + "]";
  const auto lower = header.number("energy window lower level " + index);
  const auto upper = header.number("energy window upper level " + index);
  if (lower && upper && *lower >= 0 && *lower < *upper) facts.windows.push_back({*lower, *upper});
  return facts;
}

// Which of several energy windows; they follow one another in the data.
std::size_t window_of(const InterfileHeader& header, const LoadOptions& options) {
  const std::size_t windows = header.count_or("number of energy windows", 1, 1, 64);
  if (options.window && *options.window > windows)
    refuse("there is no energy window " + std::to_string(*options.window));
  if (windows > 1 && !options.window)
    refuse("several energy windows: choose one with --window 1 to " + std::to_string(windows));
  return options.window.value_or(1);
}

// Values of part of one view, whose rows or bins the file has the other way round.
class Turned {
 public:
  Turned(const ProjectionGeometry& geometry, const GantryView& gantry)
      : rows_(geometry.rows), bins_(geometry.bins), gantry_(gantry) {}

  // Fills `into` with the view's values from `begin`. `read`(first, values): of this view, as the file has them.
  void read(std::size_t begin, std::span<float> into,
            const std::function<void(std::size_t, std::span<float>)>& read) const {
    const std::size_t first_row = begin / bins_, end_row = (begin + into.size() + bins_ - 1) / bins_;
    const std::size_t file_row = gantry_.rows_reversed ? rows_ - end_row : first_row;
    std::vector<float> raw((end_row - first_row) * bins_);
    read(file_row * bins_, raw);
    for (std::size_t i = 0; i < into.size(); ++i) {
      const std::size_t row = (begin + i) / bins_, bin = (begin + i) % bins_;
      const std::size_t from_row = (gantry_.rows_reversed ? rows_ - 1 - row : row) - file_row;
      into[i] = raw[from_row * bins_ + (gantry_.bins_reversed ? bins_ - 1 - bin : bin)];
    }
  }

 private:
  std::size_t rows_, bins_;
  GantryView gantry_;
};

}  // namespace

bool looks_like_interfile(ByteView bytes) {
  const std::string_view text = text_of(bytes.subspan(0, std::min<std::size_t>(bytes.size(), 4096)));
  const std::string key = interfile_key(trimmed(text).substr(0, 32));
  return key.rfind("interfile", 0) == 0;
}

InterfileScan read_interfile_header(std::string_view text, const LoadOptions& options) {
  const InterfileHeader header(text);
  InterfileScan scan;
  LoadedScan& loaded = scan.loaded;
  require_modality(header);
  const std::string status = header.word("process status");
  if (status == "reconstructed") refuse("a reconstructed volume (\"process status\"), not projections");
  if (status != "acquired") refuse("\"process status\" is not Acquired");
  if (header.count_or("number of detector heads", 1, 1, 16) > 1) {
    refuse("several detector heads in one Interfile file: use DICOM, or a file per head");
  }
  ProjectionGeometry& geometry = loaded.projections.geometry;
  geometry.bins = header.count("matrix size [1]", 1, kMaxSide);
  geometry.rows = header.count("matrix size [2]", 1, kMaxSide);
  const std::size_t views = header.count("number of projections", 1, kMaxViews);
  if (geometry.bins * geometry.rows * views > kMaxElements)
    refuse("more than " + std::to_string(kMaxElements) + " values");
  geometry.bin_mm = Millimetres(spacing(header, 1));
  geometry.row_mm = Millimetres(spacing(header, 2));
  geometry.u0 = geometry.bin_mm * (-0.5 * static_cast<double>(geometry.bins - 1));
  geometry.v0 = geometry.row_mm * (-0.5 * static_cast<double>(geometry.rows - 1));

  const PatientPosition position = position_of(header, loaded.warnings);
  const GantryView gantry = gantry_view(position);
  const std::string direction = header.word("direction of rotation");
  if (direction != "cw" && direction != "ccw") refuse("\"direction of rotation\" is neither CW nor CCW");
  const std::optional<double> extent = header.number("extent of rotation");
  if (!extent || !(*extent > 0) || *extent > 3600) refuse("\"extent of rotation\" is not a positive number of degrees");
  const std::optional<double> start = header.number("start angle");
  if (!start) loaded.warnings.push_back("\"start angle\" is not stated: taken as 0");
  const double step = (direction == "cw" ? -1 : 1) * *extent / static_cast<double>(views);
  geometry.views.resize(views);
  for (std::size_t k = 0; k < views; ++k) {
    // DICOM's scale for a patient head in and supine, then turned with the patient.
    const double gantry_degrees = 180 - (start.value_or(0) + step * static_cast<double>(k));
    geometry.views[k].angle = theta_of_dicom(180 - (gantry.turn * gantry_degrees + gantry.shift_degrees));
  }
  read_orbit(header, geometry.views);
  read_times(header, geometry.views, loaded.warnings);
  settle_radii(geometry, options, loaded.warnings);

  const std::size_t window = window_of(header, options);
  loaded.projections.facts = facts_of(header, window);
  if (auto sound = check(geometry, loaded.projections.facts); !sound) refuse(sound.error().message);
  const Encoding encoding = encoding_of(header);
  const double scale = scale_of(header);
  if (scale != 1) {
    loaded.projections.facts.counts = false;
    loaded.warnings.push_back("the values are rescaled by the header: they are not counts");
  }
  loaded.identity = identity_in(header, position);
  const std::uint64_t base = std::uint64_t{window - 1} * geometry.elements();
  scan.data_file = encoding.file;
  scan.data_end = encoding.offset + (base + geometry.elements()) * encoding.bytes;
  const bool turned = gantry.bins_reversed || gantry.rows_reversed;
  const std::size_t of_a_view = geometry.rows * geometry.bins;
  scan.read = [=, turn = Turned(geometry, gantry)](const DataFile& data, std::size_t first, std::span<float> into) {
    if (!turned) return read_values(encoding, scale, data, base + first, into);
    while (!into.empty()) {
      const std::size_t begin = first % of_a_view, count = std::min(of_a_view - begin, into.size());
      const std::uint64_t view = base + (first - begin);
      turn.read(begin, into.first(count), [&](std::size_t at, std::span<float> values) {
        read_values(encoding, scale, data, view + at, values);
      });
      first += count;
      into = into.subspan(count);
    }
  };
  return scan;
}

LoadedScan read_interfile_scan(std::string_view text, const DataFile& data, const LoadOptions& options) {
  InterfileScan scan = read_interfile_header(text, options);
  Projections& projections = scan.loaded.projections;
  (void)data(scan.data_file, scan.data_end, 0);  // before anything is allocated: is it all there?
  projections.values.resize(projections.geometry.elements());
  scan.read(data, 0, projections.values);
  settle_counts(projections, scan.loaded.warnings);
  return std::move(scan.loaded);
}

LoadedVolume read_interfile_volume(std::string_view text, const DataFile& data, const std::string& unit) {
  const InterfileHeader header(text);
  LoadedVolume loaded;
  require_modality(header);
  const std::string status = header.word("process status");
  if (status == "acquired" || header.has("number of projections"))
    refuse("projections (\"process status\"), not a volume");
  FileGrid grid;
  std::array<double, 3> size_mm{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const std::string index = "[" + std::to_string(axis + 1) + "]";
    std::string key = "matrix size " + index;
    if (axis == 2 && !header.has(key))
      key = header.has("number of slices") ? "number of slices" : "total number of images";
    grid.size[axis] = header.count(key, 1, kMaxSide);
    size_mm[axis] = axis == 2 && !header.has("scaling factor (mm/pixel) [3]") && header.has("slice thickness (pixels)")
                        ? *header.number("slice thickness (pixels)") * spacing(header, 1)
                        : spacing(header, static_cast<int>(axis) + 1);
  }
  if (grid.size[0] * grid.size[1] * grid.size[2] > kMaxElements)
    refuse("more than " + std::to_string(kMaxElements) + " voxels");
  const PatientPosition position = position_of(header, loaded.warnings);
  const FileAxes axes = gantry_axes(position);
  const std::array<double, 3> sign{axes.x, axes.y, axes.z};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double step = sign[axis] * size_mm[axis];
    grid.step[axis][axis] = step;
    grid.origin[axis] = -0.5 * static_cast<double>(grid.size[axis] - 1) * step;
    // Ours, in the patient's frame. STIR's "first pixel offset" has another origin than its projections: not used.
    const std::string ours = "tomogrid first voxel (mm) [" + std::to_string(axis + 1) + "]";
    if (const auto place = header.number(ours)) grid.origin[axis] = *place;
  }
  const Encoding encoding = encoding_of(header);
  const std::uint64_t count = std::uint64_t{grid.size[0]} * grid.size[1] * grid.size[2];
  (void)data(encoding.file, encoding.offset + count * encoding.bytes, 0);
  std::vector<float> values(count);
  read_values(encoding, scale_of(header), data, 0, values);
  const std::string stated = header.text("tomogrid unit");
  loaded.volume = along_axes(grid, std::move(values), unit.empty() ? stated : unit);
  loaded.identity = identity_in(header, position);
  return loaded;
}

}  // namespace tomogrid::image
