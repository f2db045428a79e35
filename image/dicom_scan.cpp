// DICOM NM TOMO, read. PS3.3 C.8.4: frames are located only through the vectors that FrameIncrementPointer names.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "image/formats.h"
#include "image/identity_content.h"
#include "image/nuclides.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

// One frame's place in the acquisition; indices from 1.
struct Frame {
  std::size_t number = 0;  // in PixelData, from 0
  std::uint16_t window = 1, detector = 1, rotation = 1, view = 1;
};

struct Detector {
  std::optional<double> start;  // DICOM degrees
  std::vector<double> radii;    // mm; some vendors state them here
  double axis_offset = 0;       // CenterOfRotationOffset, mm
  bool first_row_is_head = true, bins_reversed = false;
  std::optional<double> centre_z;  // patient z of the middle of the projections
  double beside = 0;               // how far that middle is from the line through 0, 0 that faces it, mm
};

struct Rotation {
  double start = 0, step = 0, duration_s = 0;
  double sign = 1;  // +1: CC, the angle grows
  std::vector<double> radii;
  std::optional<double> table_traverse, table_height;
  std::size_t frames = 0;
};

struct Reader {
  DcmDataset& dataset;
  const LoadOptions& options;
  std::vector<std::string> warnings;

  void warn(std::string what) {
    if (std::find(warnings.begin(), warnings.end(), what) == warnings.end()) warnings.push_back(std::move(what));
  }

  bool require_tomo();
  std::vector<Frame> frames(bool gated, std::size_t total);
  void choose_window(std::vector<Frame>& frames, AcquisitionFacts& facts);
  std::vector<Detector> detectors(std::size_t least);
  std::vector<Rotation> rotations(std::size_t least);
  void orient(DcmItem& item, Detector& detector, std::size_t rows, double row_mm, double width_mm);
  std::array<double, 2> axis(const Detector& detector, const Rotation& rotation);
  void physics(AcquisitionFacts& facts);
};

// Refuses every other kind by name. True for a gated one that is to be summed.
bool Reader::require_tomo() {
  const std::string kind = nm_kind(dataset);
  if (text(dataset, DCM_ImageType, 3) == "TRANSMISSION")
    refuse("a transmission scan (ImageType), not an emission scan");
  if (kind == "TOMO") return false;
  if (kind == "GATED TOMO") {
    if (!options.sum_gates) refuse("a gated acquisition (GATED TOMO): say --sum-gates to add the gates");
    return true;
  }
  static const std::map<std::string, const char*> others{
      {"STATIC", "a planar image (STATIC)"},
      {"WHOLE BODY", "a whole-body planar image (WHOLE BODY)"},
      {"DYNAMIC", "a dynamic planar series (DYNAMIC)"},
      {"GATED", "a gated planar series (GATED)"},
      {"RECON TOMO", "already reconstructed (RECON TOMO)"},
      {"RECON GATED TOMO", "already reconstructed (RECON GATED TOMO)"}};
  const auto known = others.find(kind);
  refuse(std::string(known != others.end() ? known->second : "an unknown kind of NM image (ImageType value 3)") +
         ", not a tomographic acquisition (TOMO)");
}

