#include "image/dicom_dataset.h"

#include <cmath>
#include <mutex>

#include "image/dicom_memory.h"
#include "image/numbers.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

// Far more than any NM object has, and few enough for the stack if each were nested in the one before.
constexpr std::size_t kMaxItems = 4096;
// Longer elements are fetched when asked for. Above what copy_element() copies: copies never point into the file.
constexpr Uint32 kReadAtOnce = 64 * 1024;

void set_up_dcmtk() {
  static std::once_flag once;
  std::call_once(once, [] { OFLog::configure(OFLogger::OFF_LOG_LEVEL); });
}

// Item tags (FFFE,E000) in either byte order, counted without parsing.
std::size_t item_tags(ByteView bytes) {
  std::size_t found = 0;
  for (std::size_t i = 0; i + 4 <= bytes.size(); ++i) {
    const bool little = bytes[i] == 0xFE && bytes[i + 1] == 0xFF && bytes[i + 2] == 0x00 && bytes[i + 3] == 0xE0;
    const bool big = bytes[i] == 0xFF && bytes[i + 1] == 0xFE && bytes[i + 2] == 0xE0 && bytes[i + 3] == 0x00;
    if (little || big) ++found;
  }
  return found;
}

// Reads `part` of the bytes; what went wrong in DCMTK's words, which name no value.
template <class Part>
OFCondition read_from(ByteView bytes, Part& part) {
  MemoryStream stream(bytes);
  part.transferInit();
  const OFCondition result = part.read(stream, EXS_Unknown, EGL_noChange, kReadAtOnce);
  part.transferEnd();
  return result;
}

void refuse_deflated(ByteView bytes) {
  DcmMetaInfo meta;
  if (read_from(bytes, meta).bad()) return;  // no meta header: cannot name a deflated syntax
  if (text(meta, DCM_TransferSyntaxUID) == UID_DeflatedExplicitVRLittleEndianTransferSyntax) {
    refuse("the deflated transfer syntax is not read; convert it: dcmconv +te IN OUT");
  }
}

}  // namespace

std::string name_of(const DcmTagKey& tag) {
  DcmTag named(tag);
  return std::string(named.getTagName()) + " " + tag.toString().c_str();
}

bool looks_like_dicom(ByteView bytes) {
  if (bytes.size() >= 132 && text_of(bytes.subspan(128, 4)) == "DICM") return true;
  // A data set without a preamble begins with group 0002 or 0008, in either byte order, and a small element number.
  return bytes.size() >= 8 && ((bytes[0] == 0x08 && bytes[1] == 0) || (bytes[0] == 0 && bytes[1] == 0x08) ||
                               (bytes[0] == 0x02 && bytes[1] == 0));
}

std::unique_ptr<DcmFileFormat> parse_dicom(ByteView bytes) {
  set_up_dcmtk();
  if (item_tags(bytes) > kMaxItems) {
    refuse("more than " + std::to_string(kMaxItems) + " sequence items: not a nuclear medicine object");
  }
  refuse_deflated(bytes);
  auto file = std::make_unique<DcmFileFormat>();
  const OFCondition result = read_from(bytes, *file);
  if (result.bad()) refuse(std::string("malformed DICOM: ") + result.text());
  if (file->getDataset()->card() == 0) refuse("malformed DICOM: no elements");
  return file;
}

std::string text(DcmItem& item, const DcmTagKey& tag, unsigned long position) {
  OFString value;
  if (item.findAndGetOFString(tag, value, position).bad()) return {};
  return std::string(trimmed({value.c_str(), value.length()}));
}

std::optional<double> number(DcmItem& item, const DcmTagKey& tag, unsigned long position) {
  const std::string value = text(item, tag, position);
  if (value.empty()) return std::nullopt;
  const std::optional<double> result = parse_double(value);
  if (!result) refuse(name_of(tag) + " is not a number");
  return result;
}

