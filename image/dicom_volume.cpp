// DICOM NM RECON TOMO, read. Slices are located through SliceVector; position and orientation lie inside the detector's
// item (PS3.3 C.8.4.11, C.8.4.15).
#include <algorithm>
#include <cmath>

#include "image/formats.h"
#include "image/identity_content.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

void require_recon(DcmDataset& dataset) {
  const std::string kind = nm_kind(dataset);
  if (kind == "RECON GATED TOMO") refuse("a gated reconstruction (RECON GATED TOMO): give one gate");
  if (kind == "TOMO" || kind == "GATED TOMO")
    refuse("a tomographic acquisition (" + kind + "), not a reconstructed volume");
  if (kind != "RECON TOMO")
    refuse("a planar NM image (" + printable(kind.substr(0, 16)) + "), not a reconstructed volume (RECON TOMO)");
}

// An attribute of the first detector's item, or of the image.
std::vector<double> placed(DcmDataset& dataset, const DcmTagKey& tag, std::size_t size) {
  for (DcmItem* detector : items(dataset, DCM_DetectorInformationSequence)) {
    if (const std::vector<double> values = numbers(*detector, tag); values.size() == size) return values;
  }
  const std::vector<double> values = numbers(dataset, tag);
  if (values.size() != size) refuse(name_of(tag) + " is missing: the volume cannot be placed");
  return values;
}

// Which frame is slice s, from 0, by SliceVector.
std::vector<std::size_t> frames_of_slices(DcmDataset& dataset, std::size_t frames) {
  DcmTagKey named;
  DcmElement* pointer = nullptr;
  if (dataset.findAndGetElement(DCM_FrameIncrementPointer, pointer).bad() ||
      dynamic_cast<DcmAttributeTag*>(pointer) == nullptr ||
      static_cast<DcmAttributeTag*>(pointer)->getTagVal(named, 0).bad() || pointer->getVM() != 1 ||
      !(named == DCM_SliceVector)) {
    refuse("FrameIncrementPointer (0028,0009) does not name SliceVector (0054,0080) alone");
  }
  std::vector<std::size_t> result(frames, frames);
  const std::vector<std::uint16_t> slices = index_vector(dataset, DCM_SliceVector, frames);
  for (std::size_t frame = 0; frame < frames; ++frame) {
    const std::size_t slice = slices[frame] - 1u;
    if (slice >= frames || result[slice] != frames)
      refuse("SliceVector (0054,0080) does not number the slices 1 to " + std::to_string(frames));
    result[slice] = frame;
  }
  return result;
}

struct Scale {
  double slope = 1, intercept = 0;
  std::string unit;
};

// A real world value mapping if it is a line, else the rescale that many cameras state though NM does not have it.
Scale scale_of(DcmDataset& dataset) {
  Scale scale;
  for (DcmItem* mapping : items(dataset, DCM_RealWorldValueMappingSequence)) {
    const auto slope = number(*mapping, DCM_RealWorldValueSlope),
               intercept = number(*mapping, DCM_RealWorldValueIntercept);
    if (!slope || !intercept) continue;
    scale = {*slope, *intercept, text(*mapping, DCM_LUTExplanation)};
    break;
  }
  if (scale.unit.empty() && scale.slope == 1) {
    scale.slope = number(dataset, DCM_RescaleSlope).value_or(1);
    scale.intercept = number(dataset, DCM_RescaleIntercept).value_or(0);
  }
  if (scale.slope == 0) refuse("its pixels are to be multiplied by 0");
  // The explanation is free text elsewhere; ours is a unit.
  if (scale.unit.rfind("unit ", 0) == 0)
    scale.unit = scale.unit.substr(5);
  else
    scale.unit.clear();
  return scale;
}

double slice_spacing(DcmDataset& dataset, std::vector<std::string>& warnings) {
  const std::optional<double> spacing = number(dataset, DCM_SpacingBetweenSlices);
  const std::optional<double> thickness = number(dataset, DCM_SliceThickness);
  const double value = spacing ? *spacing : thickness.value_or(0);
  if (value == 0) refuse("neither SpacingBetweenSlices nor SliceThickness is stated");
  if (!spacing) warnings.push_back("SpacingBetweenSlices is not stated: SliceThickness is used");
  if (value < 0)
    warnings.push_back("SpacingBetweenSlices is negative: the slices are stacked against the normal, as C.8.4.15 says");
  if (spacing && thickness && std::abs(std::abs(*spacing) - *thickness) > 0.01 * std::abs(*spacing)) {
    warnings.push_back("SpacingBetweenSlices contradicts SliceThickness: the spacing is used");
  }
  return value;
}

}  // namespace

LoadedVolume read_dicom_volume(ByteView bytes, const std::string& unit) {
  const std::unique_ptr<DcmFileFormat> file = parse_dicom(bytes);
  DcmDataset& dataset = *file->getDataset();
  require_recon(dataset);
  const PixelFrames pixels(dataset);
  if (pixels.frames() > kMaxSide) refuse("more than " + std::to_string(kMaxSide) + " slices");
  LoadedVolume loaded;
  const std::vector<std::size_t> frame_of_slice = frames_of_slices(dataset, pixels.frames());
  const std::vector<double> axes = placed(dataset, DCM_ImageOrientationPatient, 6);
  const std::vector<double> place = placed(dataset, DCM_ImagePositionPatient, 3);
  const std::vector<double> spacing = numbers(dataset, DCM_PixelSpacing);
  if (spacing.size() != 2 || !(spacing[0] > 0) || !(spacing[1] > 0))
    refuse("PixelSpacing (0028,0030) is not two positive numbers");
  const double between = slice_spacing(dataset, loaded.warnings);
  FileGrid grid;
  grid.size = {pixels.columns(), pixels.rows(), pixels.frames()};
  grid.origin = {place[0], place[1], place[2]};
  for (std::size_t p = 0; p < 3; ++p) {
    const std::size_t q = (p + 1) % 3, r = (p + 2) % 3;
    grid.step[0][p] = axes[p] * spacing[1];
    grid.step[1][p] = axes[3 + p] * spacing[0];
    grid.step[2][p] = (axes[q] * axes[3 + r] - axes[r] * axes[3 + q]) * between;  // the normal
  }
  const Scale scale = scale_of(dataset);
  const std::size_t slice = pixels.columns() * pixels.rows();
  std::vector<float> values(slice * pixels.frames());
  std::vector<double> stored(slice);
  for (std::size_t s = 0; s < pixels.frames(); ++s) {
    pixels.read(frame_of_slice[s], stored);
    std::transform(stored.begin(), stored.end(), values.begin() + static_cast<std::ptrdiff_t>(s * slice),
                   [&scale](double v) { return static_cast<float>(v * scale.slope + scale.intercept); });
  }
  loaded.volume = along_axes(grid, std::move(values), unit.empty() ? scale.unit : unit);
  loaded.identity = identity_of(dataset, {0, 0, 0});
  return loaded;
}

}  // namespace tomogrid::image
