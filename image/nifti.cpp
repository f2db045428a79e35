// NIfTI-1 and -2, single file. The library (niftilib) interprets and makes headers; sizes are checked before it sees
// one, and it is never given a file name to open: it prints, allocates by the header and may exit.
#include <zlib.h>
// zlib first: nifti's own headers may pull in another
#include <nifti2_io.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <memory>

#include "image/formats.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {

namespace {

constexpr std::size_t kHeader1 = 348, kHeader2 = 540;
constexpr std::uint64_t kDataStart = 352;
constexpr const char* kUnitMark = "unit ";

struct FreeImage {
  void operator()(nifti_image* image) const { nifti_image_free(image); }
};
using Image = std::unique_ptr<nifti_image, FreeImage>;

std::int32_t header_size(ByteView bytes) {
  std::int32_t size = 0;
  if (bytes.size() >= 4) std::memcpy(&size, bytes.data(), 4);
  return size;
}

constexpr std::int32_t swapped(std::int32_t value) {
  return static_cast<std::int32_t>(__builtin_bswap32(static_cast<std::uint32_t>(value)));
}

bool is_version_1(std::int32_t size) {
  return size == 348 || size == swapped(348);
}
bool is_version_2(std::int32_t size) {
  return size == 540 || size == swapped(540);
}

struct Kind {
  std::size_t bytes;
  const char* name;
};

Kind kind_of(int datatype) {
  switch (datatype) {
    case DT_UINT8:
      return {1, "uint8"};
    case DT_INT8:
      return {1, "int8"};
    case DT_INT16:
      return {2, "int16"};
    case DT_UINT16:
      return {2, "uint16"};
    case DT_INT32:
      return {4, "int32"};
    case DT_UINT32:
      return {4, "uint32"};
    case DT_INT64:
      return {8, "int64"};
    case DT_UINT64:
      return {8, "uint64"};
    case DT_FLOAT32:
      return {4, "float32"};
    case DT_FLOAT64:
      return {8, "float64"};
    default:
      refuse("NIfTI datatype " + std::to_string(datatype) + " is not read (integers and floats of up to 64 bits are)");
  }
}

// The header's own numbers, checked; the rest is the library's business.
struct Sizes {
  std::array<std::int64_t, 8> dim{};
  int datatype = 0, bitpix = 0;
  double data_start = 0;
  bool big_endian = false;  // the file's, on this little-endian machine
};

template <class Header>
Sizes sizes_in(Header header, std::int32_t expected, const char* magic, int version) {
  Sizes sizes;
  sizes.big_endian = header.sizeof_hdr != expected;
  if (std::memcmp(header.magic, magic, 4) != 0) {
    refuse(std::memcmp(header.magic, "ni", 2) == 0
               ? "a NIfTI header whose data are in another file (.hdr with .img): convert it to one .nii file"
               : "the NIfTI magic is wrong");
  }
  if (sizes.big_endian) swap_nifti_header(&header, version);
  for (std::size_t i = 0; i < 8; ++i) sizes.dim[i] = static_cast<std::int64_t>(header.dim[i]);
  sizes.datatype = header.datatype;
  sizes.bitpix = header.bitpix;
  sizes.data_start = static_cast<double>(header.vox_offset);
  return sizes;
}

Sizes checked_sizes(ByteView bytes) {
  const std::int32_t size = header_size(bytes);
  Sizes sizes;
  if (is_version_1(size) && bytes.size() >= kHeader1) {
    nifti_1_header header;
    std::memcpy(&header, bytes.data(), kHeader1);
    sizes = sizes_in(header, 348, "n+1", 1);
  } else if (is_version_2(size) && bytes.size() >= kHeader2) {
    nifti_2_header header;
    std::memcpy(&header, bytes.data(), kHeader2);
    sizes = sizes_in(header, 540, "n+2", 2);
  } else {
    refuse("the NIfTI header is truncated");
  }
  if (sizes.dim[0] < 1 || sizes.dim[0] > 7) refuse("NIfTI dim[0] is " + std::to_string(sizes.dim[0]) + ", not 1 to 7");
  for (int i = 1; i <= 7; ++i) {
    const std::int64_t n = i <= sizes.dim[0] ? sizes.dim[static_cast<std::size_t>(i)] : 1;
    if (i > 3 && n > 1)
      refuse("a series of " + std::to_string(n) + " volumes (NIfTI dim[" + std::to_string(i) + "]): give one volume");
    if (n < 1 || n > static_cast<std::int64_t>(kMaxSide)) {
      refuse("NIfTI dim[" + std::to_string(i) + "] is " + std::to_string(n) + ", not 1 to " + std::to_string(kMaxSide));
    }
    sizes.dim[static_cast<std::size_t>(i)] = n;
  }
  if (static_cast<std::size_t>(sizes.dim[1] * sizes.dim[2] * sizes.dim[3]) > kMaxElements) {
    refuse("more than " + std::to_string(kMaxElements) + " voxels");
  }
  const Kind kind = kind_of(sizes.datatype);
  if (static_cast<std::size_t>(sizes.bitpix) != 8 * kind.bytes)
    refuse("NIfTI bitpix contradicts the datatype " + std::string(kind.name));
  // Above 64 MiB of extensions nothing sensible comes first.
  const double least = is_version_1(size) ? kHeader1 : kHeader2;
  if (!(sizes.data_start >= least) || sizes.data_start > 67108864.0 ||
      sizes.data_start != std::floor(sizes.data_start)) {
    refuse("NIfTI vox_offset is not a place behind the header");
  }
  return sizes;
}

std::size_t voxels(const Sizes& sizes) {
  return static_cast<std::size_t>(sizes.dim[1] * sizes.dim[2] * sizes.dim[3]);
}

template <class T>
void decode(const std::uint8_t* bytes, bool swap, double slope, double intercept, std::vector<float>& out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint8_t raw[sizeof(T)];
    std::memcpy(raw, bytes + i * sizeof(T), sizeof(T));
    if (swap) std::reverse(raw, raw + sizeof(T));
    T value;
    std::memcpy(&value, raw, sizeof(T));
    out[i] = slope == 1 && intercept == 0 ? static_cast<float>(value)
                                          : static_cast<float>(static_cast<double>(value) * slope + intercept);
  }
}

