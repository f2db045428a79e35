// How much a volume would differ if the scan were taken again: standard deviations by Poisson bootstrap.
//
// A replicate of the data draws every bin anew from a Poisson distribution whose mean is the count that was measured
// (Dahlbom, IEEE TNS 2002; Buvat, Phys Med Biol 2002: the nonparametric bootstrap of list-mode data gives each count a
// Poisson(1) weight, which is the same). Replicates are reconstructed like the scan; their spread, voxel by voxel, is
// the map.
//
// The same numbers on every machine: uniform numbers come from a counter (Philox 4x32-10; Salmon, Moraes, Dror and Shaw,
// SC 2011) keyed by the seed and counting replicate, view, bin and digit; they are compared with integer thresholds. A
// count is the sum of powers of two, and a Poisson variable of a sum is a sum of Poisson variables, so one table per
// binary digit serves every count.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace tomogrid::recon {

// Philox 4x32 with ten rounds.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

// Draws replicates of one set of projections.
class Bootstrap final {
 public:
  // `counts` is lent as long as the object lives, `view_size` bins a view. `window` tells apart data sets that one seed
  // is used for: 0 the photopeak.
  Bootstrap(std::span<const float> counts, std::size_t view_size, std::uint64_t seed, std::uint32_t window);
  std::vector<float> replicate(std::uint32_t number) const;

 private:
  // Poisson of mean 2^digit: thresholds[k] = P(X <= least + k) in units of 2^-64; beyond the last: least + size.
  struct Table {
    std::uint32_t least = 0;
    std::vector<std::uint64_t> thresholds;
  };
  static Table make_table(unsigned digit);
  std::span<const float> counts_;
  std::size_t view_size_;
  std::uint64_t seed_;
  std::uint32_t window_;
  std::vector<Table> tables_;  // per binary digit of the largest count
};

// BadInput names the view: a bin that is no whole number, since only counts are Poisson.
Result<void> check_are_counts(std::span<const float> counts, std::size_t view_size);

// Mean and spread of volumes that come one after another (Welford 1962), so that none need be kept.
class Spread final {
 public:
  void add(std::span<const float> values);
  // Sample standard deviation, divisor n - 1. Requires two volumes at least.
  std::vector<float> deviation() const;

 private:
  std::size_t count_ = 0;
  std::vector<double> mean_, squares_;
};

}  // namespace tomogrid::recon