std::vector<Frame> Reader::frames(bool gated, std::size_t total) {
  const DcmTagKey window = DCM_EnergyWindowVector, detector = DCM_DetectorVector, rotation = DCM_RotationVector,
                  view = DCM_AngularViewVector;
  DcmElement* pointer = nullptr;
  if (dataset.findAndGetElement(DCM_FrameIncrementPointer, pointer).bad() || pointer == nullptr) {
    refuse(name_of(DCM_FrameIncrementPointer) + " is missing: the frames cannot be located");
  }
  std::vector<DcmTagKey> named;
  for (unsigned long i = 0; i < std::min(pointer->getVM(), 16UL); ++i) {
    DcmTagKey tag;
    if (dynamic_cast<DcmAttributeTag*>(pointer) == nullptr ||
        static_cast<DcmAttributeTag*>(pointer)->getTagVal(tag, i).bad()) {
      refuse(name_of(DCM_FrameIncrementPointer) + " is not a list of tags");
    }
    named.push_back(tag);
  }
  std::vector<Frame> result(total);
  for (std::size_t i = 0; i < total; ++i) result[i].number = i;
  bool views_named = false;
  for (const DcmTagKey& tag : named) {
    const bool gate = tag == DCM_RRIntervalVector || tag == DCM_TimeSlotVector;
    if (gate && !gated) refuse(name_of(tag) + " in FrameIncrementPointer of an image that is not gated");
    if (gate) continue;  // gates are summed: only the others tell frames apart
    std::uint16_t Frame::*const place = tag == window     ? &Frame::window
                                        : tag == detector ? &Frame::detector
                                        : tag == rotation ? &Frame::rotation
                                        : tag == view     ? &Frame::view
                                                          : nullptr;
    if (place == nullptr) refuse("FrameIncrementPointer names " + name_of(tag) + ", which a TOMO image does not have");
    views_named = views_named || tag == view;
    const std::vector<std::uint16_t> indices = index_vector(dataset, tag, total);
    for (std::size_t i = 0; i < total; ++i) result[i].*place = indices[i];
  }
  if (!views_named) refuse("FrameIncrementPointer does not name AngularViewVector (0054,0090)");
  return result;
}

void Reader::choose_window(std::vector<Frame>& frames, AcquisitionFacts& facts) {
  std::set<std::uint16_t> present;
  for (const Frame& frame : frames) present.insert(frame.window);
  const std::vector<DcmItem*> described = items(dataset, DCM_EnergyWindowInformationSequence);
  const auto ranges = [&described](std::size_t window) {
    std::vector<EnergyWindow> result;
    if (window > described.size()) return result;
    for (DcmItem* range : items(*described[window - 1], DCM_EnergyWindowRangeSequence)) {
      const auto lower = number(*range, DCM_EnergyWindowLowerLimit), upper = number(*range, DCM_EnergyWindowUpperLimit);
      if (lower && upper && *lower >= 0 && *lower < *upper) result.push_back({*lower, *upper});
    }
    return result;
  };
  std::size_t chosen = *present.begin();
  if (options.window) {
    if (*options.window > 65535 || present.count(static_cast<std::uint16_t>(*options.window)) == 0) {
      refuse("there is no energy window " + std::to_string(*options.window) + " in EnergyWindowVector");
    }
    chosen = *options.window;
  } else if (present.size() > 1) {
    std::string list;
    for (const std::uint16_t window : present) {
      list += (list.empty() ? "" : ", ") + std::to_string(window);
      for (const EnergyWindow& w : ranges(window))
        list += " (" + shortest(w.lower_kev) + " to " + shortest(w.upper_kev) + " keV)";
    }
    refuse("several energy windows: choose one with --window: " + list);
  }
  frames.erase(std::remove_if(frames.begin(), frames.end(), [chosen](const Frame& f) { return f.window != chosen; }),
               frames.end());
  facts.windows = ranges(chosen);
  if (facts.windows.empty()) warn("the energy window's limits are not stated");
}

void refuse_collimator(DcmItem& item, Reader& reader) {
  static const std::map<std::string, const char*> others{
      {"FANB", "fan-beam"},   {"CONE", "cone-beam"}, {"PINH", "pinhole"}, {"SLNT", "slant-hole"},
      {"ASTG", "astigmatic"}, {"DIVG", "diverging"}, {"NONE", "no"}};
  const std::string type = text(item, DCM_CollimatorType);
  if (const auto other = others.find(type); other != others.end()) {
    refuse(std::string(other->second) + " collimator (CollimatorType " + other->first +
           "): only parallel holes are reconstructed");
  }
  const double focus = number(item, DCM_FocalDistance).value_or(0);
  if (type != "PARA") {
    if (focus != 0) refuse("FocalDistance (0018,1182) is not 0: the collimator is not a parallel one");
    reader.warn("CollimatorType is not stated: taken as parallel");
  } else if (focus != 0) {
    reader.warn("FocalDistance is not 0 although CollimatorType is PARA: ignored");
  }
  const double tilt = number(item, DCM_GantryDetectorTilt).value_or(0);
  if (std::abs(tilt) > 0.05) refuse("the detector is tilted (GantryDetectorTilt (0018,1120) is not 0)");
}

