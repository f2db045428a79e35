// A scan that is too large to be wanted in memory: everything about it, and its values in pieces as they are asked for.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/files.h"

namespace tomogrid::image {

// The values of one scan in the order of image/geometry.h, as load_scan() would give them, read from where they lie.
// May be called from several threads.
class ScanValues {
 public:
  virtual ~ScanValues() = default;
  // Values [first, first + into.size()). Requires that the scan has them. BadInput when the file is not what it was.
  virtual Result<void> read(std::size_t first, std::span<float> into) const = 0;
};

struct OpenedScan {
  ProjectionGeometry geometry;
  AcquisitionFacts facts;
  Identity identity;
  std::vector<std::string> warnings;
  double counts = 0;                         // of all values
  std::shared_ptr<const ScanValues> values;  // null: the format has to be read whole, and they are in `in_memory`
  std::vector<float> in_memory;
};

// As load_scan(), and with its errors: every value has been looked at. Of an Interfile no more than a megabyte of them
// is held at a time, and its data file stays open; it must not be changed while the values are read.
Result<OpenedScan> open_scan(const std::filesystem::path& path, const LoadOptions& options = {});

// As describe() of a scan in memory.
std::string describe(const OpenedScan& scan);

}  // namespace tomogrid::image
