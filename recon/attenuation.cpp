// Attenuation factors: a map on the image's grid, and its line integrals from every column to the detector.
//
// Integrals are made on a grid turned with the detector: lines along its normal one voxel apart, samples half a voxel
// apart, each the bilinear mean of four columns of the map; the running trapezoid sum is then read between lines and
// samples at each column's centre. The voxel's own front half is included.
#include <algorithm>
#include <cmath>

#include "recon/arithmetic.h"
#include "recon/plan.h"

namespace tomogrid::recon {

namespace {

// Fractional index and weights of linear interpolation on one axis of a map.
struct Between {
  std::ptrdiff_t low;
  double rest;
};
Between between(double position) {
  const double floor = std::floor(position);
  return {static_cast<std::ptrdiff_t>(floor), position - floor};
}

// Where the samples of one image voxel fall on one axis of the map: sub-samples at equal distances, so that a finer map
// is averaged and not picked from.
std::vector<Between> axis_samples(double centre, double width, double map_first, double map_step) {
  const std::size_t count = static_cast<std::size_t>(std::clamp(std::ceil(width / map_step - 1e-6), 1.0, 16.0));
  std::vector<Between> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double offset = width * ((static_cast<double>(i) + 0.5) / static_cast<double>(count) - 0.5);
    double position = (centre + offset - map_first) / map_step;
    if (std::fabs(position - std::nearbyint(position)) < 1e-6) position = std::nearbyint(position);  // the same grid
    samples[i] = between(position);
  }
  return samples;
}

double voxel_mean(const image::Volume& map, const std::vector<Between>& xs, const std::vector<Between>& ys,
                  const std::vector<Between>& zs) {
  const image::VolumeGeometry& g = map.geometry;
  const auto value = [&](std::ptrdiff_t x, std::ptrdiff_t y, std::ptrdiff_t z) {
    const bool inside = x >= 0 && y >= 0 && z >= 0 && x < static_cast<std::ptrdiff_t>(g.columns) &&
                        y < static_cast<std::ptrdiff_t>(g.rows) && z < static_cast<std::ptrdiff_t>(g.slices);
    if (!inside) return 0.0;
    const auto index =
        (static_cast<std::size_t>(z) * g.rows + static_cast<std::size_t>(y)) * g.columns + static_cast<std::size_t>(x);
    return static_cast<double>(map.values[index]);
  };
  double sum = 0;
  for (const Between& z : zs) {
    for (const Between& y : ys) {
      for (const Between& x : xs) {
        for (int corner = 0; corner < 8; ++corner) {
          const int dx = corner & 1, dy = corner >> 1 & 1, dz = corner >> 2;
          const double weight = (dx ? x.rest : 1 - x.rest) * (dy ? y.rest : 1 - y.rest) * (dz ? z.rest : 1 - z.rest);
          if (weight > 0) sum = std::fma(weight, value(x.low + dx, y.low + dy, z.low + dz), sum);
        }
      }
    }
  }
  return sum / static_cast<double>(xs.size() * ys.size() * zs.size());
}

}  // namespace

