#include "image/dicom_build.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <ctime>

#include <dcmtk/dcmdata/dcostrmb.h>

#include "image/numbers.h"
#include "image/refusal.h"

namespace tomogrid::image {

namespace {

void done(const OFCondition& condition, const DcmTagKey& tag) {
  if (condition.bad()) refuse(name_of(tag) + " cannot be written: " + condition.text());
}

std::string local_time(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char buffer[32];
  return std::string(buffer, std::strftime(buffer, sizeof buffer, format, &parts));
}

}  // namespace

std::string new_uid() {
  std::array<std::uint8_t, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Failure(ErrorCode::Internal, "no random numbers from the kernel");
  }
  // A random UUID (RFC 4122 version 4) as one decimal number.
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3F) | 0x80);
  std::string digits;
  while (std::any_of(bytes.begin(), bytes.end(), [](std::uint8_t b) { return b != 0; })) {
    unsigned remainder = 0;
    for (std::uint8_t& byte : bytes) {
      const unsigned value = remainder * 256 + byte;
      byte = static_cast<std::uint8_t>(value / 10);
      remainder = value % 10;
    }
    digits.push_back(static_cast<char>('0' + remainder));
  }
  std::reverse(digits.begin(), digits.end());
  return "2.25." + digits;
}

Builder& Builder::put(const DcmTagKey& tag, const std::string& value) {
  done(item_.putAndInsertString(tag, value.c_str()), tag);
  return *this;
}

Builder& Builder::put(const DcmTagKey& tag, double value) {
  if (DcmTag(tag).getEVR() == EVR_FD) {
    done(item_.putAndInsertFloat64(tag, value), tag);
    return *this;
  }
  return put(tag, decimal_string(value));
}

Builder& Builder::put(const DcmTagKey& tag, const std::vector<double>& values) {
  std::string text;
  for (const double value : values) text += (text.empty() ? "" : "\\") + decimal_string(value);
  if (text.size() > 65534) refuse(name_of(tag) + " has too many digits for one element");
  return put(tag, text);
}

Builder& Builder::put_whole(const DcmTagKey& tag, std::size_t value) {
  if (DcmTag(tag).getEVR() == EVR_IS) return put(tag, std::to_string(value));
  done(item_.putAndInsertUint16(tag, static_cast<Uint16>(value)), tag);
  return *this;
}

Builder& Builder::put_index(const DcmTagKey& tag, const std::vector<std::uint16_t>& values) {
  done(item_.putAndInsertUint16Array(tag, values.data(), static_cast<unsigned long>(values.size())), tag);
  return *this;
}

Builder& Builder::put_empty(const DcmTagKey& tag) {
  done(item_.insertEmptyElement(tag), tag);
  return *this;
}

Builder& Builder::put_pixels(const std::vector<std::uint16_t>& pixels) {
  done(item_.putAndInsertUint16Array(DCM_PixelData, pixels.data(), static_cast<unsigned long>(pixels.size())),
       DCM_PixelData);
  return *this;
}

Builder& Builder::need(const DcmTagKey& tag) {
  return item_.tagExists(tag) ? *this : put_empty(tag);
}

Builder Builder::add(const DcmTagKey& sequence) {
  DcmItem* made = nullptr;
  done(item_.findOrCreateSequenceItem(sequence, made, -2), sequence);
  return Builder(*made);
}

std::string today() {
  return local_time("%Y%m%d");
}
std::string time_of_day() {
  return local_time("%H%M%S");
}

void put_image_kind(Builder& image, const char* kind, const std::string& sop_instance) {
  image.put(DCM_SOPClassUID, UID_NuclearMedicineImageStorage)
      .put(DCM_SOPInstanceUID, sop_instance)
      .put(DCM_ImageType, kind)
      .put(DCM_Modality, "NM")
      .put(DCM_ContentDate, today())
      .put(DCM_ContentTime, time_of_day())
      .put(DCM_InstanceNumber, "1")
      .put_empty(DCM_Laterality)
      .put(DCM_Manufacturer, "Tomogrid")
      .put(DCM_ManufacturerModelName, "Tomogrid");
}

void put_frames(Builder& image, std::size_t frames, std::size_t rows, std::size_t columns, double row_mm,
                double column_mm) {
  image.put_whole(DCM_SamplesPerPixel, 1)
      .put(DCM_PhotometricInterpretation, "MONOCHROME2")
      .put_whole(DCM_NumberOfFrames, frames)
      .put_whole(DCM_Rows, rows)
      .put_whole(DCM_Columns, columns)
      .put(DCM_PixelSpacing, std::vector<double>{row_mm, column_mm})
      .put_whole(DCM_BitsAllocated, 16)
      .put_whole(DCM_BitsStored, 16)
      .put_whole(DCM_HighBit, 15)
      .put_whole(DCM_PixelRepresentation, 0);
}

ByteString file_bytes(DcmFileFormat& file) {
  // Through memory: files of this program appear by rename, with their own rights.
  done(file.getDataset()->chooseRepresentation(EXS_LittleEndianExplicit, nullptr), DCM_PixelData);
  done(file.validateMetaInfo(EXS_LittleEndianExplicit), DCM_TransferSyntaxUID);
  const std::size_t length = file.calcElementLength(EXS_LittleEndianExplicit, EET_ExplicitLength);
  ByteString bytes(length + 65536);
  DcmOutputBufferStream stream(bytes.data(), static_cast<offile_off_t>(bytes.size()));
  file.transferInit();
  done(file.write(stream, EXS_LittleEndianExplicit, EET_ExplicitLength, nullptr), DCM_PixelData);
  file.transferEnd();
  void* data = nullptr;
  offile_off_t written = 0;
  stream.flushBuffer(data, written);
  bytes.resize(static_cast<std::size_t>(written));
  return bytes;
}

}  // namespace tomogrid::image
