#include "image/scan_reader.h"

#include <algorithm>
#include <utility>

#include "image/formats.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

constexpr std::size_t kPiece = 256 * 1024;  // values looked at in one go

class InterfileValues final : public ScanValues {
 public:
  InterfileValues(const InterfileScan& scan, DataFile data) : read_(scan.read), data_(std::move(data)) {}

  // Negative values, which CountCheck has found to be few, are 0 as everywhere.
  Result<void> read(std::size_t first, std::span<float> into) const override {
    try {
      read_(data_, first, into);
    } catch (const Refusal& refusal) {
      return Error{ErrorCode::BadInput, "the scan cannot be read any more: " + refusal.what};
    }
    for (float& value : into) {
      if (value < 0) value = 0;
    }
    return {};
  }

 private:
  decltype(InterfileScan::read) read_;
  DataFile data_;
};

OpenedScan opened(LoadedScan scan) {
  return {std::move(scan.projections.geometry),
          std::move(scan.projections.facts),
          std::move(scan.identity),
          std::move(scan.warnings),
          0,
          nullptr,
          std::move(scan.projections.values)};
}

OpenedScan open_interfile(std::string_view text, const std::filesystem::path& path, const LoadOptions& options) {
  InterfileScan scan = read_interfile_header(text, options);
  const DataFile data = open_beside(path, scan.data_file);
  (void)data(scan.data_file, scan.data_end, 0);
  const std::size_t count = scan.loaded.projections.geometry.elements();
  CountCheck check;
  std::vector<float> piece(std::min(count, kPiece));
  for (std::size_t first = 0; first < count; first += kPiece) {
    const std::span<float> values(piece.data(), std::min(kPiece, count - first));
    scan.read(data, first, values);
    check.look(values);
  }
  check.settle(scan.loaded.projections.facts, scan.loaded.warnings);
  auto values = std::make_shared<const InterfileValues>(scan, data);
  OpenedScan result = opened(std::move(scan.loaded));
  result.values = std::move(values);
  result.counts = check.total();
  return result;
}

}  // namespace

Result<OpenedScan> open_scan(const std::filesystem::path& path, const LoadOptions& options) {
  try {
    const ByteString head = head_of_file(path);
    if (looks_like_interfile(head)) {
      return guarded<OpenedScan>(path, [&] { return open_interfile(text_of(head), path, options); });
    }
  } catch (const Failure& failure) {  // cannot open: an outcome for whoever named the file
    return failure.error();
  }
  auto scan = load_scan(path, options);
  if (!scan) return scan.error();
  OpenedScan result = opened(*std::move(scan));
  for (const float value : result.in_memory) result.counts += static_cast<double>(value);
  return result;
}

std::string describe(const OpenedScan& scan) {
  return describe(scan.geometry, scan.facts, scan.counts);
}

}  // namespace tomogrid::image
