// What is read off a reconstructed phantom, and the curves that tests/bench/recon_quality.sh draws of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "image/image.h"

namespace tomogrid::recon {

struct Place {
  double x, y;  // mm
};

// Mean over a disc in the slice nearest to z (mm); voxels at its edge count by the part of 5 x 5 points that lies
// inside.
inline double disc_mean(const image::Volume& volume, Place centre, double z, double radius) {
  const image::VolumeGeometry& g = volume.geometry;
  const auto slice = static_cast<std::size_t>(std::lround((z - g.z0.count()) / g.slice_mm.count()));
  // Only voxels that the disc can touch.
  const auto range = [radius](double middle, Millimetres first, Millimetres step, std::size_t count) {
    const auto clamped = [&](double place) {
      const double index = std::round((place - first.count()) / step.count());
      return static_cast<std::size_t>(std::min(std::max(index, 0.0), static_cast<double>(count - 1)));
    };
    return std::pair(clamped(middle - radius - step.count()), clamped(middle + radius + step.count()) + 1);
  };
  const auto [y_begin, y_end] = range(centre.y, g.y0, g.row_mm, g.rows);
  const auto [x_begin, x_end] = range(centre.x, g.x0, g.column_mm, g.columns);
  double sum = 0, weight = 0;
  for (std::size_t iy = y_begin; iy < y_end; ++iy) {
    for (std::size_t ix = x_begin; ix < x_end; ++ix) {
      int inside = 0;
      for (int k = 0; k < 25; ++k) {
        const double x =
            g.x0.count() + (static_cast<double>(ix) + 0.2 * (k % 5) - 0.4) * g.column_mm.count() - centre.x;
        const double y = g.y0.count() + (static_cast<double>(iy) + 0.2 * (k / 5) - 0.4) * g.row_mm.count() - centre.y;
        inside += x * x + y * y <= radius * radius ? 1 : 0;
      }
      sum += inside * static_cast<double>(volume.values[(slice * g.rows + iy) * g.columns + ix]);
      weight += inside;
    }
  }
  return sum / weight;
}

// Background variability (NEMA NU 2-2018, 7.4): discs of one size at every place in every slice.
struct Background {
  double mean = 0;
  double variability = 0;  // standard deviation of the discs' means over their mean
};
inline Background background_of(const image::Volume& volume, std::span<const Place> places,
                                std::span<const double> slices, double radius) {
  std::vector<double> means;
  for (const Place& place : places) {
    for (const double z : slices) means.push_back(disc_mean(volume, place, z, radius));
  }
  const double n = static_cast<double>(means.size());
  double mean = 0, squares = 0;
  for (const double value : means) mean += value / n;
  for (const double value : means) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (n - 1)) / mean};
}

// A file NAME.csv in the folder that TOMOGRID_CURVES names; without it nothing is written.
class Curve final {
 public:
  explicit Curve(const std::string& name) {
    const char* folder = std::getenv("TOMOGRID_CURVES");
    if (folder == nullptr) return;
    file_.open(std::filesystem::path(folder) / (name + ".csv"));
    file_ << "method,sphere_mm,iterations,recovery,variability\n";
  }
  void point(const std::string& method, int sphere_mm, std::size_t iterations, double recovery, double variability) {
    if (file_.is_open())
      file_ << method << ',' << sphere_mm << ',' << iterations << ',' << recovery << ',' << variability << '\n';
  }

 private:
  std::ofstream file_;
};

}  // namespace tomogrid::recon
