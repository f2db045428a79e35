// The readers and writers behind files.h, one per format, and what they share. Not for other rooms. All throw Refusal.
#pragma once

#include <functional>
#include <span>

#include "base/text.h"
#include "image/files.h"

namespace tomogrid::image {

// DICOM (dicom_scan.cpp, dicom_scan_write.cpp, dicom_volume.cpp, dicom_volume_write.cpp)
bool looks_like_dicom(ByteView bytes);
LoadedScan read_dicom_scan(ByteView bytes, const LoadOptions& options);
LoadedVolume read_dicom_volume(ByteView bytes, const std::string& unit);
ByteString write_dicom_scan(const Projections& projections, const ScanLabels& labels,
                            std::span<const Projections> scatter = {});
ByteString write_dicom_volume(const Volume& volume, const Identity& identity, const ResultLabels& labels);

// Interfile (interfile.cpp, interfile_write.cpp). `data` reads `length` bytes at `offset` of the named data file, which
// lies beside the header, after checking that it has them; an empty name means the header's own file.
using DataFile = std::function<ByteString(const std::string& name, std::uint64_t offset, std::uint64_t length)>;
bool looks_like_interfile(ByteView bytes);
// `loaded` is everything but its values, which have not been looked at; they lie before `data_end` of `data_file`.
// read() gives values [first, first + into.size()) in our order, not judged (CountCheck) yet. May be called by several
// threads at once if `data` may.
struct InterfileScan {
  LoadedScan loaded;
  std::string data_file;
  std::uint64_t data_end = 0;
  std::function<void(const DataFile& data, std::size_t first, std::span<float> into)> read;
};
InterfileScan read_interfile_header(std::string_view header, const LoadOptions& options);
LoadedScan read_interfile_scan(std::string_view header, const DataFile& data, const LoadOptions& options);
LoadedVolume read_interfile_volume(std::string_view header, const DataFile& data, const std::string& unit);
struct InterfileText {
  std::string header;
  ByteString data;
};
InterfileText write_interfile_scan(const Projections& projections, const ScanLabels& labels,
                                   const std::string& data_name, std::span<const Projections> scatter = {});
InterfileText write_interfile_volume(const Volume& volume, const std::string& data_name);

// NIfTI (nifti.cpp). `bytes` is a .nii file, already unpacked if it was gzipped.
bool looks_like_nifti(ByteView bytes);
bool looks_like_gzip(ByteView bytes);
// How long the whole unpacked file must be, from its first bytes (at least 540 or all there is).
std::uint64_t nifti_length(ByteView head);
LoadedVolume read_nifti(ByteView bytes, const std::string& unit);
ByteString write_nifti(const Volume& volume);
// At most `limit` bytes of what a gzip file holds.
ByteString unpack_gzip(ByteView packed, std::uint64_t limit);
ByteString pack_gzip(ByteView bytes);

// A picture (mosaic.cpp): PNG bytes.
ByteString draw_mosaic(const Volume& volume, Palette palette, std::optional<float> maximum);

// The data file `name` beside an Interfile header, opened now; it reads that one file, whatever name it is asked for.
DataFile open_beside(const std::filesystem::path& header, const std::string& name);
// The first bytes of a file: enough for a text header. A whole file, up to 4 GiB.
ByteString head_of_file(const std::filesystem::path& path);
ByteString whole_file(const std::filesystem::path& path);

// Judges the values of a scan as settle_counts() does, in pieces. Give every value once, in order; settle() then refuses
// or reports. look() sets negative values to 0.
class CountCheck {
 public:
  void look(std::span<float> values);
  void settle(AcquisitionFacts& facts, std::vector<std::string>& warnings) const;
  double total() const { return total_; }

 private:
  double negative_ = 0, total_ = 0;
  std::size_t below_ = 0;
  bool all_whole_ = true;
};
// describe() of a scan whose values sum to `counts`.
std::string describe(const ProjectionGeometry& geometry, const AcquisitionFacts& facts, double counts);

// Negative values of a scan become 0 and are reported; refused when they are more than 0.1 % of the counts, or when a
// value is not finite. Says in facts.counts whether all are whole.
void settle_counts(Projections& projections, std::vector<std::string>& warnings);
// A radius for views without one, and the gap to the collimator face.
void settle_radii(ProjectionGeometry& geometry, const LoadOptions& options, std::vector<std::string>& warnings);

}  // namespace tomogrid::image
