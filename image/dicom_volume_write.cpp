// DICOM NM RECON TOMO, written: a result that a PACS files with its patient and study, in the right place.
//
// NM pixels are 16-bit: value = stored x slope + intercept. NM has no rescale of its own, so the slope stands in a Real
// World Value Mapping (PS3.3 C.7.6.16.2.11, exact doubles) and, because viewers look there, in RescaleSlope and
// RescaleIntercept too.
#include <algorithm>
#include <cmath>

#include "image/dicom_build.h"
#include "image/formats.h"
#include "image/numbers.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

struct Stored {
  double slope = 1, intercept = 0;
  std::vector<std::uint16_t> pixels;
};

// All 65536 levels between the least and the largest value; whole numbers that fit are kept as they are.
Stored stored_as_16_bits(const std::vector<float>& values) {
  Stored stored;
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double least = std::min(0.0, static_cast<double>(*low)), most = static_cast<double>(*high);
  const bool whole = least >= 0 && most <= 65535 &&
                     std::all_of(values.begin(), values.end(), [](float v) { return v == std::floor(v); });
  if (!whole) {
    stored.intercept = least;
    stored.slope = most > least ? (most - least) / 65535 : 1;
  }
  stored.pixels.resize(values.size());
  std::transform(values.begin(), values.end(), stored.pixels.begin(), [&stored](float v) {
    const double level = std::round((static_cast<double>(v) - stored.intercept) / stored.slope);
    return static_cast<std::uint16_t>(std::clamp(level, 0.0, 65535.0));
  });
  return stored;
}

std::string shortened(const std::string& text, std::size_t limit) {
  std::string result = printable(text.substr(0, limit));
  std::replace(result.begin(), result.end(), '\\', '/');  // a backslash would make two values
  return result;
}

void put_who(Builder& image, DcmDataset& kept) {
  for (const DcmTagKey& tag : {DCM_SpecificCharacterSet,
                               DCM_PatientName,
                               DCM_PatientID,
                               DCM_IssuerOfPatientID,
                               DCM_PatientBirthDate,
                               DCM_PatientSex,
                               DCM_PatientAge,
                               DCM_PatientSize,
                               DCM_PatientWeight,
                               DCM_StudyInstanceUID,
                               DCM_StudyDate,
                               DCM_StudyTime,
                               DCM_ReferringPhysicianName,
                               DCM_StudyID,
                               DCM_AccessionNumber,
                               DCM_StudyDescription,
                               DCM_FrameOfReferenceUID,
                               DCM_PositionReferenceIndicator,
                               DCM_AcquisitionDate,
                               DCM_AcquisitionTime,
                               DCM_InstitutionName,
                               DCM_AcquisitionTerminationCondition}) {
    copy_element(kept, tag, image.item());
  }
  for (const DcmTagKey& tag :
       {DCM_PatientName, DCM_PatientID, DCM_PatientBirthDate, DCM_PatientSex, DCM_StudyDate, DCM_StudyTime,
        DCM_ReferringPhysicianName, DCM_StudyID, DCM_AccessionNumber, DCM_PositionReferenceIndicator,
        DCM_AcquisitionTerminationCondition, DCM_AcquisitionDate, DCM_AcquisitionTime}) {
    image.need(tag);
  }
  if (text(image.item(), DCM_StudyInstanceUID).empty()) image.put(DCM_StudyInstanceUID, new_uid());
  if (text(image.item(), DCM_FrameOfReferenceUID).empty()) image.put(DCM_FrameOfReferenceUID, new_uid());
}

void put_source(Builder& image, DcmDataset& kept) {
  const std::string instance = text(kept, DCM_SOPInstanceUID);
  if (instance.empty()) return;
  Builder source = image.add(DCM_SourceImageSequence);
  source.put(DCM_ReferencedSOPClassUID, UID_NuclearMedicineImageStorage).put(DCM_ReferencedSOPInstanceUID, instance);
  Builder(source.item())
      .add(DCM_PurposeOfReferenceCodeSequence)
      .put(DCM_CodeValue, "121322")
      .put(DCM_CodingSchemeDesignator, "DCM")
      .put(DCM_CodeMeaning, "Source image for image processing operation");
}