// Rows from the orientation, if it describes a plane parallel to the rotation axis; bins from the detector's angle.
void Reader::orient(DcmItem& item, Detector& detector, std::size_t rows, double row_mm, double width_mm) {
  const std::vector<double> axes = numbers(item, DCM_ImageOrientationPatient);
  const std::vector<double> place = numbers(item, DCM_ImagePositionPatient);
  if (axes.size() != 6) {
    const std::string down = text(dataset, DCM_PatientOrientation, 1);
    if (!down.empty() && (down[0] == 'H' || down[0] == 'F')) {
      detector.first_row_is_head = down[0] == 'F';
    } else if (const PatientPosition lay = position_in(dataset);
               lay == PatientPosition::FFS || lay == PatientPosition::FFP) {
      warn("feet first, and the file does not say which row is nearest the head: the first is assumed to be");
    }
    return;
  }
  const double down_z = axes[5];
  if (std::abs(down_z) < 0.99) {
    warn(
        "ImageOrientationPatient of a detector is not a plane along the rotation axis: ignored, the first row is taken "
        "as the one nearest the head");
    return;
  }
  detector.first_row_is_head = down_z < 0;
  if (place.size() == 3) {
    detector.centre_z = place[2] + (down_z < 0 ? -1 : 1) * 0.5 * static_cast<double>(rows - 1) * row_mm;
    // Some cameras state only z, and 0 for the rest.
    if (place[0] != 0 || place[1] != 0) detector.beside = place[0] * axes[0] + place[1] * axes[1] + 0.5 * width_mm;
  }
  if (!detector.start) return;
  const double theta = theta_of_dicom(*detector.start).count();
  const double along = axes[0] * std::cos(theta) + axes[1] * std::sin(theta);
  if (along < -0.99) {
    detector.bins_reversed = true;
    warn("ImageOrientationPatient says that the first column of each row is on the other side: the bins are reversed");
  } else if (along < 0.99) {
    warn("ImageOrientationPatient contradicts the detector's StartAngle: the angle is used");
  }
}

// x and y of the rotation axis in the patient's coordinates. Cameras do not agree on how to say it, so what is said is a
// reason to ask and not to compute.
std::array<double, 2> Reader::axis(const Detector& detector, const Rotation& rotation) {
  if (options.axis) return {(*options.axis)[0].count(), (*options.axis)[1].count()};
  std::string said;
  if (rotation.table_height && std::abs(*rotation.table_height) > 0.5)
    said = "TableHeight (0018,1130) is " + shortest(*rotation.table_height) + " mm";
  if (std::abs(detector.beside) > 0.5 * required_number(dataset, DCM_PixelSpacing)) {
    said += (said.empty() ? "" : " and ") + std::string("ImagePositionPatient puts the detector's middle ") +
            shortest(std::round(10 * detector.beside) / 10) + " mm beside the origin";
  }
  if (!said.empty()) {
    warn(said +
         ": the rotation axis is taken to lie at x = 0, y = 0 of the frame of reference; when a CT or a DICOM map is used, "
         "see that it lies on the body, or say where the axis is (--axis X,Y)");
  }
  return {0, 0};
}

std::vector<Detector> Reader::detectors(std::size_t least) {
  const std::vector<DcmItem*> found = items(dataset, DCM_DetectorInformationSequence);
  if (found.size() < least) {
    refuse("DetectorInformationSequence (0054,0022) has " + std::to_string(found.size()) +
           " items, DetectorVector needs " + std::to_string(least));
  }
  const std::size_t rows = count(dataset, DCM_Rows, 1, kMaxSide);
  const double row_mm = required_number(dataset, DCM_PixelSpacing);
  const std::vector<double> spacing = numbers(dataset, DCM_PixelSpacing);
  const double width_mm =
      static_cast<double>(count(dataset, DCM_Columns, 1, kMaxSide) - 1) * (spacing.size() > 1 ? spacing[1] : row_mm);
  std::vector<Detector> result;
  for (DcmItem* item : found) {
    refuse_collimator(*item, *this);
    Detector detector;
    detector.start = number(*item, DCM_StartAngle);
    detector.radii = numbers(*item, DCM_RadialPosition);
    detector.axis_offset = number(*item, DCM_CenterOfRotationOffset).value_or(0);
    orient(*item, detector, rows, row_mm, width_mm);
    result.push_back(detector);
  }
  return result;
}

