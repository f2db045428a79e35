// Standard deviations by bootstrap from one scan, beside those of a hundred scans of the same object.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "problem.h"
#include "recon/uncertainty.h"

namespace tomogrid::recon {
namespace {

TEST(Uncertainty, OfOneScanAgreesWithAHundredScans) {
  Problem p = make_problem({.bins = 33, .rows = 17, .views = 32});
  p.model.half_life.reset();
  const Plan plan = *make_plan(p.geometry, with_map(p), p.options);
  fill_counts(p, plan);
  const std::vector<float> expected = forward_project(plan, p.activity);
  const Settings settings{.iterations = 12, .filter_fwhm = Millimetres(10)};
  std::mt19937_64 random(11);
  const auto scan = [&] {
    std::vector<float> counts(expected.size());
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (expected[i] > 0)
        counts[i] = static_cast<float>(std::poisson_distribution<int>(static_cast<double>(expected[i]))(random));
    }
    return counts;
  };
  Spread truth;
  for (int realisation = 0; realisation < 100; ++realisation)
    truth.add(reconstruct(plan, scan(), settings)->volume.values);
  const std::vector<float> counts = scan();
  const Bootstrap bootstrap(counts, p.geometry.bins * p.geometry.rows, 1, 0);
  Spread estimate;
  for (std::uint32_t replicate = 0; replicate < 64; ++replicate)
    estimate.add(reconstruct(plan, bootstrap.replicate(replicate), settings)->volume.values);
  const std::vector<float> of_scans = truth.deviation(), of_one = estimate.deviation();
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of_one.size(); ++i) {
    if (p.activity[i] > 0) ratios.push_back(static_cast<double>(of_one[i]) / static_cast<double>(of_scans[i]));
  }
  ASSERT_GT(ratios.size(), 500U);
  std::nth_element(ratios.begin(), ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2), ratios.end());
  const double median = ratios[ratios.size() / 2];
  std::printf("  standard deviations, bootstrap over realisations: median ratio %.3f in %zu voxels\n", median,
              ratios.size());
  EXPECT_GT(median, 0.9);
  EXPECT_LT(median, 1.1);
}

}  // namespace
}  // namespace tomogrid::recon