void decode_as(int datatype, const std::uint8_t* bytes, bool swap, double slope, double intercept,
               std::vector<float>& out) {
  switch (datatype) {
    case DT_UINT8:
      return decode<std::uint8_t>(bytes, swap, slope, intercept, out);
    case DT_INT8:
      return decode<std::int8_t>(bytes, swap, slope, intercept, out);
    case DT_INT16:
      return decode<std::int16_t>(bytes, swap, slope, intercept, out);
    case DT_UINT16:
      return decode<std::uint16_t>(bytes, swap, slope, intercept, out);
    case DT_INT32:
      return decode<std::int32_t>(bytes, swap, slope, intercept, out);
    case DT_UINT32:
      return decode<std::uint32_t>(bytes, swap, slope, intercept, out);
    case DT_INT64:
      return decode<std::int64_t>(bytes, swap, slope, intercept, out);
    case DT_UINT64:
      return decode<std::uint64_t>(bytes, swap, slope, intercept, out);
    case DT_FLOAT64:
      return decode<double>(bytes, swap, slope, intercept, out);
    default:
      return decode<float>(bytes, swap, slope, intercept, out);
  }
}

double millimetres_per_unit(int units) {
  switch (units) {
    case NIFTI_UNITS_METER:
      return 1000;
    case NIFTI_UNITS_MICRON:
      return 0.001;
    default:
      return 1;  // millimetres, or not stated
  }
}

// A number that the file holds as float32 (version 1) is taken as the decimal that was meant: 3.32, not 3.3199999.
double meant(double value) {
  return static_cast<double>(static_cast<float>(value)) == value ? widen(static_cast<float>(value)) : value;
}