std::vector<Rotation> Reader::rotations(std::size_t least) {
  const std::vector<DcmItem*> found = items(dataset, DCM_RotationInformationSequence);
  if (found.size() < least) {
    refuse("RotationInformationSequence (0054,0052) has " + std::to_string(found.size()) +
           " items, RotationVector needs " + std::to_string(least));
  }
  std::vector<Rotation> result;
  for (DcmItem* item : found) {
    Rotation rotation;
    rotation.start = number(*item, DCM_StartAngle).value_or(0);
    rotation.step = required_number(*item, DCM_AngularStep);
    const std::string direction = text(*item, DCM_RotationDirection);
    if (direction != "CW" && direction != "CC") refuse("RotationDirection (0018,1140) is neither CW nor CC");
    rotation.sign = direction == "CC" ? 1 : -1;
    if (rotation.step <= 0 || rotation.step > 180) refuse("AngularStep (0018,1144) is not between 0 and 180 degrees");
    rotation.duration_s = number(*item, DCM_ActualFrameDuration).value_or(0) / 1000;
    if (rotation.duration_s < 0) refuse("ActualFrameDuration (0018,1242) is negative");
    if (rotation.duration_s == 0) warn("ActualFrameDuration is not stated: decay during the scan cannot be modelled");
    rotation.radii = numbers(*item, DCM_RadialPosition);
    rotation.table_traverse = number(*item, DCM_TableTraverse);
    rotation.table_height = number(*item, DCM_TableHeight);
    rotation.frames = count_or(*item, DCM_NumberOfFramesInRotation, 0, 0, 65535);
    const double arc = number(*item, DCM_ScanArc).value_or(0);
    const double swept = rotation.step * static_cast<double>(rotation.frames);
    if (arc > 0 && swept > 0 && std::abs(arc - swept) > rotation.step * 1.01 &&
        std::abs(arc - swept * static_cast<double>(items(dataset, DCM_DetectorInformationSequence).size())) >
            rotation.step * 1.01) {
      warn("ScanArc is not AngularStep times NumberOfFramesInRotation: the step is used");
    }
    if (result.size() > 0 && rotation.table_traverse && result[0].table_traverse &&
        std::abs(*rotation.table_traverse - *result[0].table_traverse) > 0.5) {
      refuse("the table moves between rotations (TableTraverse (0018,1131)): only one bed position is reconstructed");
    }
    result.push_back(std::move(rotation));
  }
  return result;
}

void Reader::physics(AcquisitionFacts& facts) {
  for (DcmItem* drug : items(dataset, DCM_RadiopharmaceuticalInformationSequence)) {
    std::vector<std::string> words;
    for (DcmItem* code : items(*drug, DCM_RadionuclideCodeSequence)) {
      if (text(*code, DCM_CodeValue) == "C-163A8") words.push_back("Tc-99m");
      words.push_back(text(*code, DCM_CodeMeaning));
    }
    words.push_back(text(*drug, DCM_Radiopharmaceutical));
    for (const std::string& word : words) {
      if (const auto nuclide = nuclide_in(word); nuclide && facts.nuclide.empty()) facts.nuclide = *nuclide;
    }
  }
  if (facts.nuclide.empty())
    warn("the radionuclide is not stated in words we know: decay cannot be modelled");
  else
    facts.half_life = half_life_of(facts.nuclide);
  for (DcmItem* detector : items(dataset, DCM_DetectorInformationSequence)) {
    const std::string name = text(*detector, DCM_CollimatorGridName);
    if (const auto known = collimator_in(name); known && facts.collimator.empty()) facts.collimator = *known;
  }
  if (facts.collimator.empty()) warn("CollimatorGridName is not one we know: state the collimator's response");

  std::set<std::string> corrected;
  for (unsigned long i = 0; i < 16; ++i) {
    if (const std::string word = text(dataset, DCM_CorrectedImage, i); !word.empty()) corrected.insert(word);
  }
  if (corrected.count("DECY") != 0) {
    facts.half_life.reset();
    facts.counts = false;
    warn("CorrectedImage says DECY: decay is already corrected and will not be modelled again");
  }
  if (corrected.count("ATTN") != 0) {
    facts.counts = false;
    warn("CorrectedImage says ATTN: attenuation is already corrected; give no attenuation map");
  }
  if (corrected.count("SCAT") != 0) {
    facts.counts = false;
    warn("CorrectedImage says SCAT: scatter is already corrected; give no scatter window");
  }
}

