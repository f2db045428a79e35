// Sixteen floats as two AVX2 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr std::size_t kSplatChunk = 1, kGatherChunk = 1;  // vectors of a line held at a time
struct Vec {
  __m256 a, b;
};
struct Mask {
  __m256 a, b;
};

inline Vec load(const float* p) {
  return {_mm256_load_ps(p), _mm256_load_ps(p + 8)};
}
inline void store(float* p, Vec v) {
  _mm256_store_ps(p, v.a);
  _mm256_store_ps(p + 8, v.b);
}
inline Vec set(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
inline Vec add(Vec x, Vec y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
inline Vec subtract(Vec x, Vec y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
inline Vec multiply(Vec x, Vec y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
inline Vec divide(Vec x, Vec y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
inline Vec fma(Vec x, Vec y, Vec z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline Vec least(Vec x, Vec y) {
  return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
inline Vec previous_lane(Vec v) {
  const __m256i turn = _mm256_setr_epi32(7, 0, 1, 2, 3, 4, 5, 6);
  const __m256 a = _mm256_permutevar8x32_ps(v.a, turn), b = _mm256_permutevar8x32_ps(v.b, turn);
  return {_mm256_blend_ps(a, _mm256_setzero_ps(), 1), _mm256_blend_ps(b, a, 1)};
}
inline Vec next_lane(Vec v) {
  const __m256i turn = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 0);
  const __m256 a = _mm256_permutevar8x32_ps(v.a, turn), b = _mm256_permutevar8x32_ps(v.b, turn);
  return {_mm256_blend_ps(a, b, 0x80), _mm256_blend_ps(b, _mm256_setzero_ps(), 0x80)};
}
inline Mask above(Vec x, Vec y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_GT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_GT_OQ)};
}
inline Vec where(Mask m, Vec v) {
  return {_mm256_and_ps(m.a, v.a), _mm256_and_ps(m.b, v.b)};
}
inline Vec load_fixed(const std::uint16_t* p) {
  const __m128i low = _mm_load_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i high = _mm_load_si128(reinterpret_cast<const __m128i*>(p) + 1);
  return {_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(high))};
}
inline void store_fixed(std::uint16_t* p, Vec v) {
  const __m256i packed = _mm256_packus_epi32(_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b));
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xD8));
}
inline Vec power_of_two(Vec k) {
  const auto scale = [](__m256 x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127)), 23));
  };
  return {scale(k.a), scale(k.b)};
}
inline Vec choose(Mask m, Vec x, Vec y) {
  return {_mm256_blendv_ps(y.a, x.a, m.a), _mm256_blendv_ps(y.b, x.b, m.b)};
}
inline void split(Vec x, Vec& exponent, Vec& mantissa) {
  const auto part = [](__m256 v, __m256& e, __m256& f) {
    const __m256i middle = _mm256_set1_epi32(0x3f3504f3);
    const __m256i bits = _mm256_sub_epi32(_mm256_castps_si256(v), middle);
    e = _mm256_cvtepi32_ps(_mm256_srai_epi32(bits, 23));
    f = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), middle));
  };
  part(x.a, exponent.a, mantissa.a);
  part(x.b, exponent.b, mantissa.b);
}
struct Sum {
  __m256d v[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
  static __m256d low(__m256 x) { return _mm256_cvtps_pd(_mm256_castps256_ps128(x)); }
  static __m256d high(__m256 x) { return _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1)); }
  void add_product(Vec x, Vec y) {
    v[0] = _mm256_fmadd_pd(low(x.a), low(y.a), v[0]);
    v[1] = _mm256_fmadd_pd(high(x.a), high(y.a), v[1]);
    v[2] = _mm256_fmadd_pd(low(x.b), low(y.b), v[2]);
    v[3] = _mm256_fmadd_pd(high(x.b), high(y.b), v[3]);
  }
  double total() const {
    alignas(32) double lanes[16];
    for (int i = 0; i < 4; ++i) _mm256_store_pd(lanes + 4 * i, v[i]);
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
  }
};
inline void prefetch(const float* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

}  // namespace
