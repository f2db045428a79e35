// Sixteen floats, one by one: the reference for the others.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr std::size_t kSplatChunk = 1, kGatherChunk = 1;  // vectors of a line held at a time
struct Vec {
  float v[16];
};
struct Mask {
  bool v[16];
};

inline Vec load(const float* p) {
  Vec r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void store(float* p, const Vec& a) {
  std::memcpy(p, a.v, sizeof a.v);
}
inline Vec set(float x) {
  Vec r;
  for (float& e : r.v) e = x;
  return r;
}
template <class F>
inline Vec each(F f) {
  Vec r;
  for (int i = 0; i < 16; ++i) r.v[i] = f(i);
  return r;
}
inline Vec add(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec subtract(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec multiply(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec divide(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec fma(const Vec& a, const Vec& b, const Vec& c) {
  return each([&](int i) { return std::fma(a.v[i], b.v[i], c.v[i]); });
}
inline Vec least(const Vec& a, const Vec& b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec previous_lane(const Vec& a) {
  return each([&](int i) { return i == 0 ? 0.0F : a.v[i - 1]; });
}
inline Vec next_lane(const Vec& a) {
  return each([&](int i) { return i == 15 ? 0.0F : a.v[i + 1]; });
}
inline Mask above(const Vec& a, const Vec& b) {
  Mask m;
  for (int i = 0; i < 16; ++i) m.v[i] = a.v[i] > b.v[i];
  return m;
}
inline Vec where(const Mask& m, const Vec& a) {
  return each([&](int i) { return m.v[i] ? a.v[i] : 0.0F; });
}
inline Vec load_fixed(const std::uint16_t* p) {
  return each([&](int i) { return static_cast<float>(p[i]); });
}
// Requires whole numbers from 0 to 65535.
inline void store_fixed(std::uint16_t* p, const Vec& a) {
  for (int i = 0; i < 16; ++i) p[i] = static_cast<std::uint16_t>(a.v[i]);
}
// 2^k for whole k from -126 to 127.
inline Vec power_of_two(const Vec& k) {
  return each([&](int i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(static_cast<std::int32_t>(k.v[i]) + 127) << 23;
    float r;
    std::memcpy(&r, &bits, sizeof r);
    return r;
  });
}
inline Vec choose(const Mask& m, const Vec& a, const Vec& b) {
  return each([&](int i) { return m.v[i] ? a.v[i] : b.v[i]; });
}
// x = 2^exponent mantissa, mantissa in [sqrt(1/2), sqrt(2)). Requires positive normal numbers.
inline void split(const Vec& x, Vec& exponent, Vec& mantissa) {
  for (int i = 0; i < 16; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &x.v[i], sizeof bits);
    bits -= 0x3f3504f3U;
    exponent.v[i] = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
    bits = (bits & 0x007fffffU) + 0x3f3504f3U;
    std::memcpy(&mantissa.v[i], &bits, sizeof bits);
  }
}
// Sixteen sums in double, added in one order at the end.
struct Sum {
  double v[16] = {};
  void add_product(const Vec& a, const Vec& b) {
    for (int i = 0; i < 16; ++i) v[i] = std::fma(static_cast<double>(a.v[i]), static_cast<double>(b.v[i]), v[i]);
  }
  double total() const {
    double sum = 0;
    for (const double lane : v) sum += lane;
    return sum;
  }
};
inline void prefetch(const float*) {}

}  // namespace