FileGrid grid_of(const nifti_image& image, std::vector<std::string>& warnings) {
  FileGrid grid;
  grid.size = {static_cast<std::size_t>(image.nx), static_cast<std::size_t>(std::max<std::int64_t>(1, image.ny)),
               static_cast<std::size_t>(std::max<std::int64_t>(1, image.nz))};
  const double unit = millimetres_per_unit(image.xyz_units);
  if (image.sform_code <= 0 && image.qform_code <= 0) {
    warnings.push_back(
        "the orientation is not stated (no sform, no qform): taken as centred, first voxel right, front, feet");
    const std::array<double, 3> step{meant(image.dx), meant(image.dy), meant(image.dz)};
    for (std::size_t a = 0; a < 3; ++a) {
      grid.step[a][a] = std::abs(step[a]) * unit;
      grid.origin[a] = -0.5 * static_cast<double>(grid.size[a] - 1) * grid.step[a][a];
    }
    return grid;
  }
  const auto& matrix = image.sform_code > 0 ? image.sto_xyz : image.qto_xyz;
  for (std::size_t row = 0; row < 3; ++row) {
    const double sign = row == 2 ? 1 : -1;  // RAS to LPS
    for (std::size_t axis = 0; axis < 3; ++axis) grid.step[axis][row] = sign * unit * meant(matrix.m[row][axis]);
    grid.origin[row] = sign * unit * meant(matrix.m[row][3]);
    for (const double value : {grid.step[0][row], grid.step[1][row], grid.step[2][row], grid.origin[row]}) {
      if (!std::isfinite(value)) refuse("the NIfTI orientation is not finite");
    }
  }
  return grid;
}

