// The phantom on a voxel grid, each voxel an average over its volume: along z in closed form, across it by lines.
#include <algorithm>
#include <cmath>

#include "image/phantom.h"
#include "image/phantom/rays.h"

namespace tomogrid::image {

namespace {

using phantom::Lines;
using phantom::Segment;

constexpr int kInterior = 6;  // lines along each side of a column where no surface is vertical
constexpr int kRim = 64;      // ... and where materials change between its corners or inside it

std::uint64_t signature(const std::vector<Segment>& segments) {
  std::uint64_t hash = 1469598103934665603ULL;
  double end = 0;
  for (const Segment& segment : segments) {
    hash = (hash ^ (segment.material + 1 + (segment.begin > end ? 1U << 20 : 0U))) * 1099511628211ULL;
    end = segment.end;
  }
  return hash;
}

// Adds value(segment) * overlap to each slice's sum, for one line of weight `weight`.
template <class Value>
void add_line(const std::vector<Segment>& segments, const VolumeGeometry& grid, double weight, Value value,
              std::vector<double>& sums) {
  const double step = grid.slice_mm.count(), bottom = grid.z0.count() - 0.5 * step;
  const auto slices = static_cast<std::ptrdiff_t>(grid.slices);
  for (const Segment& segment : segments) {
    const double amount = value(segment) * weight;
    if (amount == 0) continue;
    const double limit = static_cast<double>(slices);
    const double begin = std::clamp((segment.begin - bottom) / step, 0.0, limit);
    const double end = std::clamp((segment.end - bottom) / step, 0.0, limit);
    for (auto k = static_cast<std::ptrdiff_t>(begin); k < slices && static_cast<double>(k) < end; ++k) {
      const double low = std::max(begin, static_cast<double>(k)), high = std::min(end, static_cast<double>(k) + 1);
      sums[static_cast<std::size_t>(k)] += amount * (high - low);
    }
  }
}

template <class Value>
Volume average(const Phantom& source, const VolumeGeometry& grid, Value value) {
  Volume volume{.geometry = grid, .values = std::vector<float>(grid.voxels(), 0.0F), .unit = {}};
  if (source.regions.empty()) return volume;
  const Lines lines(source, phantom::frame_along_z());
  const double dx = grid.column_mm.count(), dy = grid.row_mm.count();
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t row = 0; row < grid.rows; ++row) {
    Lines::Scratch scratch;
    std::vector<Segment> segments;
    std::vector<double> sums(grid.slices);
    for (std::size_t column = 0; column < grid.columns; ++column) {
      const double x = grid.x0.count() + (static_cast<double>(column) - 0.5) * dx;
      const double y = grid.y0.count() + (static_cast<double>(row) - 0.5) * dy;
      // Uniform across the column when a 5 x 5 net of lines crosses the same materials.
      bool uniform = true;
      std::uint64_t first = 0;
      for (int k = 0; k < 25; ++k) {
        lines.segments(x + dx * (k % 5) / 4, y + dy * (k / 5) / 4, scratch, segments);
        if (k == 0) first = signature(segments);
        uniform = uniform && signature(segments) == first;
      }
      if (uniform && segments.empty()) {
        // A rod thinner than the net shows as a region that lies inside the column.
        for (std::size_t r = 0; r < lines.regions() && uniform; ++r) {
          const phantom::Shadow& s = lines.shadow(r);
          uniform = s.empty() || s.u_max < x || s.u_min > x + dx || s.v_max < y || s.v_min > y + dy;
        }
        if (uniform) continue;
      }
      const int n = uniform ? kInterior : kRim;
      std::fill(sums.begin(), sums.end(), 0.0);
      for (int j = 0; j < n; ++j) {
        for (int i = 0; i < n; ++i) {
          lines.segments(x + dx * (i + 0.5) / n, y + dy * (j + 0.5) / n, scratch, segments);
          add_line(segments, grid, 1.0 / (n * n), value, sums);
        }
      }
      for (std::size_t slice = 0; slice < grid.slices; ++slice) {
        volume.values[(slice * grid.rows + row) * grid.columns + column] = static_cast<float>(sums[slice]);
      }
    }
  }
  return volume;
}

}  // namespace

Volume truth_volume(const Phantom& source, const VolumeGeometry& grid) {
  const double voxel = grid.column_mm.count() * grid.row_mm.count() * grid.slice_mm.count();
  Volume volume = average(source, grid, [voxel](const Segment& s) { return s.activity * voxel; });
  volume.unit = "counts/voxel/view";
  const auto index = [](double at, Millimetres centre, Millimetres step) {
    return std::floor((at - centre.count()) / step.count() + 0.5);
  };
  for (const PointSource& point : source.points) {
    const double i = index(point.x, grid.x0, grid.column_mm), j = index(point.y, grid.y0, grid.row_mm),
                 k = index(point.z, grid.z0, grid.slice_mm);
    if (i < 0 || j < 0 || k < 0 || i >= static_cast<double>(grid.columns) || j >= static_cast<double>(grid.rows) ||
        k >= static_cast<double>(grid.slices)) {
      continue;
    }
    const std::size_t voxel_index =
        (static_cast<std::size_t>(k) * grid.rows + static_cast<std::size_t>(j)) * grid.columns +
        static_cast<std::size_t>(i);
    volume.values[voxel_index] += static_cast<float>(point.activity);
  }
  return volume;
}

Volume mu_volume(const Phantom& source, const VolumeGeometry& grid) {
  Volume volume = average(source, grid, [](const Segment& s) { return s.mu; });
  volume.unit = "1/mm";
  return volume;
}

VolumeGeometry grid_of(const ProjectionGeometry& geometry) {
  VolumeGeometry grid =
      centred_grid(geometry.bins, geometry.bins, geometry.rows, geometry.bin_mm, geometry.bin_mm, geometry.row_mm);
  grid.z0 = geometry.v0;
  return grid;
}

}  // namespace tomogrid::image
