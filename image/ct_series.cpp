#include "image/ct_series.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "image/formats.h"
#include "image/identity_content.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostFiles = 4096;
constexpr double kJitter = 0.001, kSlightlyUneven = 0.05;  // of the slice spacing
constexpr double kTissue = -300;                           // HU; above: body and not air or couch foam
constexpr double kTruncatedShare = 0.02;                   // of the circle around the field of view

struct Slice {
  std::string series, frame;  // compared, never shown
  std::size_t columns = 0, rows = 0;
  double row_mm = 0, column_mm = 0;
  std::vector<double> axes, place;  // 6 and 3
  double along = 0;                 // position along the normal, mm
  std::optional<double> kvp, stated_spacing;
  Identity identity;
  std::vector<float> values;  // HU
};

std::array<double, 3> normal_of(const std::vector<double>& axes) {
  return {axes[1] * axes[5] - axes[2] * axes[4], axes[2] * axes[3] - axes[0] * axes[5],
          axes[0] * axes[4] - axes[1] * axes[3]};
}

// nullopt: something else than a CT slice.
std::optional<Slice> read_slice(ByteView bytes) {
  const std::unique_ptr<DcmFileFormat> file = parse_dicom(bytes);
  DcmDataset& dataset = *file->getDataset();
  const std::string sop_class = text(dataset, DCM_SOPClassUID);
  if (sop_class == UID_EnhancedCTImageStorage)
    refuse("an enhanced multi-frame CT file: convert it to single slices, or to NIfTI in Hounsfield units");
  if (sop_class != UID_CTImageStorage || text(dataset, DCM_ImageType, 2) == "LOCALIZER") return std::nullopt;
  const PixelFrames pixels(dataset);
  if (pixels.frames() != 1) refuse("several frames in one CT slice");
  Slice slice;
  slice.series = text(dataset, DCM_SeriesInstanceUID);
  slice.frame = text(dataset, DCM_FrameOfReferenceUID);
  slice.columns = pixels.columns();
  slice.rows = pixels.rows();
  const std::vector<double> spacing = numbers(dataset, DCM_PixelSpacing);
  if (spacing.size() != 2 || !(spacing[0] > 0) || !(spacing[1] > 0))
    refuse("PixelSpacing (0028,0030) is not two positive numbers");
  slice.row_mm = spacing[0];
  slice.column_mm = spacing[1];
  slice.axes = numbers(dataset, DCM_ImageOrientationPatient);
  slice.place = numbers(dataset, DCM_ImagePositionPatient);
  if (slice.axes.size() != 6) refuse("ImageOrientationPatient (0020,0037) is missing");
  if (slice.place.size() != 3) refuse("ImagePositionPatient (0020,0032) is missing");
  const std::array<double, 3> normal = normal_of(slice.axes);
  for (std::size_t p = 0; p < 3; ++p) slice.along += normal[p] * slice.place[p];
  slice.kvp = number(dataset, DCM_KVP);
  slice.stated_spacing = number(dataset, DCM_SpacingBetweenSlices);
  slice.identity = identity_of(dataset, {0, 0, 0});
  const double slope = required_number(dataset, DCM_RescaleSlope);
  const double intercept = required_number(dataset, DCM_RescaleIntercept);
  const std::optional<double> padding = number(dataset, DCM_PixelPaddingValue);
  std::vector<double> stored(slice.columns * slice.rows);
  pixels.read(0, stored);
  slice.values.reserve(stored.size());
  for (const double value : stored)
    slice.values.push_back(padding && value == *padding ? -1000.0F : static_cast<float>(value * slope + intercept));
  return slice;
}

// The readable slices of a folder, in no order.
std::vector<Slice> read_folder(const fs::path& folder, std::vector<std::string>& warnings) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files.push_back(entry.path());
    if (files.size() > kMostFiles) refuse("more than " + std::to_string(kMostFiles) + " files in the folder");
  }
  std::sort(files.begin(), files.end());
  std::vector<Slice> slices;
  std::size_t others = 0, voxels = 0;
  for (const fs::path& file : files) {
    std::optional<Slice> slice;
    if (looks_like_dicom(head_of_file(file))) slice = read_slice(whole_file(file));
    if (!slice) {
      ++others;
      continue;
    }
    voxels += slice->values.size();
    if (voxels > kMaxElements) refuse("more than " + std::to_string(kMaxElements) + " voxels");
    slices.push_back(*std::move(slice));
  }
  if (slices.empty()) refuse("there is no CT slice in the folder");
  if (slices.size() < 2) refuse("one CT slice is no volume");
  if (others > 0) warnings.push_back(std::to_string(others) + " files in the folder are not CT slices: passed over");
  return slices;
}

void require_alike(const std::vector<Slice>& slices) {
  const Slice& first = slices.front();
  const auto close = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), [](double x, double y) { return std::abs(x - y) < 1e-3; });
  };
  for (const Slice& slice : slices) {
    if (slice.series != first.series)
      refuse("slices of several series (SeriesInstanceUID) lie in the folder: put one series into a folder of its own");
    if (slice.frame != first.frame) refuse("FrameOfReferenceUID differs between slices");
    if (slice.columns != first.columns || slice.rows != first.rows) refuse("Rows or Columns differ between slices");
    if (std::abs(slice.row_mm - first.row_mm) > 1e-4 || std::abs(slice.column_mm - first.column_mm) > 1e-4)
      refuse("PixelSpacing differs between slices");
    if (!close(slice.axes, first.axes)) refuse("ImageOrientationPatient differs between slices");
    if (slice.kvp != first.kvp) refuse("KVP differs between slices");
    const bool across =
        std::abs(slice.place[0] - first.place[0]) < 0.1 && std::abs(slice.place[1] - first.place[1]) < 0.1;
    if (!across && std::abs(normal_of(first.axes)[2]) > 0.99)
      refuse("slices are shifted against each other across the axis");
  }
}

