#include "recon/response.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace tomogrid::recon {
namespace {

double integral(double low, double high, double sigma) {
  return 0.5 * (std::erf(high / (sigma * std::sqrt(2.0))) - std::erf(low / (sigma * std::sqrt(2.0))));
}

// Applies the cascade of levels `level` ... 1 to taps placed in the middle of 81 bins.
std::vector<double> cascade(std::vector<double> bins, std::size_t level, auto side) {
  for (; level > 0; --level) {
    std::vector<double> out(bins.size(), 0.0);
    const double k = side(level);
    for (std::size_t i = 1; i + 1 < bins.size(); ++i) out[i] = (1 - 2 * k) * bins[i] + k * (bins[i - 1] + bins[i + 1]);
    bins = out;
  }
  return bins;
}

double relative_error(const std::vector<double>& bins, double centre, double sigma) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    const double x = static_cast<double>(i) - 40.0 - centre, truth = integral(x - 0.5, x + 0.5, sigma);
    error += (bins[i] - truth) * (bins[i] - truth);
    size += truth * truth;
  }
  return std::sqrt(error / size);
}

struct Errors {
  double rms = 0, worst = 0;
};

Errors errors_over(double bin, double near_mm, double far_mm, bool axial) {
  const ResponseTable table(
      {.sigma0_mm = 1.466, .slope = 0.0163, .bin_mm = bin, .row_mm = bin, .voxel_mm = bin, .distance_most_mm = 500});
  double sum = 0, count = 0;
  Errors errors;
  for (double distance = near_mm; distance <= far_mm; distance += 3.1) {
    const double sigma = table.sigma(distance);
    const std::size_t level = table.level_of(sigma);
    for (double fraction = 0; fraction < (axial ? 0.01 : 1.0); fraction += 0.13) {
      std::vector<double> bins(81, 0.0);
      if (axial) {
        const auto c = table.along(level, sigma);
        for (int k = -2; k <= 2; ++k) bins[static_cast<std::size_t>(40 + k)] = c[static_cast<std::size_t>(std::abs(k))];
      } else {
        const auto taps = table.across(level, sigma, fraction);
        for (std::size_t k = 0; k < kTaps; ++k) bins[38 + k] = taps[k];
      }
      bins = cascade(bins, level, [&](std::size_t l) { return axial ? table.side_z(l) : table.side_u(l); });
      const double error = relative_error(bins, axial ? 0.0 : fraction, sigma / bin);
      errors.worst = std::max(errors.worst, error);
      sum += error * error;
      count += 1;
    }
  }
  errors.rms = std::sqrt(sum / count);
  return errors;
}

TEST(Response, EveryColumnsResponseIsTheErfProductToHalfAThousandth) {
  const Errors across = errors_over(4.42, 60, 490, false), along = errors_over(4.42, 60, 490, true);
  RecordProperty("across_rms_ppm", static_cast<int>(across.rms * 1e6));
  RecordProperty("along_rms_ppm", static_cast<int>(along.rms * 1e6));
  EXPECT_LT(across.rms, 0.0006);
  EXPECT_LT(across.worst, 0.0020);
  EXPECT_LT(along.rms, 0.0005);
  EXPECT_LT(along.worst, 0.0013);
}

TEST(Response, ErrorFallsWhenTheGridIsRefined) {
  EXPECT_LT(errors_over(2.21, 100, 490, false).rms, 0.6 * errors_over(4.42, 100, 490, false).rms);
  EXPECT_LT(errors_over(2.21, 100, 490, true).rms, 0.6 * errors_over(4.42, 100, 490, true).rms);
}

TEST(Response, TapsAreNeverNegativeSumToOneAndKeepTheCentroid) {
  for (const double slope : {0.0, 0.0163, 0.05}) {
    const ResponseTable table({.sigma0_mm = slope == 0 ? 0.0 : 1.2,
                               .slope = slope,
                               .bin_mm = 4.8,
                               .row_mm = 4.1,
                               .voxel_mm = 4.8,
                               .distance_most_mm = 450});
    for (double distance = 0; distance < 450; distance += 7.3) {
      const double sigma = table.sigma(distance);
      const std::size_t level = table.level_of(sigma);
      for (double fraction = 0; fraction < 1; fraction += 0.0371) {
        const auto taps = table.across(level, sigma, fraction);
        double sum = 0, mean = 0;
        for (std::size_t k = 0; k < kTaps; ++k) {
          EXPECT_GE(taps[k], 0.0);
          sum += taps[k];
          mean += taps[k] * (static_cast<double>(k) - 2.0);
        }
        EXPECT_NEAR(sum, 1.0, 1e-12);
        EXPECT_NEAR(mean, fraction, 1e-10);
      }
      const auto c = table.along(level, sigma);
      EXPECT_NEAR(c[0] + 2 * c[1] + 2 * c[2], 1.0, 1e-12);
      for (const double tap : c) EXPECT_GE(tap, 0.0);
    }
  }
}

TEST(Response, WithoutAResponseAxialRowsDoNotMix) {
  const ResponseTable table(
      {.sigma0_mm = 0, .slope = 0, .bin_mm = 4, .row_mm = 4, .voxel_mm = 4, .distance_most_mm = 400});
  EXPECT_EQ(table.levels(), 1U);
  EXPECT_NEAR(table.along(0, 0.0)[0], 1.0, 1e-9);
}

}  // namespace
}  // namespace tomogrid::recon
