// Least squares with a few smooth functions: what a quantity does as the camera turns.
#pragma once

#include <optional>
#include <vector>

namespace tomogrid::qa {

struct Fit {
  std::vector<double> coefficients;
  std::vector<double> residuals;
  // Standard error of each coefficient, from the residuals' own scatter.
  std::vector<double> errors;
};

// Fits values[i] by sum over j of coefficients[j] * columns[j][i]. nullopt when the columns do not determine the
// coefficients: fewer values than columns, or (nearly) dependent columns.
std::optional<Fit> least_squares(const std::vector<std::vector<double>>& columns, const std::vector<double>& values);

// cos and sin of 1..order times the angles.
std::vector<std::vector<double>> harmonics(const std::vector<double>& angles, int order);

}  // namespace tomogrid::qa
