// DICOM NM TOMO, written: made-up scans for demonstrations and tests. The inverse of dicom_scan.cpp.
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "image/dicom_build.h"
#include "image/formats.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"

namespace tomogrid::image {

namespace {

// The views of one detector as DICOM describes them: one start, equal steps, a number for each.
struct Head {
  double start = 0;                    // DICOM degrees
  std::vector<std::size_t> views;      // indices into ProjectionGeometry::views
  std::vector<std::uint16_t> numbers;  // angular view of each, from 1
};

struct Arrangement {
  std::vector<Head> heads;
  double step = 0;   // degrees, positive
  double sign = -1;  // -1: CW, the DICOM angle falls
  std::size_t stops = 0;
};

Arrangement arrange(const std::vector<View>& views) {
  Arrangement plan;
  std::map<std::uint32_t, Head> heads;
  for (std::size_t k = 0; k < views.size(); ++k) heads[views[k].detector].views.push_back(k);
  if (heads.rbegin()->first + 1 != heads.size()) refuse("its detectors are not numbered 0, 1, ...");
  const auto degrees = [&views](std::size_t k) { return dicom_of_theta(views[k].angle); };
  // The smallest step between neighbours: a larger one is a missing view.
  double step = 360;
  for (auto& [number, head] : heads) {
    head.start = degrees(head.views[0]);
    for (std::size_t i = 1; i < head.views.size(); ++i) {
      const double move = std::remainder(degrees(head.views[i]) - degrees(head.views[i - 1]), 360);
      if (std::abs(move) < std::abs(step)) step = move;
    }
  }
  if (std::abs(step) < 1e-6) refuse("two neighbouring views of a detector are at one angle");
  plan.sign = step < 0 || step == 360 ? -1 : 1;
  plan.step = std::round(std::abs(step) * 1e9) / 1e9;
  for (auto& [number, head] : heads) {
    for (const std::size_t k : head.views) {
      double ahead = std::fmod(plan.sign * (degrees(k) - head.start), 360);
      if (ahead < -1e-6) ahead += 360;
      const double index = std::round(ahead / plan.step);
      if (std::abs(ahead - index * plan.step) > 1e-5 || index < 0 || index > 65534) {
        refuse("DICOM needs views at equal angular steps, in order, for each detector");
      }
      head.numbers.push_back(static_cast<std::uint16_t>(index + 1));
      plan.stops = std::max<std::size_t>(plan.stops, head.numbers.back());
    }
    plan.heads.push_back(std::move(head));
  }
  return plan;
}

// One radius per angular view of a head; a view that is missing has its neighbour's.
std::vector<double> radii_of(const Head& head, std::size_t stops, const std::vector<View>& views) {
  std::vector<double> radii(stops, views[head.views[0]].radius.count());
  for (std::size_t i = 0; i < head.views.size(); ++i) radii[head.numbers[i] - 1u] = views[head.views[i]].radius.count();
  return radii;
}

// Frames follow one another by window, detector and view.
void put_vectors(Builder& image, const Arrangement& plan, std::size_t windows) {
  std::vector<std::uint16_t> window, detector, view;
  for (std::size_t w = 0; w < windows; ++w) {
    for (std::size_t h = 0; h < plan.heads.size(); ++h) {
      for (const std::uint16_t number : plan.heads[h].numbers) {
        window.push_back(static_cast<std::uint16_t>(w + 1));
        detector.push_back(static_cast<std::uint16_t>(h + 1));
        view.push_back(number);
      }
    }
  }
  const std::vector<std::uint16_t> ones(view.size(), 1);
  DcmAttributeTag* pointer = new DcmAttributeTag(DCM_FrameIncrementPointer);
  const DcmTagKey named[] = {DCM_EnergyWindowVector, DCM_DetectorVector, DCM_RotationVector, DCM_AngularViewVector};
  for (unsigned long i = 0; i < 4; ++i) pointer->putTagVal(named[i], i);
  image.item().insert(pointer, true);
  image.put_index(DCM_EnergyWindowVector, window)
      .put_index(DCM_DetectorVector, detector)
      .put_index(DCM_RotationVector, ones)
      .put_index(DCM_AngularViewVector, view);
  image.put_whole(DCM_NumberOfEnergyWindows, windows)
      .put_whole(DCM_NumberOfDetectors, plan.heads.size())
      .put_whole(DCM_NumberOfRotations, 1);
}

void put_detectors(Builder& image, const Arrangement& plan, const Projections& projections, double axis_offset,
                   bool own_radii) {
  const ProjectionGeometry& g = projections.geometry;
  for (const Head& head : plan.heads) {
    const double theta = theta_of_dicom(head.start).count();
    const double c = std::cos(theta), s = std::sin(theta);
    const double u = g.u0.count() + axis_offset, r = g.views[head.views[0]].radius.count();
    const double top = g.v0.count() + static_cast<double>(g.rows - 1) * g.row_mm.count();
    const auto cosine = [](double x) { return std::abs(x) < 1e-12 ? 0.0 : x; };
    Builder detector = image.add(DCM_DetectorInformationSequence);
    detector.put(DCM_CollimatorType, "PARA")
        .put(DCM_FocalDistance, "0")
        .put(DCM_StartAngle, head.start)
        .put(DCM_CenterOfRotationOffset, axis_offset)
        .put(DCM_ImagePositionPatient, std::vector<double>{cosine(u * c + r * s), cosine(u * s - r * c), top})
        .put(DCM_ImageOrientationPatient, std::vector<double>{cosine(c), cosine(s), 0, 0, 0, -1});
    if (!projections.facts.collimator.empty()) detector.put(DCM_CollimatorGridName, projections.facts.collimator);
    if (own_radii) detector.put(DCM_RadialPosition, radii_of(head, plan.stops, g.views));
  }
}

void put_rotation(Builder& image, const Arrangement& plan, const ProjectionGeometry& g, bool own_radii) {
  Builder rotation = image.add(DCM_RotationInformationSequence);
  rotation.put(DCM_StartAngle, plan.heads[0].start)
      .put(DCM_AngularStep, plan.step)
      .put(DCM_RotationDirection, plan.sign < 0 ? "CW" : "CC")
      .put(DCM_ScanArc, plan.step * static_cast<double>(plan.stops))
      .put(DCM_ActualFrameDuration, std::to_string(std::llround(g.views[0].duration.count() * 1000)))
      .put_whole(DCM_NumberOfFramesInRotation, plan.stops);
  if (!own_radii && g.views[0].radius.count() > 0) {
    rotation.put(DCM_RadialPosition, radii_of(plan.heads[0], plan.stops, g.views));
  }
}

void put_window(Builder& image, const AcquisitionFacts& facts) {
  Builder window = image.add(DCM_EnergyWindowInformationSequence);
  for (const EnergyWindow& range : facts.windows) {
    window.add(DCM_EnergyWindowRangeSequence)
        .put(DCM_EnergyWindowLowerLimit, range.lower_kev)
        .put(DCM_EnergyWindowUpperLimit, range.upper_kev);
  }
}

void put_physics(Builder& image, const AcquisitionFacts& facts) {
  Builder drug = image.add(DCM_RadiopharmaceuticalInformationSequence);
  drug.put_empty(DCM_RadionuclideCodeSequence)
      .put_empty(DCM_RadiopharmaceuticalRoute)
      .put_empty(DCM_RadiopharmaceuticalStartTime)
      .put_empty(DCM_RadionuclideTotalDose);
  if (facts.nuclide.empty())
    drug.put_empty(DCM_Radiopharmaceutical);
  else
    drug.put(DCM_Radiopharmaceutical, facts.nuclide);
}

void add_pixels(const Projections& projections, const Arrangement& plan, std::vector<std::uint16_t>& pixels) {
  const ProjectionGeometry& g = projections.geometry;
  for (const Head& head : plan.heads) {
    for (const std::size_t view : head.views) {
      for (std::size_t r = g.rows; r-- > 0;) {  // the first row is the one nearest the head
        for (std::size_t b = 0; b < g.bins; ++b) {
          const float value = projections.values[(view * g.rows + r) * g.bins + b];
          if (value < 0 || value > 65535 || value != std::floor(value)) {
            refuse("DICOM NM holds whole counts from 0 to 65535: save these projections as Interfile");
          }
          pixels.push_back(static_cast<std::uint16_t>(value));
        }
      }
    }
  }
}

}  // namespace

ByteString write_dicom_scan(const Projections& projections, const ScanLabels& labels,
                            std::span<const Projections> scatter) {
  const ProjectionGeometry& g = projections.geometry;
  const double centre = 0.5 * static_cast<double>(g.bins - 1) * g.bin_mm.count();
  const double axis_offset = std::abs(g.u0.count() + centre) < 1e-9 ? 0.0 : -(g.u0.count() + centre);
  if (std::abs(g.v0.count() + 0.5 * static_cast<double>(g.rows - 1) * g.row_mm.count()) > 1e-6) {
    refuse("only a scan whose rows are centred can be saved");
  }
  const Arrangement plan = arrange(g.views);
  // One list of radii if all detectors follow it, else a list in each.
  const std::vector<double> first = radii_of(plan.heads[0], plan.stops, g.views);
  const bool own_radii = std::any_of(plan.heads.begin(), plan.heads.end(),
                                     [&](const Head& head) { return radii_of(head, plan.stops, g.views) != first; });
  DcmFileFormat file;
  Builder image(*file.getDataset());
  image.put(DCM_SpecificCharacterSet, "ISO_IR 192");
  put_image_kind(image, "ORIGINAL\\PRIMARY\\TOMO\\EMISSION", new_uid());
  image.put(DCM_PatientName, printable(labels.patient_name))
      .put(DCM_PatientID, printable(labels.patient_id))
      .put_empty(DCM_PatientBirthDate)
      .put(DCM_PatientSex, "O")
      .put(DCM_StudyInstanceUID, new_uid())
      .put(DCM_StudyDate, today())
      .put(DCM_StudyTime, time_of_day())
      .put_empty(DCM_ReferringPhysicianName)
      .put(DCM_StudyID, "1")
      .put_empty(DCM_AccessionNumber)
      .put(DCM_SeriesInstanceUID, new_uid())
      .put(DCM_SeriesNumber, "1")
      .put(DCM_SeriesDescription, printable(labels.series_description))
      .put(DCM_FrameOfReferenceUID, new_uid())
      .put_empty(DCM_PositionReferenceIndicator)
      .put(DCM_AcquisitionDate, today())
      .put(DCM_AcquisitionTime, time_of_day())
      .put_empty(DCM_AcquisitionTerminationCondition)
      .put(DCM_TypeOfDetectorMotion, "STEP AND SHOOT");
  double counts = 0;
  for (const float value : projections.values) counts += static_cast<double>(value);
  image.put(DCM_CountsAccumulated, std::to_string(std::min(2147483647LL, std::llround(counts))));
  put_position(image.item(), labels.position);
  const std::size_t windows = 1 + scatter.size();
  put_frames(image, windows * g.views.size(), g.rows, g.bins, g.row_mm.count(), g.bin_mm.count());
  put_vectors(image, plan, windows);
  put_detectors(image, plan, projections, axis_offset, own_radii);
  put_rotation(image, plan, g, own_radii);
  put_window(image, projections.facts);
  std::vector<std::uint16_t> pixels;
  pixels.reserve(windows * projections.values.size());
  add_pixels(projections, plan, pixels);
  for (const Projections& window : scatter) {
    put_window(image, window.facts);
    add_pixels(window, plan, pixels);
  }
  put_physics(image, projections.facts);
  image.put_pixels(pixels);
  return file_bytes(file);
}

}  // namespace tomogrid::image
