// exp, erf, sine and cosine that give the same bits on every machine: glibc picks variants of its own by CPU.
// Only +, -, *, / and floor, in a fixed order; -ffp-contract=off keeps compilers from fusing them.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

namespace tomogrid::image::phantom {

inline constexpr double kPi = 3.14159265358979323846;

// Relative error below 1e-15 for -700 <= x <= 0; 0 below that. Requires x <= 0 (attenuation and Gaussians only).
inline double exp_of_negative(double x) {
  constexpr double kLog2e = 1.44269504088896340736, kLn2High = 6.93147180369123816490e-01,
                   kLn2Low = 1.90821492927058770002e-10;
  const double clipped = x < -700.0 ? -700.0 : x;
  const double n = std::floor(clipped * kLog2e + 0.5);
  const double r = (clipped - n * kLn2High) - n * kLn2Low;
  // Taylor to r^13 on |r| <= 0.35: remainder below 5e-18.
  double p = 1.0 / 6227020800.0;
  p = p * r + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  // 2^n without a 64-bit conversion, which AVX2 lacks: n + 2^52 + 1023 holds the exponent field in its low bits.
  const double shifted = n + (4503599627370496.0 + 1023.0);
  const double scale = std::bit_cast<double>(std::bit_cast<std::uint64_t>(shifted) << 52);
  return x < -700.0 ? 0.0 : p * scale;
}

// Absolute error below 1e-15.
inline double erf(double x) {
  const double a = x < 0 ? -x : x;
  double value = 1.0;
  if (a < 3.0) {
    // exp(-x^2) 2/sqrt(pi) sum of 2^n x^(2n+1) / (2n+1)!!: every term positive (Abramowitz and Stegun 7.1.6).
    double term = a, sum = a;
    for (int n = 1; n < 80; ++n) {
      term *= 2.0 * a * a / (2.0 * n + 1.0);
      sum += term;
    }
    value = 1.12837916709551257390 * exp_of_negative(-a * a) * sum;
  } else if (a < 6.0) {
    // Continued fraction of erfc, from the far end (A&S 7.1.14).
    double fraction = a;
    for (int n = 60; n > 0; --n) fraction = a + 0.5 * n / fraction;
    value = 1.0 - exp_of_negative(-a * a) / (1.77245385090551602730 * fraction);
  }
  return x < 0 ? -value : value;
}

// {sin, cos}, absolute error below 1e-14 for |x| < 100.
inline std::pair<double, double> sin_cos(double x) {
  const double quarter = std::floor(x * (2.0 / kPi) + 0.5);
  const double r = (x - quarter * 1.57079632679489655800) - quarter * 6.12323399573676603587e-17;
  const double r2 = r * r;
  double s = 0, c = 0;
  for (int n = 12; n > 0; --n) {
    s = (1.0 + s) * (-r2 / ((2.0 * n) * (2.0 * n + 1.0)));
    c = (1.0 + c) * (-r2 / ((2.0 * n) * (2.0 * n - 1.0)));
  }
  s = r * (1.0 + s);
  c = 1.0 + c;
  switch (static_cast<std::int64_t>(quarter) & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

// Integral over [from, to] of a Gaussian of unit area centred at 0: dPhi.
inline double gaussian_between(double from, double to, double sigma) {
  const double scale = 0.70710678118654752440 / sigma;
  return 0.5 * (erf(to * scale) - erf(from * scale));
}

}  // namespace tomogrid::image::phantom
