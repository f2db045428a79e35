// Sixteen floats as one AVX-512 register (F, BW).
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

constexpr std::size_t kSplatChunk = 4, kGatherChunk = 4;   // 6 bins x 2 or 4 vectors stay in registers
struct Vec {
  __m512 v;
};
struct Mask {
  __mmask16 m;
};

inline Vec load(const float* p) { return {_mm512_load_ps(p)}; }
inline void store(float* p, Vec a) { _mm512_store_ps(p, a.v); }
inline Vec set(float x) { return {_mm512_set1_ps(x)}; }
inline Vec add(Vec x, Vec y) { return {_mm512_add_ps(x.v, y.v)}; }
inline Vec subtract(Vec x, Vec y) { return {_mm512_sub_ps(x.v, y.v)}; }
inline Vec multiply(Vec x, Vec y) { return {_mm512_mul_ps(x.v, y.v)}; }
inline Vec divide(Vec x, Vec y) { return {_mm512_div_ps(x.v, y.v)}; }
inline Vec fma(Vec x, Vec y, Vec z) { return {_mm512_fmadd_ps(x.v, y.v, z.v)}; }
inline Vec least(Vec x, Vec y) { return {_mm512_min_ps(x.v, y.v)}; }
inline Vec previous_lane(Vec a) {
  return {_mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(a.v), _mm512_setzero_si512(), 15))};
}
inline Vec next_lane(Vec a) {
  return {_mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_setzero_si512(), _mm512_castps_si512(a.v), 1))};
}
inline Mask above(Vec x, Vec y) { return {_mm512_cmp_ps_mask(x.v, y.v, _CMP_GT_OQ)}; }
inline Vec where(Mask m, Vec a) { return {_mm512_maskz_mov_ps(m.m, a.v)}; }
inline Vec load_fixed(const std::uint16_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu16_epi32(_mm256_load_si256(reinterpret_cast<const __m256i*>(p))))};
}
inline void store_fixed(std::uint16_t* p, Vec a) {
  _mm256_store_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtusepi32_epi16(_mm512_cvtps_epi32(a.v)));
}
inline Vec power_of_two(Vec k) {
  return {_mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(k.v), _mm512_set1_epi32(127)), 23))};
}
inline void prefetch(const float* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }

}  // namespace