// Whether the data are already shifted so that the rotation axis is in the middle.
bool axis_is_centred(DcmDataset& dataset) {
  for (unsigned long i = 0; i < 16; ++i) {
    if (text(dataset, DCM_CorrectedImage, i) == "COR") return true;
  }
  return false;
}

double radius_of(const std::vector<double>& radii, std::size_t view, std::size_t frames, const char* where) {
  if (radii.empty()) return 0;
  if (radii.size() != 1 && (view > radii.size() || (frames != 0 && radii.size() < frames))) {
    refuse("RadialPosition (0018,1142) in " + std::string(where) + " has " + std::to_string(radii.size()) +
           " values: one, or one per view, is needed");
  }
  const double radius = radii.size() == 1 ? radii[0] : radii[view - 1];
  if (radius < 0) refuse("RadialPosition (0018,1142) is negative");
  return radius;
}

// Where the rotation axis meets the bins, for all detectors alike.
double shared_axis_offset(const std::vector<Detector>& detectors, double bin_mm, Reader& reader) {
  if (axis_is_centred(reader.dataset)) {
    if (std::any_of(detectors.begin(), detectors.end(), [](const Detector& d) { return d.axis_offset != 0; })) {
      reader.warn("CorrectedImage says COR: CenterOfRotationOffset is not applied again");
    }
    return 0;
  }
  double least = detectors[0].axis_offset, most = least, sum = 0;
  for (const Detector& detector : detectors) {
    const double offset = detector.bins_reversed ? -detector.axis_offset : detector.axis_offset;
    least = std::min(least, offset);
    most = std::max(most, offset);
    sum += offset;
  }
  if (most - least > 0.25 * bin_mm) {
    refuse("CenterOfRotationOffset (0018,1145) differs between detectors by more than a quarter of a bin");
  }
  const double offset = sum / static_cast<double>(detectors.size());
  if (std::abs(offset) > 100) refuse("CenterOfRotationOffset (0018,1145) is more than 100 mm");
  if (offset != 0) {
    reader.warn("CenterOfRotationOffset " + shortest(offset) +
                " mm is applied: the axis is that far along the rows from "
                "the middle");
  }
  return offset;
}

// When each rotation begins, in seconds since the first did.
std::vector<double> starts_of(const std::vector<Rotation>& rotations, const std::vector<Frame>& frames) {
  std::vector<std::size_t> stops;
  for (const Rotation& rotation : rotations) stops.push_back(rotation.frames);
  for (const Frame& frame : frames) {
    stops[frame.rotation - 1u] = std::max<std::size_t>(stops[frame.rotation - 1u], frame.view);
  }
  std::vector<double> starts(rotations.size(), 0.0);
  for (std::size_t r = 1; r < rotations.size(); ++r) {
    starts[r] = starts[r - 1] + static_cast<double>(stops[r - 1]) * rotations[r - 1].duration_s;
  }
  return starts;
}

// RescaleSlope is foreign to NM acquisitions, but some cameras state one.
struct Scale {
  double slope = 1, intercept = 0;
};