AttenuationMap resample_map(const image::Volume& map, double factor, const image::VolumeGeometry& grid,
                            const Axial& axial) {
  const image::VolumeGeometry& from = map.geometry;
  AttenuationMap result;
  result.stride = grid.columns + 2;
  result.rows = grid.rows + 2;
  result.values = Buffer<float>(axial.steps * result.stride * result.rows * kLanes);
  result.values.clear();
  const auto axis = [](std::size_t count, double first, double step, double map_first, double map_step) {
    std::vector<std::vector<Between>> samples(count);
    for (std::size_t i = 0; i < count; ++i) {
      samples[i] = axis_samples(first + static_cast<double>(i) * step, step, map_first, map_step);
    }
    return samples;
  };
  const auto xs = axis(grid.columns, grid.x0.count(), grid.column_mm.count(), from.x0.count(), from.column_mm.count());
  const auto ys = axis(grid.rows, grid.y0.count(), grid.row_mm.count(), from.y0.count(), from.row_mm.count());
  const auto zs = axis(grid.slices, grid.z0.count(), grid.slice_mm.count(), from.z0.count(), from.slice_mm.count());
  std::vector<std::uint8_t> used(grid.columns * grid.rows, 0);
#pragma omp parallel for schedule(static)
  for (std::size_t iy = 0; iy < grid.rows; ++iy) {
    for (std::size_t ix = 0; ix < grid.columns; ++ix) {
      for (std::size_t iz = 0; iz < grid.slices; ++iz) {
        const double mean = factor * voxel_mean(map, xs[ix], ys[iy], zs[iz]);
        if (!(mean > 0)) continue;
        const std::size_t at = axial.at(iz), step = at / kLanes, lane = at % kLanes;
        result.values.data()[((step * result.rows + iy + 1) * result.stride + ix + 1) * kLanes + lane] =
            static_cast<float>(mean);
        used[iy * grid.columns + ix] = 1;
      }
    }
  }
  result.x_low = result.y_low = 0xffffffffU;
  for (std::uint32_t iy = 0; iy < grid.rows; ++iy) {
    for (std::uint32_t ix = 0; ix < grid.columns; ++ix) {
      if (used[iy * grid.columns + ix] == 0) continue;
      result.x_low = std::min(result.x_low, ix);
      result.x_high = std::max(result.x_high, ix + 1);
      result.y_low = std::min(result.y_low, iy);
      result.y_high = std::max(result.y_high, iy + 1);
    }
  }
  if (result.x_high == 0) result.x_low = result.y_low = 0;
  return result;
}

namespace {

// The turned grid of one view, just large enough for what absorbs.
struct Turned {
  SineCosine angle;
  double u_first, u_step, t_first, t_step;
  std::size_t lines, per_line;
};

Turned turned_grid(const image::VolumeGeometry& grid, const AttenuationMap& map, SineCosine angle) {
  const double voxel = grid.column_mm.count();
  double u_low = 0, u_high = 0, t_low = 0, t_high = 0;
  for (int corner = 0; corner < 4; ++corner) {
    const double ix = (corner & 1) ? map.x_high : map.x_low - 1.0, iy = (corner & 2) ? map.y_high : map.y_low - 1.0;
    const double x = grid.x0.count() + ix * voxel, y = grid.y0.count() + iy * voxel;
    const double u = std::fma(x, angle.cosine, y * angle.sine), t = std::fma(y, angle.cosine, -x * angle.sine);
    u_low = corner == 0 ? u : std::min(u_low, u);
    u_high = corner == 0 ? u : std::max(u_high, u);
    t_low = corner == 0 ? t : std::min(t_low, t);
    t_high = corner == 0 ? t : std::max(t_high, t);
  }
  Turned turned{angle, u_low, voxel, t_low, 0.5 * voxel, 0, 0};
  turned.lines = static_cast<std::size_t>(std::ceil((u_high - u_low) / turned.u_step)) + 2;
  turned.per_line = static_cast<std::size_t>(std::ceil((t_high - t_low) / turned.t_step)) + 2;
  return turned;
}

RaySample bilinear(std::size_t base, double fx, double fy) {
  return {static_cast<std::uint32_t>(base),
          {static_cast<float>((1 - fx) * (1 - fy)), static_cast<float>(fx * (1 - fy)),
           static_cast<float>((1 - fx) * fy), static_cast<float>(fx * fy)}};
}

void sample_map(const Turned& turned, const image::VolumeGeometry& grid, const AttenuationMap& map,
                std::vector<RaySample>& out) {
  const double per_voxel = 1.0 / grid.column_mm.count();
  out.resize(turned.lines * turned.per_line);
  std::size_t index = 0;
  for (std::size_t line = 0; line < turned.lines; ++line) {
    const double u = std::fma(static_cast<double>(line), turned.u_step, turned.u_first);
    for (std::size_t n = 0; n < turned.per_line; ++n, ++index) {
      const double t = std::fma(static_cast<double>(n), turned.t_step, turned.t_first);
      const double x = std::fma(u, turned.angle.cosine, -t * turned.angle.sine);
      const double y = std::fma(u, turned.angle.sine, t * turned.angle.cosine);
      const double gx = (x - grid.x0.count()) * per_voxel + 1.0, gy = (y - grid.y0.count()) * per_voxel + 1.0;
      const double ix = std::floor(gx), iy = std::floor(gy);
      const bool inside =
          ix >= 0 && iy >= 0 && ix + 1 < static_cast<double>(map.stride) && iy + 1 < static_cast<double>(map.rows);
      out[index] =
          inside ? bilinear(static_cast<std::size_t>(iy) * map.stride + static_cast<std::size_t>(ix), gx - ix, gy - iy)
                 : RaySample{};
    }
  }
}

}  // namespace

