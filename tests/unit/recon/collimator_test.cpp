#include "recon/collimator.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tomogrid::recon {
namespace {

TEST(Collimator, NamesAreFoundHoweverTheyAreWritten) {
  for (const char* text : {"LEHR", "lehr", "LEHR PARA", "LE-HR", "Lehr_2"})
    EXPECT_EQ(find_collimator(text)->name, "LEHR") << text;
  EXPECT_EQ(find_collimator("leuhr")->name, "LEUHR");
  EXPECT_FALSE(find_collimator("").has_value());
  EXPECT_FALSE(find_collimator("XHR").has_value());
  EXPECT_TRUE(default_response("").assumed);
  EXPECT_FALSE(default_response("MEGP").assumed);
}

// 7.4 mm FWHM at 10 cm is what makers state for LEHR with a 3.8 mm crystal.
TEST(Collimator, LowEnergyHighResolutionIsAsWideAsMakersSay) {
  const Response r = default_response("LEHR").response;
  EXPECT_NEAR(2.3548 * (r.sigma0.count() + 100 * r.slope), 7.4, 0.4);
  EXPECT_GT(r.slope, 0.01);
  EXPECT_LT(r.slope, 0.025);
}

}  // namespace
}  // namespace tomogrid::recon
