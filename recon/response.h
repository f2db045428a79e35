// The collimator-detector response, split into what a column does by itself and what all farther columns share.
//
// A voxel at distance d is seen as a Gaussian of sigma(d) = sigma0 + slope d, integrated over bins. Level l stands for
// the discrete kernel h_l = k_1 * ... * k_l of 3-tap steps; a column belongs to the level whose range of variances holds
// its own. Its own taps w solve
//     minimise || h_l * w - g ||  with  sum w = 1,  first moment exact,  w >= 0
// where g are the true bin integrals (differences of erf), in u (6 taps, any position between bins) and in z (5 taps).
// The steps k_l are chosen for what is left after that fit, not for being Gaussian themselves.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "recon/kernels.h"

namespace tomogrid::recon {

struct ResponseShape {
  double sigma0_mm = 0, slope = 0;  // 0, 0: no response
  double bin_mm = 1, row_mm = 1;    // of the detector
  double voxel_mm = 1;              // of the image, transaxially
  double distance_most_mm = 0;      // farthest column
};

class ResponseTable {
 public:
  explicit ResponseTable(const ResponseShape& shape);

  std::size_t levels() const { return levels_.size(); }
  double sigma(double distance_mm) const { return shape_.sigma0_mm + shape_.slope * distance_mm; }
  std::size_t level_of(double sigma_mm) const;
  // Taps for bins floor(position) - 2 ... + 3, where `fraction` = position - floor(position).
  std::array<double, kTaps> across(std::size_t level, double sigma_mm, double fraction) const;
  // Centre, first and second neighbour along z; c0 + 2 c1 + 2 c2 = 1.
  std::array<double, 3> along(std::size_t level, double sigma_mm) const;
  // Side tap of the 3-tap kernel from level `level` to level - 1, along u and along z. Requires level > 0.
  double side_u(std::size_t level) const { return levels_[level].side_u; }
  double side_z(std::size_t level) const { return levels_[level].side_z; }

 private:
  static constexpr std::size_t kFractions = 17;  // nodes from 0 to 1/2; the other half is the mirror image
  struct Level {
    double side_u = 0, side_z = 0;
    double variance_low = 0, variance_step = 1;  // nodes in sigma^2, mm^2
    std::size_t nodes = 0;
    std::vector<std::array<double, kTaps>> across;  // [node][fraction]
    std::vector<std::array<double, 3>> along;       // [node]
    std::vector<double> kernel_u, kernel_z;         // h_l, symmetric, length 2 l + 1
  };
  double floored(double sigma_mm) const;
  double variance_bound(std::size_t index) const;  // of sigma^2 between level `index` and the next, mm^2
  void choose_sides(std::size_t index);
  void fill(std::size_t index);
  ResponseShape shape_;
  double unit_area_ = 1, floor_ = 0;  // mm^2
  std::vector<Level> levels_;
};

}  // namespace tomogrid::recon