std::vector<double> numbers(DcmItem& item, const DcmTagKey& tag) {
  DcmElement* element = nullptr;
  if (item.findAndGetElement(tag, element).bad() || element == nullptr) return {};
  const unsigned long n = element->getVM();
  if (n > 16 * kMaxViews) refuse(name_of(tag) + " has too many values");
  // One pass over the text: asking for value i by index costs i steps.
  OFString whole;
  if (element->getOFStringArray(whole).bad()) refuse(name_of(tag) + " cannot be read");
  std::vector<double> values;
  std::string_view rest(whole.c_str(), whole.length());
  while (!trimmed(rest).empty()) {
    const std::size_t end = rest.find('\\');
    const auto value = parse_double(rest.substr(0, end));
    if (!value) refuse(name_of(tag) + " is not a list of numbers");
    values.push_back(*value);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return values;
}

double required_number(DcmItem& item, const DcmTagKey& tag) {
  const std::optional<double> value = number(item, tag);
  if (!value) refuse(name_of(tag) + " is missing");
  return *value;
}

std::size_t count_or(DcmItem& item, const DcmTagKey& tag, std::size_t fallback, std::size_t least, std::size_t most) {
  const std::optional<double> value = number(item, tag);
  if (!value) return fallback;
  if (*value < static_cast<double>(least) || *value > static_cast<double>(most) || *value != std::floor(*value)) {
    refuse(name_of(tag) + " is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<std::size_t>(*value);
}

std::size_t count(DcmItem& item, const DcmTagKey& tag, std::size_t least, std::size_t most) {
  if (text(item, tag).empty()) refuse(name_of(tag) + " is missing");
  return count_or(item, tag, least, least, most);
}

std::vector<DcmItem*> items(DcmItem& item, const DcmTagKey& tag) {
  DcmSequenceOfItems* sequence = nullptr;
  if (item.findAndGetSequence(tag, sequence).bad() || sequence == nullptr) return {};
  std::vector<DcmItem*> result;
  for (unsigned long i = 0; i < sequence->card(); ++i) {
    if (DcmItem* found = sequence->getItem(i)) result.push_back(found);
  }
  return result;
}

std::vector<std::uint16_t> index_vector(DcmItem& item, const DcmTagKey& tag, std::size_t frames) {
  const std::vector<double> values = numbers(item, tag);
  if (values.size() != frames) {
    refuse(name_of(tag) + " has " + std::to_string(values.size()) + " values for " + std::to_string(frames) +
           " frames");
  }
  std::vector<std::uint16_t> result;
  result.reserve(frames);
  for (const double value : values) {
    if (value < 1 || value > 65535 || value != std::floor(value))
      refuse(name_of(tag) + " has a value that is not an index");
    result.push_back(static_cast<std::uint16_t>(value));
  }
  return result;
}

PixelFrames::PixelFrames(DcmDataset& dataset) {
  const DcmXfer syntax(dataset.getOriginalXfer());
  if (syntax.isEncapsulated()) {
    refuse(std::string("compressed pixel data (") + syntax.getXferName() +
           "): decompress it first, with dcmdjpeg, dcmdjpls, dcmdrle or gdcmconv --raw");
  }
  rows_ = count(dataset, DCM_Rows, 1, kMaxSide);
  columns_ = count(dataset, DCM_Columns, 1, kMaxSide);
  frames_ = count_or(dataset, DCM_NumberOfFrames, 1, 1, 65535);
  if (rows_ * columns_ * frames_ > kMaxElements) refuse("more than " + std::to_string(kMaxElements) + " pixels");
  if (count_or(dataset, DCM_SamplesPerPixel, 1, 1, 4) != 1) refuse("colour pixels, not counts (SamplesPerPixel)");
  const std::string photometric = text(dataset, DCM_PhotometricInterpretation);
  if (!photometric.empty() && photometric != "MONOCHROME2") {
    refuse("PhotometricInterpretation is not MONOCHROME2");
  }
  allocated_ = static_cast<unsigned>(count(dataset, DCM_BitsAllocated, 1, 64));
  if (allocated_ != 8 && allocated_ != 16 && allocated_ != 32) refuse("BitsAllocated is not 8, 16 or 32");
  stored_bits_ = static_cast<unsigned>(count_or(dataset, DCM_BitsStored, allocated_, 1, allocated_));
  const auto high = static_cast<unsigned>(count_or(dataset, DCM_HighBit, stored_bits_ - 1, 0, allocated_ - 1));
  if (high + 1 < stored_bits_) refuse("HighBit contradicts BitsStored");
  shift_ = high + 1 - stored_bits_;
  is_signed_ = count_or(dataset, DCM_PixelRepresentation, 0, 0, 1) == 1;

  DcmElement* element = nullptr;
  if (dataset.findAndGetElement(DCM_PixelData, element).bad() || element == nullptr) refuse("there is no PixelData");
  const std::size_t needed = rows_ * columns_ * frames_ * (allocated_ / 8);
  const std::size_t there = element->getLength();
  if (there < needed) {
    refuse("PixelData holds " + std::to_string(there) + " bytes, " + std::to_string(needed) + " are needed: truncated");
  }
  Uint8* bytes = nullptr;
  Uint16* words = nullptr;
  if (allocated_ > 8 && element->ident() != EVR_OB && element->getUint16Array(words).good() && words != nullptr) {
    words_ = words;
  } else if (element->getUint8Array(bytes).good() && bytes != nullptr) {
    bytes_ = bytes;
  } else if (element->getUint16Array(words).good() && words != nullptr) {
    words_ = words;  // OW holding 8-bit pixels: two in a word, the first in the low byte
  } else {
    refuse("PixelData cannot be read");
  }
}

std::int64_t PixelFrames::stored(std::size_t index) const {
  std::uint64_t raw = 0;
  if (words_ != nullptr) {
    if (allocated_ == 8)
      raw = (words_[index / 2] >> (index % 2 == 0 ? 0 : 8)) & 0xFFu;
    else if (allocated_ == 16)
      raw = words_[index];
    else
      raw = static_cast<std::uint64_t>(words_[2 * index]) | static_cast<std::uint64_t>(words_[2 * index + 1]) << 16;
  } else {
    const std::size_t width = allocated_ / 8;
    for (std::size_t b = 0; b < width; ++b) raw |= static_cast<std::uint64_t>(bytes_[index * width + b]) << (8 * b);
  }
  const std::uint64_t mask = (std::uint64_t{1} << stored_bits_) - 1;
  raw = (raw >> shift_) & mask;
  const bool negative = is_signed_ && (raw >> (stored_bits_ - 1)) != 0;
  return negative ? static_cast<std::int64_t>(raw) - (std::int64_t{1} << stored_bits_) : static_cast<std::int64_t>(raw);
}

void PixelFrames::read(std::size_t frame, std::span<double> out) const {
  TOMOGRID_ASSERT(frame < frames_ && out.size() == rows_ * columns_);
  const std::size_t first = frame * out.size();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(stored(first + i));
}

std::string nm_kind(DcmDataset& dataset) {
  const std::string sop_class = text(dataset, DCM_SOPClassUID);
  const std::string kind = text(dataset, DCM_ImageType, 2);
  if (sop_class != UID_NuclearMedicineImageStorage) {
    const char* name = dcmFindNameOfUID(sop_class.c_str());
    // Some cameras export planar images as screen captures.
    const bool planar = kind == "STATIC" || kind == "WHOLE BODY" || kind == "DYNAMIC" || kind == "GATED";
    refuse(std::string("not a nuclear medicine image but ") +
           (name != nullptr ? name : "an object of another or no SOP class") + (planar ? " (" + kind + ")" : ""));
  }
  if (kind.empty()) refuse("ImageType (0008,0008) does not say what kind of NM image this is");
  return kind;
}

}  // namespace tomogrid::image
