// How a scan and a volume travel to a node and to a worker: a small JSON header, and the numbers as raw float32,
// little endian, in the array order that image/geometry.h states.
//
// The header is an allow-list by construction: sizes, positions and physics. There is no place in it for a name, a
// date, an identifier or a path; its two words (nuclide, collimator) and a volume's unit are short, of a fixed
// alphabet. Doubles come back bit for bit.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"
#include "image/image.h"

namespace tomogrid::image {

// What is accepted anywhere in this room, checked before anything is allocated.
inline constexpr std::size_t kMaxSide = 4096;                         // bins, rows, columns, slices
inline constexpr std::size_t kMaxViews = 4096;
inline constexpr std::size_t kMaxElements = std::size_t{1} << 30;     // of one scan or volume: 4 GiB of float32
inline constexpr std::size_t kHeaderLimit = 1024 * 1024;              // bytes of JSON

struct ProjectionsHeader {
  ProjectionGeometry geometry;
  AcquisitionFacts facts;
  bool operator==(const ProjectionsHeader&) const = default;
};

struct VolumeHeader {
  VolumeGeometry geometry;
  std::string unit;
  bool operator==(const VolumeHeader&) const = default;
};

// Whether these can travel. BadInput names the field: a size of zero or beyond the limits, a number that is not finite,
// a spacing that is not positive, a word outside its alphabet.
Result<void> check(const ProjectionGeometry& geometry, const AcquisitionFacts& facts);
Result<void> check(const VolumeGeometry& geometry, const std::string& unit);

// Requires check(). What load_scan() and load_volume() return passes it.
std::string encode_header(const ProjectionGeometry& geometry, const AcquisitionFacts& facts);
std::string encode_header(const VolumeGeometry& geometry, const std::string& unit);

// BadInput: not JSON, longer than kHeaderLimit, a member missing, twice, unknown or of the wrong type, or what check()
// says.
Result<ProjectionsHeader> parse_projections_header(std::string_view json);
Result<VolumeHeader> parse_volume_header(std::string_view json);

// "Tc-99m", or empty. "LEHR", "lehr-2+", or empty.
bool is_nuclide(std::string_view word);
bool is_collimator(std::string_view word);

// The length of the raw data that belongs to a header.
inline Bytes data_bytes(const ProjectionGeometry& geometry) { return Bytes(geometry.elements() * sizeof(float)); }
inline Bytes data_bytes(const VolumeGeometry& geometry) { return Bytes(geometry.voxels() * sizeof(float)); }

// The numbers as they travel, without a copy (this machine is little endian; the build checks it). Lent as long as
// `values`.
ByteView as_bytes(std::span<const float> values);
// A copy back. BadInput unless there are exactly `count` of them.
Result<std::vector<float>> floats_of(ByteView bytes, std::size_t count);

}  // namespace tomogrid::image
