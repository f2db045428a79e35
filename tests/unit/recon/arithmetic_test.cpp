#include "recon/arithmetic.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>

namespace tomogrid::recon {
namespace {

TEST(Arithmetic, AgreesWithTheSystemsFunctionsToTheLastBits) {
  for (int i = -6000; i <= 6000; ++i) {
    const double x = i * 0.1003;
    EXPECT_NEAR(exact_exp(x) / std::exp(x), 1.0, 5e-16) << x;
    EXPECT_NEAR(exact_erf(x * 0.01), std::erf(x * 0.01), 4e-15) << x;
    const SineCosine at = exact_sine_cosine(x);
    EXPECT_NEAR(at.sine, std::sin(x), 3e-16) << x;
    EXPECT_NEAR(at.cosine, std::cos(x), 3e-16) << x;
    if (i > 0) {
      EXPECT_NEAR(exact_log(x), std::log(x), 4e-16 * std::fmax(1.0, std::fabs(std::log(x)))) << x;
    }
  }
}

TEST(Arithmetic, QuarterTurnsAreExactEnough) {
  const SineCosine quarter = exact_sine_cosine(1.57079632679489661923);
  EXPECT_EQ(quarter.sine, 1.0);
  EXPECT_LT(std::fabs(quarter.cosine), 1e-16);
}

// Bits as first computed: a compiler or processor that changes them would break the promise of equal results.
TEST(Arithmetic, BitsAreThoseOfEveryOtherMachine) {
  std::uint64_t hash = 0;
  for (int i = 1; i <= 1000; ++i) {
    const double x = i * 0.0123;
    for (const double value :
         {exact_exp(-x), exact_log(x), exact_erf(x), exact_sine_cosine(x).sine, exact_sine_cosine(x).cosine}) {
      hash = (hash ^ std::bit_cast<std::uint64_t>(value)) * 0x9e3779b97f4a7c15ULL;
    }
  }
  EXPECT_EQ(hash, 8552060554427866133ULL);
}

}  // namespace
}  // namespace tomogrid::recon
