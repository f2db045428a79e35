#include "recon/arithmetic.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace tomogrid::recon {

namespace {
// ln 2 and pi/2, each as a part with trailing zeros and the rest, so that k * high is exact (Cody and Waite 1980).
constexpr double kLn2High = 6.93147180369123816490e-01, kLn2Low = 1.90821492927058770002e-10;
constexpr double kHalfPiHigh = 1.57079632673412561417e+00, kHalfPiLow = 6.07710050650619224932e-11;

double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(exponent) + 1023) << 52);
}
}  // namespace

double exact_exp(double x) {
  if (x < -700.0) return 0.0;
  const double k = std::floor(std::fma(x, 1.4426950408889634074, 0.5));
  const double r = std::fma(-k, kLn2Low, std::fma(-k, kLn2High, x));
  double sum = 1.0;  // Taylor by Horner: |r| <= 0.347, so 14 terms reach 1e-17
  for (int n = 14; n >= 1; --n) sum = std::fma(sum * r, 1.0 / n, 1.0);
  return sum * power_of_two(static_cast<int>(k));
}

double exact_log(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (mantissa > 1.41421356237309504880) {
    mantissa *= 0.5;
    ++exponent;
  }
  const double s = (mantissa - 1.0) / (mantissa + 1.0), square = s * s;  // log m = 2 atanh s, |s| <= 0.172
  double sum = 0.0;
  for (int n = 23; n >= 3; n -= 2) sum = std::fma(sum, square, 1.0 / n);
  const double tail = std::fma(2.0 * s * square, sum, static_cast<double>(exponent) * kLn2Low);
  return std::fma(static_cast<double>(exponent), kLn2High, std::fma(2.0, s, tail));
}

double exact_erf(double x) {
  const double magnitude = std::fabs(x);
  if (magnitude > 6.0) return x > 0 ? 1.0 : -1.0;
  // erf x = 2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (1 3 5 ... (2n+1)): every term positive, no cancellation.
  static const std::array<double, 160> reciprocal = [] {
    std::array<double, 160> table{};
    for (std::size_t n = 0; n < table.size(); ++n) table[n] = 2.0 / (2.0 * static_cast<double>(n) + 1.0);
    return table;
  }();
  const double square = x * x;
  double term = magnitude, sum = magnitude;
  for (std::size_t n = 1; n < reciprocal.size() && term > 1e-17 * sum; ++n) {
    term *= square * reciprocal[n];
    sum += term;
  }
  const double value = 1.12837916709551257390 * exact_exp(-square) * sum;
  return x < 0 ? -value : value;
}

SineCosine exact_sine_cosine(double radians) {
  const double k = std::floor(std::fma(radians, 0.63661977236758134308, 0.5));
  const double r = std::fma(-k, kHalfPiLow, std::fma(-k, kHalfPiHigh, radians)), square = r * r;
  // 1 - r^2/(2 3) (1 - r^2/(4 5) (...)) and 1 - r^2/(1 2) (1 - r^2/(3 4) (...)), from the inside; |r| <= pi/4.
  double sine = 1.0, cosine = 1.0;
  for (int n = 20; n >= 2; n -= 2) sine = std::fma(-square / (n * (n + 1)), sine, 1.0);
  for (int n = 19; n >= 1; n -= 2) cosine = std::fma(-square / (n * (n + 1)), cosine, 1.0);
  sine *= r;
  switch (static_cast<std::int64_t>(k) & 3) {
    case 0:
      return {sine, cosine};
    case 1:
      return {cosine, -sine};
    case 2:
      return {-sine, -cosine};
    default:
      return {-cosine, sine};
  }
}

}  // namespace tomogrid::recon
