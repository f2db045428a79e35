#include "recon/slab.h"

#include <algorithm>
#include <cmath>

namespace tomogrid::recon {

namespace {

constexpr double kSigmasPerReach = 3, kReaches = 2;

// Rows between a slice and the farthest that its response reaches.
std::size_t margin_rows(const image::ProjectionGeometry& geometry, const Response& response) {
  if (!response.enabled) return 1;
  double radius = 0;
  for (const image::View& view : geometry.views) radius = std::max(radius, view.radius.count());
  const double half_width = 0.5 * static_cast<double>(geometry.bins) * geometry.bin_mm.count();
  const double sigma = response.sigma0.count() + response.slope * (radius + std::min(half_width, radius));
  return static_cast<std::size_t>(std::ceil(kReaches * kSigmasPerReach * sigma / geometry.row_mm.count()));
}

}  // namespace

Result<std::optional<Slab>> slab_of(const image::ProjectionGeometry& geometry, const Response& response,
                                    std::size_t first, std::size_t last) {
  if (first == 0 && last == 0) return std::optional<Slab>{};
  const std::size_t from = std::max<std::size_t>(first, 1), to = last == 0 ? geometry.rows : last;
  if (from > to || to > geometry.rows) {
    return Error{ErrorCode::BadInput, "slices " + std::to_string(from) + " to " + std::to_string(to) +
                                          ": not in order within the " + std::to_string(geometry.rows) +
                                          " that there are"};
  }
  Slab slab{.first = from - 1, .count = to - from + 1};
  const std::size_t margin = margin_rows(geometry, response);
  slab.row_first = slab.first - std::min(slab.first, margin);
  slab.row_count = std::min(geometry.rows, slab.first + slab.count + margin) - slab.row_first;
  return std::optional<Slab>{slab};
}

image::ProjectionGeometry rows_of(const image::ProjectionGeometry& geometry, const Slab& slab) {
  image::ProjectionGeometry part = geometry;
  part.rows = slab.row_count;
  part.v0 = geometry.v0 + geometry.row_mm * static_cast<double>(slab.row_first);
  return part;
}

std::vector<float> rows_of(const image::ProjectionGeometry& geometry, std::span<const float> projections,
                           const Slab& slab) {
  std::vector<float> part;
  part.reserve(slab.row_count * geometry.bins * geometry.views.size());
  for (std::size_t view = 0; view < geometry.views.size(); ++view) {
    const auto rows =
        projections.subspan((view * geometry.rows + slab.row_first) * geometry.bins, slab.row_count * geometry.bins);
    part.insert(part.end(), rows.begin(), rows.end());
  }
  return part;
}

image::Volume slices_of(const image::Volume& volume, const Slab& slab) {
  image::Volume part{volume.geometry, {}, volume.unit};
  const std::size_t skipped = slab.first - slab.row_first, plane = volume.geometry.columns * volume.geometry.rows;
  part.geometry.slices = slab.count;
  part.geometry.z0 = volume.geometry.z0 + volume.geometry.slice_mm * static_cast<double>(skipped);
  const float* begin = volume.values.data() + skipped * plane;
  part.values.assign(begin, begin + slab.count * plane);
  return part;
}

}  // namespace tomogrid::recon