Scale rescale(Reader& reader, AcquisitionFacts& facts) {
  const double slope = number(reader.dataset, DCM_RescaleSlope).value_or(1);
  const double intercept = number(reader.dataset, DCM_RescaleIntercept).value_or(0);
  if (slope == 0) refuse("RescaleSlope (0028,1053) is 0");
  if (slope != 1 || intercept != 0) {
    facts.counts = false;
    reader.warn("the pixels are rescaled (RescaleSlope, RescaleIntercept): they are not counts");
  }
  return {slope, intercept};
}

// Half a step more when the detector counts as it moves.
double motion_offset(Reader& reader) {
  const std::string motion = text(reader.dataset, DCM_TypeOfDetectorMotion);
  if (motion == "WOBBLE" || motion == "CLAMSHELL") refuse("TypeOfDetectorMotion " + motion + " is not reconstructed");
  if (motion == "CONTINUOUS") {
    reader.warn("CONTINUOUS motion: each view is placed half an angular step further, in the middle of its arc");
    return 0.5;
  }
  if (motion != "STEP AND SHOOT") reader.warn("TypeOfDetectorMotion is not stated: taken as STEP AND SHOOT");
  return 0;
}

void set_grid(ProjectionGeometry& geometry, const PixelFrames& pixels, const std::vector<Detector>& detectors,
              Reader& reader) {
  const std::vector<double> spacing = numbers(reader.dataset, DCM_PixelSpacing);
  if (spacing.size() != 2 || !(spacing[0] > 0) || !(spacing[1] > 0)) {
    refuse("PixelSpacing (0028,0030) is not two positive numbers");
  }
  geometry.bins = pixels.columns();
  geometry.rows = pixels.rows();
  geometry.row_mm = Millimetres(spacing[0]);
  geometry.bin_mm = Millimetres(spacing[1]);
  const double offset = shared_axis_offset(detectors, spacing[1], reader);
  geometry.u0 = Millimetres(-0.5 * static_cast<double>(geometry.bins - 1) * spacing[1] - offset);
  geometry.v0 = Millimetres(-0.5 * static_cast<double>(geometry.rows - 1) * spacing[0]);
}

// Where each view's frames begin among the sorted ones. Frames of one place are gates, to be added; without gates there
// must be one.
std::vector<std::size_t> views_in(const std::vector<Frame>& frames, bool gated) {
  std::vector<std::size_t> first;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const auto place = [&frames](std::size_t k) {
      return std::tie(frames[k].detector, frames[k].rotation, frames[k].view);
    };
    const bool again = i > 0 && place(i) == place(i - 1);
    if (again && !gated)
      refuse("two frames have the same detector, rotation and angular view: the vectors contradict themselves");
    if (!again) first.push_back(i);
  }
  if (first.size() > kMaxViews) refuse("more than " + std::to_string(kMaxViews) + " views");
  return first;
}

void set_views(ProjectionGeometry& geometry, const std::vector<Frame>& frames,
               const std::vector<std::size_t>& first_of_view, const std::vector<Detector>& detectors,
               const std::vector<Rotation>& rotations, Reader& reader) {
  const double half = motion_offset(reader);
  const std::vector<double> rotation_start = starts_of(rotations, frames);
  const bool several = frames.back().detector > 1;
  for (const std::size_t i : first_of_view) {
    const Frame& frame = frames[i];
    const Detector& detector = detectors[frame.detector - 1u];
    const Rotation& rotation = rotations[frame.rotation - 1u];
    if (!detector.start && several)
      refuse("StartAngle (0054,0200) of detector " + std::to_string(frame.detector) + " is missing");
    if (!several && detector.start && std::abs(std::remainder(*detector.start - rotations[0].start, 360)) > 0.01) {
      reader.warn("StartAngle of the detector and of the rotation differ: the detector's is used");
    }
    const double start = detector.start ? *detector.start + (rotation.start - rotations[0].start) : rotation.start;
    const double stop = static_cast<double>(frame.view - 1);
    View view;
    view.angle = theta_of_dicom(start + rotation.sign * rotation.step * (stop + half));
    view.radius =
        Millimetres(!detector.radii.empty()
                        ? radius_of(detector.radii, frame.view, rotation.frames, "DetectorInformationSequence")
                        : radius_of(rotation.radii, frame.view, rotation.frames, "RotationInformationSequence"));
    view.start = Seconds(rotation_start[frame.rotation - 1u] + stop * rotation.duration_s);
    view.duration = Seconds(rotation.duration_s);
    view.detector = frame.detector - 1u;
    geometry.views.push_back(view);
  }
  const std::size_t stated = rotations[0].frames;
  if (rotations.size() == 1 && geometry.views.size() < stated * frames.back().detector) {
    reader.warn(std::to_string(stated * frames.back().detector - geometry.views.size()) + " views are missing");
  }
}