namespace {

// Moves the lines that are not all 1 to the front of the table and numbers them in the entries.
std::size_t leave_out_ones(const PlanData& plan, std::span<RowEntry> entries, std::uint16_t* table) {
  const std::size_t line = plan.axial.line(), entry_count = entries.size() - 8;
  std::size_t kept = 0;
  for (std::size_t e = 0; e < entry_count; ++e) {
    const std::uint16_t* from = table + e * line;
    if (std::all_of(from, from + line, [](std::uint16_t factor) { return factor == 65535; })) {
      entries[e].factors = kUnattenuated;
      continue;
    }
    if (kept != e) std::copy(from, from + line, table + kept * line);
    entries[e].factors = static_cast<std::uint32_t>(kept++);
  }
  return kept;
}

}  // namespace

std::size_t attenuate_view(const PlanData& plan, const AttenuationMap& map, std::size_t view,
                           std::span<RowEntry> entries, RayScratch& scratch) {
  const std::size_t entry_count = entries.size() - 8;
  const Turned turned = turned_grid(plan.volume, map, exact_sine_cosine(plan.projections.views[view].angle.count()));
  sample_map(turned, plan.volume, map, scratch.samples);
  scratch.entries.resize(entry_count);
  for (std::size_t e = 0; e < entry_count; ++e) {
    const Column& column = plan.columns[entries[e].column];
    const double u = std::fma(column.x, turned.angle.cosine, column.y * turned.angle.sine);
    const double t = std::fma(column.y, turned.angle.cosine, -column.x * turned.angle.sine);
    const double line =
        std::clamp((u - turned.u_first) / turned.u_step, 0.0, static_cast<double>(turned.lines) - 1.001);
    const double sample =
        std::clamp((t - turned.t_first) / turned.t_step, 0.0, static_cast<double>(turned.per_line) - 1.001);
    const double m = std::floor(line), n = std::floor(sample);
    scratch.entries[e] =
        bilinear(static_cast<std::size_t>(m) * turned.per_line + static_cast<std::size_t>(n), sample - n, line - m);
  }
  if (scratch.integrals.size() < scratch.samples.size() * kLanes)
    scratch.integrals = Buffer<float>(scratch.samples.size() * kLanes);
  if (scratch.table.size() < entry_count * plan.axial.line())
    scratch.table = Buffer<std::uint16_t>(plan.columns.size() * plan.axial.line());
  const RayGrid grid{.samples = scratch.samples.data(),
                     .lines = turned.lines,
                     .per_line = turned.per_line,
                     .map_stride = map.stride,
                     .half_step = static_cast<float>(0.5 * turned.t_step),
                     .entries = scratch.entries.data(),
                     .entry_count = entry_count};
  for (std::size_t step = 0; step < plan.axial.steps; ++step) {
    plan.kernels->attenuate(grid, map.slab(step), scratch.integrals.data(), scratch.table.data() + step * kLanes,
                            plan.axial.line());
  }
  return leave_out_ones(plan, entries, scratch.table.data());
}

}  // namespace tomogrid::recon
