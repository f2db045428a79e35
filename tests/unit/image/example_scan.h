// A small made-up scan and volume in which every bin and voxel has another value.
#pragma once

#include <cmath>
#include <numbers>

#include "image/files.h"

namespace tomogrid::image {

inline Projections example_scan(std::size_t views = 12, std::size_t heads = 1, double direction = 1) {
  Projections scan;
  ProjectionGeometry& g = scan.geometry;
  g.bins = 6, g.rows = 4;
  g.bin_mm = Millimetres(4.5), g.row_mm = Millimetres(3.25);
  g.u0 = g.bin_mm * -2.5, g.v0 = g.row_mm * -1.5;
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t k = 0; k < views; ++k) {
      const double turn = direction * static_cast<double>(k) / static_cast<double>(views) +
                          static_cast<double>(h) / static_cast<double>(heads);
      double angle = 2 * std::numbers::pi * (turn - std::floor(turn));
      if (angle > 2 * std::numbers::pi - 1e-12) angle = 0;
      g.views.push_back({.angle = Radians(angle),
                         .radius = Millimetres(200 + static_cast<double>(k)),
                         .start = Seconds(20.0 * static_cast<double>(k)),
                         .duration = Seconds(20),
                         .detector = static_cast<std::uint32_t>(h)});
    }
  }
  scan.facts = {
      .nuclide = "Tc-99m", .half_life = {}, .windows = {{126.5, 154.5}}, .collimator = "LEHR", .counts = true};
  for (std::size_t n = 0; n < g.elements(); ++n) scan.values.push_back(static_cast<float>(n % 60000));
  return scan;
}

inline Volume example_volume() {
  Volume volume;
  volume.geometry = {.columns = 5,
                     .rows = 4,
                     .slices = 3,
                     .column_mm = Millimetres(4.42),
                     .row_mm = Millimetres(3.32),
                     .slice_mm = Millimetres(2.5),
                     .x0 = Millimetres(-8.84),
                     .y0 = Millimetres(12.5),
                     .z0 = Millimetres(-101.25)};
  for (std::size_t n = 0; n < volume.geometry.voxels(); ++n)
    volume.values.push_back(0.25F * static_cast<float>(n) + 0.1F);
  volume.unit = "1/mm";
  return volume;
}

}  // namespace tomogrid::image