// What was acquired, as the scan said it; empty where it did not.
void put_acquisition(Builder& image, DcmDataset& kept) {
  for (const DcmTagKey& tag : {DCM_EnergyWindowInformationSequence, DCM_RadiopharmaceuticalInformationSequence,
                               DCM_RotationInformationSequence, DCM_TypeOfDetectorMotion,
                               DCM_PatientOrientationCodeSequence, DCM_PatientGantryRelationshipCodeSequence}) {
    copy_element(kept, tag, image.item());
    if (!(tag == DCM_TypeOfDetectorMotion)) image.need(tag);
  }
  const std::size_t windows = items(image.item(), DCM_EnergyWindowInformationSequence).size();
  const std::size_t rotations = items(image.item(), DCM_RotationInformationSequence).size();
  image.put_whole(DCM_NumberOfEnergyWindows, std::max<std::size_t>(1, windows));
  image.put_whole(DCM_NumberOfRotations, std::max<std::size_t>(1, rotations));
}

void put_mapping(Builder& image, const Stored& stored, const std::string& unit) {
  Builder mapping = image.add(DCM_RealWorldValueMappingSequence);
  mapping.put(DCM_LUTExplanation, "unit " + (unit.empty() ? std::string("1") : unit))
      .put(DCM_LUTLabel, "TOMOGRID")
      .put(DCM_RealWorldValueIntercept, stored.intercept)
      .put(DCM_RealWorldValueSlope, stored.slope);
  mapping.item().putAndInsertUint16(DCM_RealWorldValueFirstValueMapped, 0);
  mapping.item().putAndInsertUint16(DCM_RealWorldValueLastValueMapped, 65535);
  // UCUM knows no "counts per voxel and view": it is a dimensionless number there.
  const bool activity = unit == "Bq/mL", per_mm = unit == "1/mm", per_cm = unit == "1/cm";
  const char* code = activity ? "Bq/ml" : per_mm ? "/mm" : per_cm ? "/cm" : "1";
  const char* meaning = activity ? "Becquerels/milliliter" : per_mm ? "per millimeter" : per_cm ? "/cm" : "no units";
  mapping.add(DCM_MeasurementUnitsCodeSequence)
      .put(DCM_CodeValue, code)
      .put(DCM_CodingSchemeDesignator, "UCUM")
      .put(DCM_CodeMeaning, meaning);
  image.put(DCM_RescaleSlope, stored.slope).put(DCM_RescaleIntercept, stored.intercept);
}

}  // namespace

ByteString write_dicom_volume(const Volume& volume, const Identity& identity, const ResultLabels& labels) {
  const VolumeGeometry& g = volume.geometry;
  DcmFileFormat file;
  Builder image(*file.getDataset());
  DcmDataset kept;
  if (identity.content() != nullptr) kept = identity.content()->dataset;
  put_who(image, kept);
  put_image_kind(image, "DERIVED\\PRIMARY\\RECON TOMO\\EMISSION", new_uid());
  image.put(DCM_SeriesInstanceUID, new_uid())
      .put(DCM_SeriesNumber, "1000")
      .put(DCM_SeriesDate, today())
      .put(DCM_SeriesTime, time_of_day())
      .put_empty(DCM_CountsAccumulated)
      .put(DCM_SeriesDescription, shortened(labels.series_description, 64))
      .put(DCM_SoftwareVersions, labels.software_version.empty() ? "Tomogrid" : shortened(labels.software_version, 64));
  if (!labels.parameters.empty()) image.put(DCM_DerivationDescription, shortened(labels.parameters, 1024));
  put_source(image, kept);
  put_acquisition(image, kept);

  put_frames(image, g.slices, g.rows, g.columns, g.row_mm.count(), g.column_mm.count());
  std::vector<std::uint16_t> slices(g.slices);
  for (std::size_t s = 0; s < g.slices; ++s) slices[s] = static_cast<std::uint16_t>(s + 1);
  image.item().putAndInsertTagKey(DCM_FrameIncrementPointer, DCM_SliceVector);
  image.put_index(DCM_SliceVector, slices)
      .put_whole(DCM_NumberOfSlices, g.slices)
      .put(DCM_SpacingBetweenSlices, g.slice_mm.count())
      .put(DCM_SliceThickness, g.slice_mm.count());
  image.put_whole(DCM_NumberOfDetectors, 1);
  const auto [x, y, z] = identity.origin();
  image.add(DCM_DetectorInformationSequence)
      .put(DCM_CollimatorType, "PARA")
      .put(DCM_FocalDistance, "0")
      .put(DCM_ImagePositionPatient, std::vector<double>{(g.x0 + x).count(), (g.y0 + y).count(), (g.z0 + z).count()})
      .put(DCM_ImageOrientationPatient, std::vector<double>{1, 0, 0, 0, 1, 0});
  const Stored stored = stored_as_16_bits(volume.values);
  put_mapping(image, stored, volume.unit);
  image.put_pixels(stored.pixels);
  return file_bytes(file);
}

}  // namespace tomogrid::image
