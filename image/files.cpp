#include "image/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <numeric>

#include "base/file.h"
#include "image/formats.h"
#include "image/numbers.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace fs = std::filesystem;

namespace {

constexpr Bytes kFileLimit = gibibytes(4);
constexpr std::uint64_t kTextHeaderLimit = 256 * 1024;
constexpr double kNegativeFraction = 1e-3;

// A regular file, open. Throws Failure: NotFound, Storage, BadInput for another kind of file.
class RegularFile {
 public:
  explicit RegularFile(const fs::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (fd_ < 0)
      throw Failure(errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Storage, "cannot open " + path.string());
    struct stat status {};
    if (::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode)) return;
    ::close(fd_);
    throw Failure(ErrorCode::BadInput, path.string() + " is not a regular file");
  }
  ~RegularFile() { ::close(fd_); }
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  std::uint64_t size() const {
    struct stat status {};
    return ::fstat(fd_, &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  }
  // At most `length` bytes from `offset`; fewer at the end, or when they cannot be read.
  ByteString read(std::uint64_t offset, std::uint64_t length) const {
    const std::uint64_t end = size();
    ByteString bytes(offset < end ? std::min(length, end - offset) : 0);
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::pread(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    bytes.resize(done);
    return bytes;
  }

 private:
  int fd_;
};

// The data file that an Interfile header names, which must lie beside it.
DataFile beside(const fs::path& header) {
  return [header](const std::string& name, std::uint64_t offset, std::uint64_t length) {
    return open_beside(header, name)(name, offset, length);
  };
}

template <class T, class Read>
Result<T> open_and_read(const fs::path& path, Read read) {
  try {
    return guarded<T>(path, read);
  } catch (const Failure& failure) {  // cannot open: an outcome for whoever named the file
    return failure.error();
  }
}

ByteString unpacked_nifti(const fs::path& path) {
  ByteString bytes = whole_file(path);
  if (!looks_like_gzip(bytes)) return bytes;
  const ByteString start = unpack_gzip(bytes, 540);
  if (!looks_like_nifti(start)) refuse("a gzip file, but not of a NIfTI volume");
  return unpack_gzip(bytes, nifti_length(start));
}

constexpr const char* kUnknownFormat = "neither DICOM, Interfile nor NIfTI";

std::string extension_of(const fs::path& path) {
  const std::string name = lower_case(path.filename().string());
  for (const char* known : {".nii.gz", ".nii", ".dcm", ".hv", ".png", ".hs", ".h33"}) {
    const std::string_view suffix(known);
    if (name.size() > suffix.size() && name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0)
      return known;
  }
  return {};
}

fs::path with_extension(const fs::path& path, const char* extension) {
  return fs::path(path).replace_extension(extension);
}

Result<void> save_pair(const fs::path& header, const fs::path& data, const InterfileText& text) {
  // The data first: a header never names data that are not there.
  if (auto saved = write_file(data, text.data); !saved) return saved;
  return write_file(header, bytes_of(text.header));
}

Error cannot_save(const fs::path& path, const std::string& why) {
  return {ErrorCode::BadInput, "cannot save " + path.string() + ": " + why};
}

template <class Write>
Result<void> saved(const fs::path& path, Write write) {
  try {
    return write();
  } catch (const Refusal& refusal) {
    return cannot_save(path, refusal.what);
  }
}

void require_finite(const std::vector<float>& values) {
  if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); })) {
    refuse("it holds values that are not finite numbers");
  }
}

}  // namespace

ByteString head_of_file(const fs::path& path) {
  return RegularFile(path).read(0, kTextHeaderLimit);
}

ByteString whole_file(const fs::path& path) {
  return std::move(read_file(path, kFileLimit)).or_throw();
}

DataFile open_beside(const fs::path& header, const std::string& name) {
  const fs::path relative = name.empty() ? header.filename() : fs::path(name);
  if (relative.is_absolute() || std::find(relative.begin(), relative.end(), "..") != relative.end()) {
    refuse("\"name of data file\" leads out of the header's folder: put the data beside the header");
  }
  const fs::path path = header.parent_path() / relative;
  std::error_code absent;
  if (!fs::exists(path, absent)) refuse("its data file " + relative.string() + " is not beside it");
  auto file = std::make_shared<const RegularFile>(path);
  return [file, named = relative.string()](const std::string&, std::uint64_t offset, std::uint64_t length) {
    if (offset > (std::uint64_t{1} << 40)) refuse("the data offset is absurd");
    const std::uint64_t size = file->size();
    if (size < offset || size - offset < length) {
      refuse("its data file " + named + " has " + std::to_string(size) + " bytes, " + std::to_string(offset + length) +
             " are needed: truncated");
    }
    ByteString bytes = file->read(offset, length);
    if (bytes.size() != length) refuse("its data file " + named + " cannot be read");
    return bytes;
  };
}