void fill(Projections& scan, const PixelFrames& pixels, const std::vector<Frame>& frames,
          const std::vector<std::size_t>& first_of_view, const std::vector<Detector>& detectors, Scale scale) {
  const ProjectionGeometry& geometry = scan.geometry;
  const std::size_t size = geometry.bins * geometry.rows;
  scan.values.assign(geometry.elements(), 0.0F);
  std::vector<double> frame(size), sum(size);
  for (std::size_t v = 0; v < first_of_view.size(); ++v) {
    const std::size_t end = v + 1 < first_of_view.size() ? first_of_view[v + 1] : frames.size();
    std::fill(sum.begin(), sum.end(), 0.0);
    for (std::size_t i = first_of_view[v]; i < end; ++i) {
      pixels.read(frames[i].number, frame);
      for (std::size_t p = 0; p < size; ++p) sum[p] += frame[p] * scale.slope + scale.intercept;
    }
    const Detector& detector = detectors[frames[first_of_view[v]].detector - 1u];
    float* const out = scan.values.data() + v * size;
    for (std::size_t r = 0; r < geometry.rows; ++r) {
      const std::size_t row = detector.first_row_is_head ? geometry.rows - 1 - r : r;
      for (std::size_t b = 0; b < geometry.bins; ++b) {
        const std::size_t bin = detector.bins_reversed ? geometry.bins - 1 - b : b;
        out[row * geometry.bins + bin] = static_cast<float>(sum[r * geometry.bins + b]);
      }
    }
  }
}

}  // namespace

LoadedScan read_dicom_scan(ByteView bytes, const LoadOptions& options) {
  const std::unique_ptr<DcmFileFormat> file = parse_dicom(bytes);
  Reader reader{*file->getDataset(), options, {}};
  const bool gated = reader.require_tomo();
  const PixelFrames pixels(reader.dataset);
  LoadedScan loaded;
  Projections& scan = loaded.projections;
  std::vector<Frame> frames = reader.frames(gated, pixels.frames());
  reader.choose_window(frames, scan.facts);
  std::sort(frames.begin(), frames.end(), [](const Frame& a, const Frame& b) {
    return std::tie(a.detector, a.rotation, a.view, a.number) < std::tie(b.detector, b.rotation, b.view, b.number);
  });
  std::size_t last_rotation = 0;
  for (const Frame& frame : frames) last_rotation = std::max<std::size_t>(last_rotation, frame.rotation);
  const std::vector<Detector> detectors = reader.detectors(frames.back().detector);
  const std::vector<Rotation> rotations = reader.rotations(last_rotation);
  reader.physics(scan.facts);

  set_grid(scan.geometry, pixels, detectors, reader);
  const std::vector<std::size_t> first_of_view = views_in(frames, gated);
  set_views(scan.geometry, frames, first_of_view, detectors, rotations, reader);
  settle_radii(scan.geometry, options, reader.warnings);
  if (auto sound = check(scan.geometry, scan.facts); !sound) refuse(sound.error().message);
  fill(scan, pixels, frames, first_of_view, detectors, rescale(reader, scan.facts));
  settle_counts(scan, reader.warnings);
  const auto [axis_x, axis_y] = reader.axis(detectors[0], rotations[0]);
  loaded.identity = identity_of(reader.dataset, {axis_x, axis_y, detectors[0].centre_z.value_or(0)});
  loaded.warnings = std::move(reader.warnings);
  return loaded;
}

}  // namespace tomogrid::image
