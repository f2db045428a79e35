#include "qa/fit.h"

#include <cmath>
#include <cstddef>

namespace tomogrid::qa {

namespace {

using Matrix = std::vector<std::vector<double>>;

// In place: lower triangle L with L L' = the matrix. False when a pivot has lost all but 1e-9 of its column.
bool cholesky(Matrix& m) {
  for (std::size_t j = 0; j < m.size(); ++j) {
    const double whole = m[j][j];
    for (std::size_t k = 0; k < j; ++k) m[j][j] -= m[j][k] * m[j][k];
    if (!(m[j][j] > 1e-9 * whole)) return false;
    m[j][j] = std::sqrt(m[j][j]);
    for (std::size_t i = j + 1; i < m.size(); ++i) {
      for (std::size_t k = 0; k < j; ++k) m[i][j] -= m[i][k] * m[j][k];
      m[i][j] /= m[j][j];
    }
  }
  return true;
}

std::vector<double> solve(const Matrix& l, std::vector<double> b) {
  for (std::size_t i = 0; i < b.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= l[i][k] * b[k];
    b[i] /= l[i][i];
  }
  for (std::size_t i = b.size(); i-- > 0;) {
    for (std::size_t k = i + 1; k < b.size(); ++k) b[i] -= l[k][i] * b[k];
    b[i] /= l[i][i];
  }
  return b;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

std::optional<Fit> least_squares(const std::vector<std::vector<double>>& columns, const std::vector<double>& values) {
  const std::size_t n = columns.size();
  if (values.size() <= n) return std::nullopt;
  Matrix normal(n, std::vector<double>(n));
  std::vector<double> right(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) normal[i][j] = normal[j][i] = dot(columns[i], columns[j]);
    right[i] = dot(columns[i], values);
  }
  if (!cholesky(normal)) return std::nullopt;

  Fit fit{.coefficients = solve(normal, right), .residuals = values, .errors = std::vector<double>(n)};
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t i = 0; i < values.size(); ++i) fit.residuals[i] -= fit.coefficients[j] * columns[j][i];
  }
  const double variance = dot(fit.residuals, fit.residuals) / static_cast<double>(values.size() - n);
  for (std::size_t j = 0; j < n; ++j) {
    std::vector<double> unit(n, 0.0);
    unit[j] = 1;
    fit.errors[j] = std::sqrt(variance * solve(normal, unit)[j]);
  }
  return fit;
}

std::vector<std::vector<double>> harmonics(const std::vector<double>& angles, int order) {
  std::vector<std::vector<double>> columns;
  for (int k = 1; k <= order; ++k) {
    std::vector<double> c, s;
    for (const double angle : angles) {
      c.push_back(std::cos(k * angle));
      s.push_back(std::sin(k * angle));
    }
    columns.push_back(std::move(c));
    columns.push_back(std::move(s));
  }
  return columns;
}

}  // namespace tomogrid::qa