void CountCheck::look(std::span<float> values) {
  for (float& value : values) {
    if (!std::isfinite(value)) refuse("the projections hold values that are not finite numbers");
    all_whole_ = all_whole_ && value == std::floor(value);
    if (value < 0) {
      negative_ -= static_cast<double>(value);
      ++below_;
      value = 0;
    } else {
      total_ += static_cast<double>(value);
    }
  }
}

void CountCheck::settle(AcquisitionFacts& facts, std::vector<std::string>& warnings) const {
  if (negative_ > kNegativeFraction * total_) {
    refuse("negative values amount to more than 0.1 % of the counts: these are not raw projections");
  }
  if (below_ > 0) {
    warnings.push_back(std::to_string(below_) + " negative values, " +
                       shortest(std::round(1e4 * negative_ / total_) / 1e4) + " of the counts, were set to 0");
  }
  facts.counts = facts.counts && all_whole_;
}

void settle_counts(Projections& projections, std::vector<std::string>& warnings) {
  CountCheck check;
  check.look(projections.values);
  check.settle(projections.facts, warnings);
}

Result<std::array<Millimetres, 2>> parse_axis(std::string_view text) {
  const std::size_t comma = std::min(text.find(','), text.size());
  const auto x = parse_double(text.substr(0, comma));
  const auto y = comma < text.size() ? parse_double(text.substr(comma + 1)) : std::nullopt;
  if (!x || !y || std::abs(*x) > 2000 || std::abs(*y) > 2000)
    return Error{ErrorCode::Usage, "axis " + printable(text) + ": X,Y in mm is needed, each within 2000"};
  return std::array{Millimetres(*x), Millimetres(*y)};
}

void settle_radii(ProjectionGeometry& geometry, const LoadOptions& options, std::vector<std::string>& warnings) {
  std::size_t unknown = 0;
  for (View& view : geometry.views) {
    if (view.radius.count() == 0) {
      ++unknown;
      if (options.radius) view.radius = *options.radius;
    }
    if (view.radius.count() > 0) view.radius += options.collimator_gap;
  }
  if (unknown > 0 && !options.radius) {
    warnings.push_back("the radius of " + std::to_string(unknown) +
                       " views is not stated: the collimator's response needs one (--radius)");
  }
}

Result<LoadedScan> load_scan(const fs::path& path, const LoadOptions& options) {
  return open_and_read<LoadedScan>(path, [&] {
    const ByteString head = head_of_file(path);
    if (head.empty()) refuse("an empty file");
    LoadedScan scan;
    if (looks_like_interfile(head))
      scan = read_interfile_scan(text_of(head), beside(path), options);
    else if (looks_like_nifti(head) || looks_like_gzip(head))
      refuse("a volume, not projections");
    else if (looks_like_dicom(head))
      scan = read_dicom_scan(whole_file(path), options);
    else
      refuse("neither DICOM nor Interfile projections");
    if (auto sound = check(scan.projections.geometry, scan.projections.facts); !sound) refuse(sound.error().message);
    return scan;
  });
}

Result<LoadedVolume> load_volume_with_warnings(const fs::path& path, const std::string& unit) {
  return open_and_read<LoadedVolume>(path, [&] {
    const ByteString head = head_of_file(path);
    if (head.empty()) refuse("an empty file");
    LoadedVolume loaded;
    if (looks_like_interfile(head))
      loaded = read_interfile_volume(text_of(head), beside(path), unit);
    else if (looks_like_nifti(head) || looks_like_gzip(head))
      loaded = read_nifti(unpacked_nifti(path), unit);
    else if (looks_like_dicom(head))
      loaded = read_dicom_volume(whole_file(path), unit);
    else
      refuse(kUnknownFormat);
    require_finite(loaded.volume.values);
    if (auto sound = check(loaded.volume.geometry, loaded.volume.unit); !sound) refuse(sound.error().message);
    return loaded;
  });
}

Result<Volume> load_volume(const fs::path& path, const std::string& unit) {
  auto loaded = load_volume_with_warnings(path, unit);
  if (!loaded) return loaded.error();
  return std::move(loaded->volume);
}

Result<void> move_to_scan(Volume& volume, const Identity& of_volume, const Identity& of_scan) {
  if (!of_volume.same_frame(of_scan)) {
    return Error{
        ErrorCode::BadInput,
        "the volume and the scan do not share a FrameOfReferenceUID: register them first, and save the result in "
        "the scan's frame, or as NIfTI or Interfile centred as the scan is"};
  }
  const std::array<Millimetres, 3> origin = of_scan.origin();
  volume.geometry.x0 -= origin[0];
  volume.geometry.y0 -= origin[1];
  volume.geometry.z0 -= origin[2];
  return {};
}

