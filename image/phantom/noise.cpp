// Poisson counts with the same bits everywhere (docs/phantom.md, "Noise").
//
// A mean is split into equal parts of at most 32; each part is drawn by inversion: walk up the cumulative distribution
// until it passes a uniform number. A sum of independent Poisson numbers is Poisson. std::poisson_distribution differs
// between standard libraries and calls libm.
#include <cmath>

#include "image/phantom.h"
#include "image/phantom/numerics.h"

namespace tomogrid::image {

namespace {

// Counter-based: number n of element i is a hash of (seed, i, n), by the finaliser of SplitMix64 (Steele, Lea and Flood
// 2014) applied to a Weyl sequence, keyed twice so that neighbouring seeds and elements are unrelated.
constexpr std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}
constexpr std::uint64_t kWeyl = 0x9e3779b97f4a7c15ULL;

class Stream {
 public:
  Stream(std::uint64_t seed, std::uint64_t element) : state_(mix(mix(seed + kWeyl) + (element + 1) * kWeyl)) {}
  // In (0, 1): 53 random bits and a half.
  double uniform() {
    state_ += kWeyl;
    return (static_cast<double>(mix(state_) >> 11) + 0.5) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

constexpr double kPartMean = 32.0;  // exp(-32) is far above the smallest double, and 53 bits resolve its tails

double draw_part(double mean, double probability_of_zero, Stream& stream) {
  const double target = stream.uniform();
  double probability = probability_of_zero, cumulative = probability, count = 0;
  while (target > cumulative) {
    count += 1;
    probability *= mean / count;
    cumulative += probability;
    if (probability < 1e-300) break;  // the rest is below rounding
  }
  return count;
}

double draw(double mean, Stream stream) {
  if (!(mean > 0)) return 0;
  const double parts = std::ceil(mean / kPartMean), part = mean / parts;
  const double zero = phantom::exp_of_negative(-part);
  double count = 0;
  for (double i = 0; i < parts; ++i) count += draw_part(part, zero, stream);
  return count;
}

}  // namespace

std::vector<float> poisson_counts(const std::vector<double>& expected, std::uint64_t seed) {
  std::vector<float> counts(expected.size());
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < expected.size(); ++i) {
    counts[i] = static_cast<float>(draw(expected[i], Stream(seed, i)));
  }
  return counts;
}

}  // namespace tomogrid::image
