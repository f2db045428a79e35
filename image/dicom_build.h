// What the two DICOM writers share. Includes DCMTK: for image/dicom_*_write.cpp only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "image/identity_content.h"

namespace tomogrid::image {

// A new unique identifier of 128 random bits under 2.25 (PS3.5 B.2): it says nothing of this machine.
std::string new_uid();

// A data set under construction. Every put throws Refusal when DCMTK refuses the value.
class Builder {
 public:
  explicit Builder(DcmItem& item) : item_(item) {}
  DcmItem& item() { return item_; }
  Builder& put(const DcmTagKey& tag, const std::string& value);
  Builder& put(const DcmTagKey& tag, const char* value) { return put(tag, std::string(value)); }
  Builder& put(const DcmTagKey& tag, double value);                                    // DS or FD
  Builder& put(const DcmTagKey& tag, const std::vector<double>& values);               // DS
  Builder& put_whole(const DcmTagKey& tag, std::size_t value);                         // US or IS
  Builder& put_index(const DcmTagKey& tag, const std::vector<std::uint16_t>& values);  // US
  Builder& put_empty(const DcmTagKey& tag);
  Builder& put_pixels(const std::vector<std::uint16_t>& pixels);
  // Puts an empty value where there is none yet: for elements that must be there (type 2).
  Builder& need(const DcmTagKey& tag);
  // A new item at the end of a sequence.
  Builder add(const DcmTagKey& sequence);

 private:
  DcmItem& item_;
};

// Modules that every NM image has; `now` in local time for the dates of creation.
void put_image_kind(Builder& image, const char* kind, const std::string& sop_instance);
void put_frames(Builder& image, std::size_t frames, std::size_t rows, std::size_t columns, double row_mm,
                double column_mm);
// Today and now as DICOM writes them: "20260131", "235959".
std::string today();
std::string time_of_day();
// The bytes of a DICOM file, explicit little endian.
ByteString file_bytes(DcmFileFormat& file);

}  // namespace tomogrid::image