// Requires slices in order along the normal.
double spacing_of(const std::vector<Slice>& slices, std::vector<std::string>& warnings) {
  std::vector<double> steps;
  for (std::size_t i = 1; i < slices.size(); ++i) steps.push_back(slices[i].along - slices[i - 1].along);
  std::vector<double> sorted = steps;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2), sorted.end());
  const double usual = sorted[sorted.size() / 2];
  double worst = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (steps[i] < 0.01) refuse("two slices lie at one place (ImagePositionPatient)");
    worst = std::max(worst, std::abs(steps[i] - usual) / usual);
    if (worst > kSlightlyUneven) {
      refuse("the slices are not evenly spaced: " + shortest(std::round(steps[i] * 100) / 100) + " mm behind slice " +
             std::to_string(i + 1) + ", " + shortest(std::round(usual * 100) / 100) + " mm elsewhere; is one missing?");
    }
  }
  const double mean = (slices.back().along - slices.front().along) / static_cast<double>(steps.size());
  if (worst > kJitter) warnings.push_back("the CT slices are not quite evenly spaced: their mean distance is used");
  const auto& stated = slices.front().stated_spacing;
  if (stated && std::abs(std::abs(*stated) - mean) > 0.01 * mean)
    warnings.push_back("SpacingBetweenSlices of the CT contradicts ImagePositionPatient: the positions are used");
  return mean;
}

// Whether tissue lies on the circle just inside the field of view.
bool is_truncated(const Slice& slice) {
  constexpr int kSamples = 720;
  const double radius = 0.5 * std::min(static_cast<double>(slice.columns) * slice.column_mm,
                                       static_cast<double>(slice.rows) * slice.row_mm) -
                        1.5 * std::max(slice.column_mm, slice.row_mm);
  int tissue = 0;
  for (int i = 0; i < kSamples; ++i) {
    const double angle = 2 * std::numbers::pi * i / kSamples;
    const double x = 0.5 * static_cast<double>(slice.columns - 1) + radius * std::cos(angle) / slice.column_mm;
    const double y = 0.5 * static_cast<double>(slice.rows - 1) + radius * std::sin(angle) / slice.row_mm;
    if (x < 0 || y < 0) continue;
    const std::size_t at =
        static_cast<std::size_t>(std::lround(y)) * slice.columns + static_cast<std::size_t>(std::lround(x));
    if (at < slice.values.size() && static_cast<double>(slice.values[at]) > kTissue) ++tissue;
  }
  return tissue > kTruncatedShare * kSamples;
}

CtSeries assemble(std::vector<Slice> slices, std::vector<std::string> warnings) {
  require_alike(slices);
  std::sort(slices.begin(), slices.end(), [](const Slice& a, const Slice& b) { return a.along < b.along; });
  const double spacing = spacing_of(slices, warnings);
  const auto truncated = std::count_if(slices.begin(), slices.end(), is_truncated);
  if (truncated > 0) {
    warnings.push_back("the CT's field of view cuts the body off in " + std::to_string(truncated) + " of " +
                       std::to_string(slices.size()) + " slices: attenuation is underestimated there");
  }
  CtSeries series;
  const Slice& first = slices.front();
  if (first.kvp && (*first.kvp < 60 || *first.kvp > 150)) refuse("KVP (0018,0060) is not between 60 and 150");
  if (!first.kvp) warnings.push_back("KVP is not stated: 120 kVp is assumed");
  series.kvp = first.kvp.value_or(120);
  FileGrid grid;
  grid.size = {first.columns, first.rows, slices.size()};
  grid.origin = {first.place[0], first.place[1], first.place[2]};
  const std::array<double, 3> normal = normal_of(first.axes);
  for (std::size_t p = 0; p < 3; ++p) {
    grid.step[0][p] = first.axes[p] * first.column_mm;
    grid.step[1][p] = first.axes[3 + p] * first.row_mm;
    grid.step[2][p] = normal[p] * spacing;
  }
  std::vector<float> values;
  values.reserve(first.values.size() * slices.size());
  series.loaded.identity = first.identity;
  for (Slice& slice : slices) {
    values.insert(values.end(), slice.values.begin(), slice.values.end());
    slice.values = {};
  }
  series.loaded.volume = along_axes(grid, std::move(values), "HU");
  series.loaded.warnings = std::move(warnings);
  return series;
}

}  // namespace

Result<CtSeries> load_ct_series(const fs::path& folder) {
  try {
    return guarded<CtSeries>(folder, [&] {
      std::vector<std::string> warnings;
      std::vector<Slice> slices = read_folder(folder, warnings);
      return assemble(std::move(slices), std::move(warnings));
    });
  } catch (const Failure& failure) {
    return failure.error();
  } catch (const fs::filesystem_error&) {
    return Error{ErrorCode::Storage, "cannot list " + folder.string()};
  }
}

}  // namespace tomogrid::image
