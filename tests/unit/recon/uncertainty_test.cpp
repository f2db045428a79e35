// The bootstrap's numbers: the generator's published vectors, Poisson moments, the same everywhere.
#include "recon/uncertainty.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

namespace tomogrid::recon {
namespace {

// Known answers of Random123 (Salmon, Moraes, Dror and Shaw).
TEST(Philox, GivesThePublishedVectors) {
  using Four = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Bootstrap, DrawsPoissonNumbers) {
  constexpr std::size_t kBins = 20'000;
  for (const float count : {1.0F, 3.0F, 10.0F, 100.0F, 4097.0F, 70'000.0F}) {
    const std::vector<float> counts(kBins, count);
    const std::vector<float> drawn = Bootstrap(counts, kBins, 9, 0).replicate(3);
    double sum = 0, squares = 0, cubes = 0;
    const double mean = static_cast<double>(count);
    for (const float value : drawn) {
      const double off = static_cast<double>(value) - mean;
      sum += off;
      squares += off * off;
      cubes += off * off * off;
    }
    const double n = static_cast<double>(kBins);
    // Within five standard errors: mean sqrt(m / n), variance sqrt((m + 2 m^2) / n), third moment about sqrt(15 m^3 / n).
    EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(mean / n)) << count;
    EXPECT_NEAR(squares / n, mean, 5 * std::sqrt((mean + 2 * mean * mean) / n)) << count;
    EXPECT_NEAR(cubes / n, mean, 5 * std::sqrt((15 * std::pow(mean, 3) + 25 * mean * mean + mean) / n)) << count;
  }
}

TEST(Bootstrap, IsTheSameForAnyThreadsAndAnotherForAnotherSeedReplicateOrWindow) {
  std::vector<float> counts(7 * 300);
  for (std::size_t i = 0; i < counts.size(); ++i) counts[i] = static_cast<float>(i * 7 % 61);
  omp_set_num_threads(1);
  const std::vector<float> one = Bootstrap(counts, 300, 1, 0).replicate(0);
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    EXPECT_EQ(Bootstrap(counts, 300, 1, 0).replicate(0), one);
  }
  EXPECT_NE(Bootstrap(counts, 300, 2, 0).replicate(0), one);
  EXPECT_NE(Bootstrap(counts, 300, 1, 0).replicate(1), one);
  EXPECT_NE(Bootstrap(counts, 300, 1, 1).replicate(0), one);
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) {
      EXPECT_EQ(one[i], 0) << "nothing was counted, so nothing is drawn";
    }
  }
}

TEST(Bootstrap, NumbersThatAreNotCountsAreRefusedByView) {
  std::vector<float> counts(60, 4.0F);
  EXPECT_TRUE(check_are_counts(counts, 20));
  for (const float bad : {0.5F, -1.0F, 2e9F, std::nanf("")}) {
    counts[45] = bad;
    const auto refused = check_are_counts(counts, 20);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::BadInput);
    EXPECT_NE(refused.error().message.find("view 2"), std::string::npos) << refused.error().message;
  }
}

TEST(Spread, IsTheSampleStandardDeviation) {
  Spread spread;
  for (const float value : {2.0F, 4.0F, 4.0F, 5.0F}) spread.add(std::vector<float>{value, 7.0F});
  const std::vector<float> deviation = spread.deviation();
  EXPECT_NEAR(deviation[0], std::sqrt(4.75 / 3), 1e-6);
  EXPECT_EQ(deviation[1], 0);
}

}  // namespace
}  // namespace tomogrid::recon
