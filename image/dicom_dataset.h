// One DICOM file in memory, read by DCMTK with bounds, and what this room's DICOM readers ask of it.
// Includes DCMTK: for image/dicom_*.cpp and identity.cpp only. Everything here throws Refusal.
#pragma once

#include <dcmtk/config/osconfig.h>
// osconfig.h first
#include <dcmtk/dcmdata/dctk.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/text.h"
#include "image/files.h"

namespace tomogrid::image {

// "StartAngle (0054,0200)": how errors name an element. Never its value.
std::string name_of(const DcmTagKey& tag);

// Whether the bytes begin like a DICOM file (with or without the meta header).
bool looks_like_dicom(ByteView bytes);

// Parses whole files. DCMTK recurses once per nesting level, so the number of sequence items is bounded first; deflated
// files are refused because their size cannot be; DCMTK's own log, which quotes values, is turned off. `bytes` outlives
// the result, which reads large elements from it when they are asked for.
std::unique_ptr<DcmFileFormat> parse_dicom(ByteView bytes);

// Text without padding; empty when absent.
std::string text(DcmItem& item, const DcmTagKey& tag, unsigned long position = 0);
// nullopt when absent or empty; refused when not a finite number.
std::optional<double> number(DcmItem& item, const DcmTagKey& tag, unsigned long position = 0);
std::vector<double> numbers(DcmItem& item, const DcmTagKey& tag);
double required_number(DcmItem& item, const DcmTagKey& tag);
// A whole number within bounds.
std::size_t count(DcmItem& item, const DcmTagKey& tag, std::size_t least, std::size_t most);
std::size_t count_or(DcmItem& item, const DcmTagKey& tag, std::size_t fallback, std::size_t least, std::size_t most);
// Items of a sequence; empty when absent.
std::vector<DcmItem*> items(DcmItem& item, const DcmTagKey& tag);
// Values of an index vector, which must have one per frame.
std::vector<std::uint16_t> index_vector(DcmItem& item, const DcmTagKey& tag, std::size_t frames);

// Grey pixel data, uncompressed, 8, 16 or 32 bits, signed or not.
class PixelFrames {
 public:
  // Checks sizes against each other and against the data before anything is allocated.
  explicit PixelFrames(DcmDataset& dataset);
  std::size_t rows() const { return rows_; }
  std::size_t columns() const { return columns_; }
  std::size_t frames() const { return frames_; }
  // Stored values of one frame, row by row. Requires frame < frames(), out.size() == rows() * columns().
  void read(std::size_t frame, std::span<double> out) const;

 private:
  std::int64_t stored(std::size_t index) const;
  std::size_t rows_ = 0, columns_ = 0, frames_ = 0;
  unsigned allocated_ = 0, stored_bits_ = 0, shift_ = 0;
  bool is_signed_ = false;
  const Uint8* bytes_ = nullptr;      // borrowed from the data set
  const Uint16* words_ = nullptr;
};

// Image Type value 3 ("TOMO"), upper case; refuses other SOP classes than NM by name.
std::string nm_kind(DcmDataset& dataset);

}  // namespace tomogrid::image
