// Sixteen floats as one AVX-512 register (F, BW).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr std::size_t kSplatChunk = 2, kGatherChunk = 4;  // 6 bins x 2 or 4 vectors stay in registers
struct Vec {
  __m512 v;
};
struct Mask {
  __mmask16 m;
};

inline Vec load(const float* p) {
  return {_mm512_load_ps(p)};
}
inline void store(float* p, Vec a) {
  _mm512_store_ps(p, a.v);
}
inline Vec set(float x) {
  return {_mm512_set1_ps(x)};
}
inline Vec add(Vec x, Vec y) {
  return {_mm512_add_ps(x.v, y.v)};
}
inline Vec subtract(Vec x, Vec y) {
  return {_mm512_sub_ps(x.v, y.v)};
}
inline Vec multiply(Vec x, Vec y) {
  return {_mm512_mul_ps(x.v, y.v)};
}
inline Vec divide(Vec x, Vec y) {
  return {_mm512_div_ps(x.v, y.v)};
}
inline Vec fma(Vec x, Vec y, Vec z) {
  return {_mm512_fmadd_ps(x.v, y.v, z.v)};
}
inline Vec least(Vec x, Vec y) {
  return {_mm512_min_ps(x.v, y.v)};
}
inline Vec previous_lane(Vec a) {
  return {_mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(a.v), _mm512_setzero_si512(), 15))};
}
inline Vec next_lane(Vec a) {
  return {_mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_setzero_si512(), _mm512_castps_si512(a.v), 1))};
}
inline Mask above(Vec x, Vec y) {
  return {_mm512_cmp_ps_mask(x.v, y.v, _CMP_GT_OQ)};
}
inline Vec where(Mask m, Vec a) {
  return {_mm512_maskz_mov_ps(m.m, a.v)};
}
inline Vec load_fixed(const std::uint16_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(p))))};
}
inline void store_fixed(std::uint16_t* p, Vec a) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtusepi32_epi16(_mm512_cvtps_epi32(a.v)));
}
inline Vec power_of_two(Vec k) {
  return {
      _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(k.v), _mm512_set1_epi32(127)), 23))};
}
inline Vec choose(Mask m, Vec x, Vec y) {
  return {_mm512_mask_blend_ps(m.m, y.v, x.v)};
}
inline void split(Vec x, Vec& exponent, Vec& mantissa) {
  const __m512i middle = _mm512_set1_epi32(0x3f3504f3);
  const __m512i bits = _mm512_sub_epi32(_mm512_castps_si512(x.v), middle);
  exponent = {_mm512_cvtepi32_ps(_mm512_srai_epi32(bits, 23))};
  mantissa = {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_and_si512(bits, _mm512_set1_epi32(0x007fffff)), middle))};
}
struct Sum {
  __m512d a = _mm512_setzero_pd(), b = _mm512_setzero_pd();
  static __m512d low(__m512 x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }
  static __m512d high(__m512 x) {
    return _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1)));
  }
  void add_product(Vec x, Vec y) {
    a = _mm512_fmadd_pd(low(x.v), low(y.v), a);
    b = _mm512_fmadd_pd(high(x.v), high(y.v), b);
  }
  double total() const {
    alignas(64) double lanes[16];
    _mm512_store_pd(lanes, a);
    _mm512_store_pd(lanes + 8, b);
    double sum = 0;
    for (const double lane : lanes) sum += lane;
    return sum;
  }
};
inline void prefetch(const float* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0);
}

}  // namespace
