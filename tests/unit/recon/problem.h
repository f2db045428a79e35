// Small SPECT problems for tests: odd sizes, an orbit that is no circle, attenuation that differs from place to place.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "recon/recon.h"

namespace tomogrid::recon {

struct Problem {
  image::ProjectionGeometry geometry;
  image::Volume attenuation;
  Model model;
  PlanOptions options;
  std::vector<float> activity;  // of the plan's volume
  std::vector<float> counts;    // rounded, from activity
};

// Splitmix64: the same numbers everywhere.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : state_(seed) {}
  float next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<float>((z ^ (z >> 31)) >> 40) / 16777216.0F;
  }

 private:
  std::uint64_t state_;
};

struct ProblemShape {
  std::size_t bins = 29, rows = 21, views = 19;
  double bin_mm = 6.5, row_mm = 6.0, radius_mm = 120, start = 0.37, arc = 6.283185307;
  bool ellipse = true, attenuated = true, response = true;
};

inline Problem make_problem(const ProblemShape& shape = {}) {
  Problem p;
  image::ProjectionGeometry& g = p.geometry;
  g.bins = shape.bins;
  g.rows = shape.rows;
  g.bin_mm = Millimetres(shape.bin_mm);
  g.row_mm = Millimetres(shape.row_mm);
  g.u0 = Millimetres(-0.5 * static_cast<double>(shape.bins - 1) * shape.bin_mm);
  g.v0 = Millimetres(-0.5 * static_cast<double>(shape.rows - 1) * shape.row_mm);
  for (std::size_t k = 0; k < shape.views; ++k) {
    const double angle = shape.start + shape.arc * static_cast<double>(k) / static_cast<double>(shape.views);
    const double radius = shape.radius_mm * (shape.ellipse ? 1.0 + 0.15 * std::cos(2 * angle) : 1.0);
    g.views.push_back({.angle = Radians(angle),
                       .radius = Millimetres(radius),
                       .start = Seconds(20.0 * static_cast<double>(k)),
                       .duration = Seconds(18)});
  }
  p.attenuation.geometry =
      image::centred_grid(31, 27, shape.rows, Millimetres(5.9), Millimetres(6.6), Millimetres(shape.row_mm));
  Numbers numbers(7);
  for (std::size_t z = 0; z < shape.rows; ++z) {
    for (std::size_t y = 0; y < 27; ++y) {
      for (std::size_t x = 0; x < 31; ++x) {
        const double dx = (static_cast<double>(x) - 15) * 5.9, dy = (static_cast<double>(y) - 13) * 6.6;
        const bool inside = dx * dx / (70.0 * 70.0) + dy * dy / (55.0 * 55.0) < 1.0;
        p.attenuation.values.push_back(inside ? 0.012F + 0.006F * numbers.next() : 0.0F);
      }
    }
  }
  p.attenuation.unit = "1/mm";
  p.model.response = {.enabled = shape.response, .sigma0 = Millimetres(1.5), .slope = 0.02};
  p.model.half_life = Seconds(3600);
  p.options.groups = 5;
  return p;
}

inline const Model& with_map(Problem& p, bool attenuated = true) {
  p.model.attenuation = attenuated ? &p.attenuation : nullptr;
  return p.model;
}

// Blobs inside the attenuating ellipse, and whole-number counts from them.
inline void fill_counts(Problem& p, const Plan& plan) {
  const image::VolumeGeometry& grid = plan.volume();
  p.activity.assign(grid.voxels(), 0.0F);
  for (std::size_t i = 0; i < grid.voxels(); ++i) {
    const double x = grid.x0.count() + static_cast<double>(i % grid.columns) * grid.column_mm.count();
    const double y = grid.y0.count() + static_cast<double>(i / grid.columns % grid.rows) * grid.row_mm.count();
    const double z = grid.z0.count() + static_cast<double>(i / grid.columns / grid.rows) * grid.slice_mm.count();
    if (x * x / 3600 + y * y / 2025 < 1 && std::fabs(z) < 40) p.activity[i] = 2.0F;
    if ((x - 20) * (x - 20) + y * y + z * z < 225) p.activity[i] = 9.0F;
  }
  p.counts = forward_project(plan, p.activity);
  Numbers numbers(3);
  for (float& value : p.counts) value = std::floor(value * (0.8F + 0.4F * numbers.next()) + 0.5F);
}

}  // namespace tomogrid::recon