Result<void> can_save_volume(const fs::path& path) {
  const std::string extension = extension_of(path);
  if (extension.empty() || extension == ".hs" || extension == ".h33") {
    return cannot_save(path, "the name must end in .nii, .nii.gz, .hv, .dcm or .png");
  }
  return {};
}

Result<void> save_volume(const fs::path& path, const Volume& volume, const Identity* identity,
                         const ResultLabels& labels) {
  if (auto known = can_save_volume(path); !known) return known;
  return saved(path, [&]() -> Result<void> {
    if (auto sound = check(volume.geometry, volume.unit); !sound) refuse(sound.error().message);
    if (volume.values.size() != volume.geometry.voxels()) refuse("it has another number of values than voxels");
    require_finite(volume.values);
    const std::string extension = extension_of(path);
    if (extension == ".hv") {
      const fs::path data = with_extension(path, ".v");
      return save_pair(path, data, write_interfile_volume(volume, data.filename().string()));
    }
    if (extension == ".dcm") {
      return write_file(path, write_dicom_volume(volume, identity != nullptr ? *identity : Identity(), labels));
    }
    if (extension == ".png") return write_file(path, draw_mosaic(volume, Palette::Grey, std::nullopt));
    const ByteString nifti = write_nifti(volume);
    return write_file(path, extension == ".nii.gz" ? pack_gzip(nifti) : nifti);
  });
}

Result<void> save_mosaic(const fs::path& png, const Volume& volume, Palette palette, std::optional<float> maximum) {
  return saved(png, [&] {
    if (auto sound = check(volume.geometry, volume.unit); !sound) refuse(sound.error().message);
    if (volume.values.size() != volume.geometry.voxels()) refuse("it has another number of values than voxels");
    require_finite(volume.values);
    return write_file(png, draw_mosaic(volume, palette, maximum));
  });
}

Result<void> save_scan(const fs::path& path, const Projections& projections, const ScanLabels& labels,
                       std::span<const Projections> scatter) {
  return saved(path, [&]() -> Result<void> {
    if (auto sound = check(projections.geometry, projections.facts); !sound) refuse(sound.error().message);
    if (projections.values.size() != projections.geometry.elements())
      refuse("it has another number of values than bins");
    require_finite(projections.values);
    for (const Projections& window : scatter) {
      if (!(window.geometry == projections.geometry) || window.values.size() != projections.values.size())
        refuse("an energy window has another geometry than the first");
      require_finite(window.values);
    }
    const std::string extension = extension_of(path);
    if (extension == ".dcm") return write_file(path, write_dicom_scan(projections, labels, scatter));
    if (extension != ".hs" && extension != ".h33") refuse("the name must end in .dcm, .hs or .h33");
    const fs::path data = with_extension(path, extension == ".hs" ? ".s" : ".i33");
    return save_pair(path, data, write_interfile_scan(projections, labels, data.filename().string(), scatter));
  });
}

std::string describe(const Projections& projections) {
  return describe(projections.geometry, projections.facts,
                  std::accumulate(projections.values.begin(), projections.values.end(), 0.0));
}

std::string describe(const ProjectionGeometry& g, const AcquisitionFacts& facts, double counts) {
  std::uint32_t heads = 0;
  double least = 1e9, most = 0;
  for (const View& view : g.views) {
    heads = std::max(heads, view.detector + 1);
    least = std::min(least, view.radius.count());
    most = std::max(most, view.radius.count());
  }
  const auto tenth = [](double x) { return shortest(std::round(x * 10) / 10); };
  std::string text = std::to_string(g.views.size()) + " views by " + std::to_string(heads) +
                     (heads == 1 ? " detector" : " detectors") + ", each " + std::to_string(g.rows) + " rows of " +
                     std::to_string(g.bins) + " bins of " + shortest(g.bin_mm.count()) + " x " +
                     shortest(g.row_mm.count()) + " mm; ";
  if (most == 0)
    text += "radius not stated";
  else
    text += "radius " + tenth(least) + (most > least ? " to " + tenth(most) : "") + " mm";
  text += "; " + std::to_string(static_cast<long long>(counts)) + (facts.counts ? " counts" : " (scaled values)");
  if (!facts.nuclide.empty()) text += "; " + facts.nuclide;
  if (!facts.collimator.empty()) text += "; " + facts.collimator;
  return text;
}

std::string describe(const Volume& volume) {
  const VolumeGeometry& g = volume.geometry;
  const double sum = std::accumulate(volume.values.begin(), volume.values.end(), 0.0);
  return std::to_string(g.columns) + " x " + std::to_string(g.rows) + " x " + std::to_string(g.slices) + " voxels of " +
         shortest(g.column_mm.count()) + " x " + shortest(g.row_mm.count()) + " x " + shortest(g.slice_mm.count()) +
         " mm; sum " + shortest(std::round(sum * 1000) / 1000) + (volume.unit.empty() ? "" : " " + volume.unit);
}

}  // namespace tomogrid::image
