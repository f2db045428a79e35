#include "qa/fit.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tomogrid::qa {
namespace {

TEST(QaFit, RecoversWhatItWasGiven) {
  std::vector<double> angles, values;
  for (int k = 0; k < 40; ++k) {
    angles.push_back(0.157 * k);
    values.push_back(2 + 3 * std::cos(angles.back()) - std::sin(2 * angles.back()));
  }
  auto columns = harmonics(angles, 2);
  columns.push_back(std::vector<double>(40, 1.0));
  const auto fit = least_squares(columns, values);
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->coefficients[0], 3, 1e-12);
  EXPECT_NEAR(fit->coefficients[3], -1, 1e-12);
  EXPECT_NEAR(fit->coefficients[4], 2, 1e-12);
  for (const double r : fit->residuals) EXPECT_NEAR(r, 0, 1e-12);
}

TEST(QaFit, StandardErrorIsThatOfAMean) {
  const auto fit = least_squares({{1, 1, 1, 1}}, {1, 3, 1, 3});
  ASSERT_TRUE(fit);
  EXPECT_NEAR(fit->coefficients[0], 2, 1e-15);
  EXPECT_NEAR(fit->errors[0], std::sqrt(4.0 / 3 / 4), 1e-15);
}

TEST(QaFit, RefusesDependentColumnsAndTooFewValues) {
  EXPECT_FALSE(least_squares({{1, 1, 1, 1}, {2, 2, 2, 2}}, {1, 2, 3, 4}));
  EXPECT_FALSE(least_squares({{1, 1}, {0, 1}}, {1, 2}));
}

}  // namespace
}  // namespace tomogrid::qa
