#include <dcmtk/config/osconfig.h>
// osconfig.h first
#include <dcmtk/dcmdata/dcistrmb.h>
#include <dcmtk/dcmdata/dcostrmb.h>

#include <algorithm>
#include <array>

#include "image/identity_content.h"
#include "image/named_identity.h"
#include "image/numbers.h"
#include "image/refusal.h"

namespace tomogrid::image {

namespace {

constexpr std::string_view kMagic = "tomogrid-identity/1\n";
constexpr std::size_t kSerialisedLimit = 1024 * 1024;  // above all allowed elements at their largest

// Which elements go along: everything a PACS needs to file the result with its patient and study, and no more.
const std::array kAllowed{
    DCM_SpecificCharacterSet,
    // what the result was made from
    DCM_SOPClassUID, DCM_SOPInstanceUID, DCM_AcquisitionDate, DCM_AcquisitionTime, DCM_InstitutionName,
    // patient
    DCM_PatientName, DCM_PatientID, DCM_IssuerOfPatientID, DCM_PatientBirthDate, DCM_PatientSex,
    DCM_RETIRED_OtherPatientIDs, DCM_PatientAge, DCM_PatientSize, DCM_PatientWeight,
    // study
    DCM_StudyInstanceUID, DCM_StudyDate, DCM_StudyTime, DCM_ReferringPhysicianName, DCM_StudyID, DCM_AccessionNumber,
    DCM_StudyDescription,
    // where and how the patient lay
    DCM_FrameOfReferenceUID, DCM_PositionReferenceIndicator, DCM_PatientOrientationCodeSequence,
    DCM_PatientGantryRelationshipCodeSequence,
    // what was measured
    DCM_CountsSource, DCM_NumberOfEnergyWindows, DCM_EnergyWindowInformationSequence,
    DCM_RadiopharmaceuticalInformationSequence, DCM_NumberOfRotations, DCM_RotationInformationSequence,
    DCM_TypeOfDetectorMotion, DCM_AcquisitionTerminationCondition};

void drop_private(DcmItem& item) {
  for (unsigned long i = item.card(); i-- > 0;) {
    DcmElement* element = item.getElement(i);
    if (element->getGTag() % 2 == 1) {
      delete item.remove(i);
    } else if (element->ident() == EVR_SQ) {
      auto* sequence = static_cast<DcmSequenceOfItems*>(element);
      for (unsigned long k = 0; k < sequence->card(); ++k) drop_private(*sequence->getItem(k));
    }
  }
}

// Code values in the three vocabularies that NM objects have used (SNM3/99SDM/SRT alike, SCT today).
bool is_code(DcmItem& item, std::initializer_list<const char*> codes, const char* meaning) {
  const std::string value = text(item, DCM_CodeValue);
  if (std::any_of(codes.begin(), codes.end(), [&value](const char* code) { return value == code; })) return true;
  return value.empty() && lower_case(text(item, DCM_CodeMeaning)) == meaning;
}

}  // namespace

std::string to_string(PatientPosition position) {
  switch (position) {
    case PatientPosition::HFS:
      return "HFS";
    case PatientPosition::HFP:
      return "HFP";
    case PatientPosition::FFS:
      return "FFS";
    case PatientPosition::FFP:
      return "FFP";
    case PatientPosition::Unknown:
      break;
  }
  return "unknown";
}

std::optional<PatientPosition> parse_patient_position(std::string_view word) {
  for (const auto position : {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS, PatientPosition::FFP}) {
    if (lower_case(word) == lower_case(to_string(position))) return position;
  }
  return std::nullopt;
}

void copy_element(DcmItem& from, const DcmTagKey& tag, DcmItem& to, std::size_t limit) {
  DcmElement* element = nullptr;
  if (from.findAndGetElement(tag, element).bad() || element == nullptr) return;
  if (element->getLength(EXS_LittleEndianExplicit, EET_ExplicitLength) > limit) return;
  std::unique_ptr<DcmObject> copy(element->clone());
  auto* owned = dynamic_cast<DcmElement*>(copy.get());
  if (owned == nullptr) return;
  if (owned->ident() == EVR_SQ) {
    auto* sequence = static_cast<DcmSequenceOfItems*>(owned);
    for (unsigned long k = 0; k < sequence->card(); ++k) drop_private(*sequence->getItem(k));
  }
  if (to.insert(owned, true).good()) copy.release();
}

void put_code(DcmItem& item, const DcmTagKey& sequence, const char* value, const char* scheme, const char* meaning) {
  DcmItem* code = nullptr;
  if (item.findOrCreateSequenceItem(sequence, code, 0).bad()) return;
  code->putAndInsertString(DCM_CodeValue, value);
  code->putAndInsertString(DCM_CodingSchemeDesignator, scheme);
  code->putAndInsertString(DCM_CodeMeaning, meaning);
}

PatientPosition position_in(DcmItem& dataset) {
  bool supine = false, prone = false, head = false, feet = false;
  for (DcmItem* orientation : items(dataset, DCM_PatientOrientationCodeSequence)) {
    for (DcmItem* modifier : items(*orientation, DCM_PatientOrientationModifierCodeSequence)) {
      supine = supine || is_code(*modifier, {"F-10340", "40199007"}, "supine");
      prone = prone || is_code(*modifier, {"F-10310", "1240000"}, "prone");
    }
  }
  for (DcmItem* relation : items(dataset, DCM_PatientGantryRelationshipCodeSequence)) {
    head = head || is_code(*relation, {"F-10470", "102540008"}, "headfirst");
    feet = feet || is_code(*relation, {"F-10480", "102541007"}, "feet-first");
  }
  if (supine == prone || head == feet) return PatientPosition::Unknown;
  if (head) return supine ? PatientPosition::HFS : PatientPosition::HFP;
  return supine ? PatientPosition::FFS : PatientPosition::FFP;
}

void put_position(DcmItem& dataset, PatientPosition position) {
  dataset.insertEmptyElement(DCM_PatientOrientationCodeSequence);
  dataset.insertEmptyElement(DCM_PatientGantryRelationshipCodeSequence);
  if (position == PatientPosition::Unknown) return;
  const bool prone = position == PatientPosition::HFP || position == PatientPosition::FFP;
  const bool feet = position == PatientPosition::FFS || position == PatientPosition::FFP;
  put_code(dataset, DCM_PatientOrientationCodeSequence, "102538003", "SCT", "recumbent");
  DcmItem* recumbent = nullptr;
  if (dataset.findAndGetSequenceItem(DCM_PatientOrientationCodeSequence, recumbent, 0).good()) {
    put_code(*recumbent, DCM_PatientOrientationModifierCodeSequence, prone ? "1240000" : "40199007", "SCT",
             prone ? "prone" : "supine");
  }
  put_code(dataset, DCM_PatientGantryRelationshipCodeSequence, feet ? "102541007" : "102540008", "SCT",
           feet ? "feet-first" : "headfirst");
}

Identity identity_of(DcmDataset& source, std::array<double, 3> origin) {
  auto content = std::make_unique<Identity::Content>();
  for (const DcmTagKey& tag : kAllowed) copy_element(source, tag, content->dataset);
  const std::string place =
      decimal_string(origin[0]) + "\\" + decimal_string(origin[1]) + "\\" + decimal_string(origin[2]);
  content->dataset.putAndInsertString(DCM_ImagePositionPatient, place.c_str());
  return Identity(std::move(content));
}

Identity named_identity(const NamedPatient& patient) {
  auto content = std::make_unique<Identity::Content>();
  const auto put = [&content](const DcmTagKey& tag, const std::string& value, std::size_t limit) {
    // No backslash: it would make two values.
    if (!value.empty() && value.size() <= limit && value.find('\\') == std::string::npos) {
      content->dataset.putAndInsertString(tag, value.c_str());
    }
  };
  put(DCM_PatientName, patient.name, 64);
  put(DCM_PatientID, patient.id, 64);
  put(DCM_StudyID, patient.study_id, 16);
  std::string date = patient.study_date;
  date.erase(std::remove_if(date.begin(), date.end(), [](char c) { return c == ':' || c == '/' || c == '-'; }),
             date.end());
  if (date.size() == 8 && std::all_of(date.begin(), date.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    put(DCM_StudyDate, date, 8);
  }
  put_position(content->dataset, patient.position);
  return Identity(std::move(content));
}

Identity::Identity() = default;
Identity::~Identity() = default;
Identity::Identity(const Identity&) = default;
Identity::Identity(Identity&&) noexcept = default;
Identity& Identity::operator=(const Identity&) = default;
Identity& Identity::operator=(Identity&&) noexcept = default;
Identity::Identity(std::unique_ptr<const Content> content) : content_(std::move(content)) {}

bool Identity::empty() const {
  return content_ == nullptr;
}

namespace {
// DCMTK's readers are not const, and searching a data set leaves it as it was except for its cursor: look in a copy, so
// that an Identity may be read by several threads.
template <class Answer>
Answer ask(const Identity::Content& content, Answer (*question)(DcmItem&)) {
  DcmDataset copy(content.dataset);
  return question(copy);
}
}  // namespace

PatientPosition Identity::position() const {
  return empty() ? PatientPosition::Unknown : ask<PatientPosition>(*content_, position_in);
}

namespace {
std::string frame_in(DcmItem& dataset) {
  return text(dataset, DCM_FrameOfReferenceUID);
}
}  // namespace

bool Identity::has_frame() const {
  return !empty() && !ask<std::string>(*content_, frame_in).empty();
}

bool Identity::same_frame(const Identity& other) const {
  return has_frame() && other.has_frame() &&
         ask<std::string>(*content_, frame_in) == ask<std::string>(*other.content_, frame_in);
}

std::array<Millimetres, 3> Identity::origin() const {
  if (empty()) return {};
  const auto place =
      ask<std::vector<double>>(*content_, [](DcmItem& dataset) { return numbers(dataset, DCM_ImagePositionPatient); });
  if (place.size() != 3) return {};
  return {Millimetres(place[0]), Millimetres(place[1]), Millimetres(place[2])};
}

ByteString Identity::serialise() const {
  ByteString bytes(kMagic.begin(), kMagic.end());
  if (empty()) return bytes;
  DcmDataset copy(content_->dataset);
  ByteString buffer(kSerialisedLimit - kMagic.size());
  DcmOutputBufferStream stream(buffer.data(), static_cast<offile_off_t>(buffer.size()));
  copy.transferInit();
  const OFCondition written = copy.write(stream, EXS_LittleEndianExplicit, EET_ExplicitLength, nullptr);
  copy.transferEnd();
  TOMOGRID_ASSERT(written.good());
  void* data = nullptr;
  offile_off_t length = 0;
  stream.flushBuffer(data, length);
  const auto* first = static_cast<const std::uint8_t*>(data);
  bytes.insert(bytes.end(), first, first + length);
  return bytes;
}

Result<Identity> Identity::parse(ByteView bytes) {
  const Error malformed{ErrorCode::BadInput, "not a stored identity"};
  if (bytes.size() < kMagic.size() || bytes.size() > kSerialisedLimit ||
      text_of(bytes.subspan(0, kMagic.size())) != kMagic) {
    return malformed;
  }
  bytes = bytes.subspan(kMagic.size());
  if (bytes.empty()) return Identity();
  try {
    // The same bounds as for a file; a data set on its own is what a file without a meta header holds.
    const std::unique_ptr<DcmFileFormat> file = parse_dicom(bytes);
    DcmDataset& dataset = *file->getDataset();
    const std::vector<double> place = numbers(dataset, DCM_ImagePositionPatient);
    return identity_of(dataset, place.size() == 3 ? std::array{place[0], place[1], place[2]} : std::array<double, 3>{});
  } catch (const Refusal&) {
    return malformed;
  }
}

}  // namespace tomogrid::image