// Deflate or inflate in bounded steps.
class Inflater {
 public:
  Inflater() { refuse_unless(inflateInit2(&stream_, 16 + MAX_WBITS) == Z_OK, "zlib cannot start"); }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

class Deflater {
 public:
  Deflater() {
    refuse_unless(deflateInit2(&stream_, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK,
                  "zlib cannot start");
  }
  ~Deflater() { deflateEnd(&stream_); }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

constexpr std::size_t kStep = std::size_t{1} << 20;

}  // namespace

bool looks_like_gzip(ByteView bytes) {
  return bytes.size() >= 3 && bytes[0] == 0x1F && bytes[1] == 0x8B && bytes[2] == 8;
}

bool looks_like_nifti(ByteView bytes) {
  const std::int32_t size = header_size(bytes);
  return is_version_1(size) || is_version_2(size);
}

ByteString unpack_gzip(ByteView packed, std::uint64_t limit) {
  Inflater inflater;
  z_stream& stream = inflater.stream();
  ByteString out;
  std::size_t in = 0;
  while (out.size() < limit) {
    if (stream.avail_in == 0) {
      const std::size_t n = std::min(packed.size() - in, kStep);
      if (n == 0) refuse("truncated: the gzip data end in the middle");
      stream.next_in = const_cast<Bytef*>(packed.data() + in);  // zlib does not write there
      stream.avail_in = static_cast<uInt>(n);
      in += n;
    }
    // Grows with what has really been unpacked, not with what a header promises.
    const std::size_t had = out.size();
    const std::size_t room = std::min<std::uint64_t>(kStep, limit - had);
    out.resize(had + room);
    stream.next_out = out.data() + had;
    stream.avail_out = static_cast<uInt>(room);
    const int state = inflate(&stream, Z_NO_FLUSH);
    out.resize(had + room - stream.avail_out);
    if (state == Z_STREAM_END) break;
    if (state != Z_OK && state != Z_BUF_ERROR) refuse("the gzip data are damaged");
  }
  return out;
}

ByteString pack_gzip(ByteView bytes) {
  Deflater deflater;
  z_stream& stream = deflater.stream();
  ByteString out;
  ByteString buffer(kStep);
  std::size_t in = 0;
  for (bool last = false; !last || stream.avail_out == 0;) {
    if (stream.avail_in == 0 && !last) {
      const std::size_t n = std::min(bytes.size() - in, kStep);
      stream.next_in = const_cast<Bytef*>(bytes.data() + in);
      stream.avail_in = static_cast<uInt>(n);
      in += n;
      last = in == bytes.size();
    }
    stream.next_out = buffer.data();
    stream.avail_out = static_cast<uInt>(buffer.size());
    refuse_unless(deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH) != Z_STREAM_ERROR, "zlib cannot compress");
    out.insert(out.end(), buffer.data(), buffer.data() + (buffer.size() - stream.avail_out));
  }
  return out;
}

std::uint64_t nifti_length(ByteView head) {
  const Sizes sizes = checked_sizes(head);
  return static_cast<std::uint64_t>(sizes.data_start) + voxels(sizes) * kind_of(sizes.datatype).bytes;
}

LoadedVolume read_nifti(ByteView bytes, const std::string& unit) {
  const Sizes sizes = checked_sizes(bytes);
  const std::uint64_t needed = nifti_length(bytes);
  if (bytes.size() < needed) {
    refuse("truncated: " + std::to_string(bytes.size()) + " bytes of " + std::to_string(needed));
  }
  nifti_set_debug_level(0);
  Image image;
  if (is_version_1(header_size(bytes))) {
    nifti_1_header header;
    std::memcpy(&header, bytes.data(), kHeader1);
    image.reset(nifti_convert_n1hdr2nim(header, nullptr));
  } else {
    nifti_2_header header;
    std::memcpy(&header, bytes.data(), kHeader2);
    image.reset(nifti_convert_n2hdr2nim(header, nullptr));
  }
  if (image == nullptr) refuse("niftilib finds the header malformed");
  LoadedVolume loaded;
  const FileGrid grid = grid_of(*image, loaded.warnings);
  double slope = meant(image->scl_slope), intercept = meant(image->scl_inter);
  if (!std::isfinite(slope) || !std::isfinite(intercept)) refuse("NIfTI scl_slope or scl_inter is not finite");
  if (slope == 0) slope = 1, intercept = 0;  // the standard: not scaled
  std::vector<float> values(voxels(sizes));
  decode_as(sizes.datatype, bytes.data() + static_cast<std::size_t>(sizes.data_start), sizes.big_endian, slope,
            intercept, values);
  std::string stated(image->descrip, strnlen(image->descrip, sizeof image->descrip));
  stated = stated.rfind(kUnitMark, 0) == 0 ? stated.substr(std::strlen(kUnitMark)) : std::string();
  loaded.volume = along_axes(grid, std::move(values), unit.empty() ? stated : unit);
  return loaded;
}

ByteString write_nifti(const Volume& volume) {
  const VolumeGeometry& g = volume.geometry;
  nifti_set_debug_level(0);
  const Image image(nifti_simple_init_nim());
  if (image == nullptr) throw std::bad_alloc();
  image->ndim = image->dim[0] = 3;
  image->nx = image->dim[1] = static_cast<std::int64_t>(g.columns);
  image->ny = image->dim[2] = static_cast<std::int64_t>(g.rows);
  image->nz = image->dim[3] = static_cast<std::int64_t>(g.slices);
  image->nt = image->nu = image->nv = image->nw = 1;
  image->nvox = static_cast<std::int64_t>(g.voxels());
  image->datatype = DT_FLOAT32;
  image->nbyper = 4;
  image->dx = image->pixdim[1] = g.column_mm.count();
  image->dy = image->pixdim[2] = g.row_mm.count();
  image->dz = image->pixdim[3] = g.slice_mm.count();
  image->xyz_units = NIFTI_UNITS_MM;
  image->scl_slope = 1;
  image->nifti_type = NIFTI_FTYPE_NIFTI1_1;
  image->iname_offset = static_cast<std::int64_t>(kDataStart);
  // Columns run to the patient's left and rows to the back: both against RAS. A turn by 180 degrees about z.
  image->sform_code = image->qform_code = NIFTI_XFORM_SCANNER_ANAT;
  image->quatern_d = 1;
  image->qfac = 1;
  image->qoffset_x = -g.x0.count();
  image->qoffset_y = -g.y0.count();
  image->qoffset_z = g.z0.count();
  const double rows[3][4] = {{-g.column_mm.count(), 0, 0, -g.x0.count()},
                             {0, -g.row_mm.count(), 0, -g.y0.count()},
                             {0, 0, g.slice_mm.count(), g.z0.count()}};
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = 0; c < 4; ++c) image->sto_xyz.m[r][c] = rows[r][c];
  }
  const std::string description = volume.unit.empty() ? "" : kUnitMark + volume.unit;
  std::copy_n(description.c_str(), std::min(description.size() + 1, sizeof image->descrip - 1), image->descrip);

  nifti_1_header header;
  if (nifti_convert_nim2n1hdr(image.get(), &header) != 0) refuse("niftilib cannot describe this volume");
  header.vox_offset = static_cast<float>(kDataStart);
  std::memcpy(header.magic, "n+1", 4);
  ByteString bytes(kDataStart);  // four zero bytes behind the header: no extensions
  std::memcpy(bytes.data(), &header, kHeader1);
  const ByteView data = as_bytes(volume.values);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

}  // namespace tomogrid::image
