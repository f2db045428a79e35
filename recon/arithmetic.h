// Elementary functions whose bits do not depend on the machine.
//
// glibc picks variants of exp, log, sin and erf by processor, and they differ in the last bit; a job that moves between
// machines must not. These use only +, -, *, /, std::fma and exact conversions, each correctly rounded by IEEE 754, in
// one fixed order. Accurate to about 2 ulp (tests compare with glibc), which is all that the plan needs.
#pragma once

namespace tomogrid::recon {

// Requires |x| < 700; below -700 the result is 0.
double exact_exp(double x);
// Requires x > 0, finite and normal.
double exact_log(double x);
// Absolute error below 4e-15.
double exact_erf(double x);
struct SineCosine {
  double sine, cosine;
};
// Requires |radians| < 1e5.
SineCosine exact_sine_cosine(double radians);

// Integral of the standard normal density from minus infinity to x.
inline double normal_integral(double x) {
  return 0.5 + 0.5 * exact_erf(x * 0.70710678118654752440);
}

}  // namespace tomogrid::recon
