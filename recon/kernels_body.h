// The kernels over whichever Vec has been included before. Included once by each kernels_*.cpp; everything has internal
// linkage, so that code for one instruction set can never be picked by the linker for another.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "recon/kernels.h"

namespace {

using namespace tomogrid::recon;

// Flushes denormals while in scope: they cost a hundred cycles each, and every kernel must treat them alike.
class FlushDenormals {
 public:
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040U); }
  ~FlushDenormals() { _mm_setcsr(saved_); }
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

// Q is the number of steps when known at compile time, else 0.
template <std::size_t Q>
constexpr std::size_t steps_of(std::size_t steps) {
  return Q != 0 ? Q : steps;
}
template <std::size_t Q>
constexpr std::size_t room_for(std::size_t ends) {
  return (Q != 0 ? Q : kMaxSteps) + ends;
}

// line[2 .. 2 + q) is a whole axial line; fills in two rows beyond each end.
template <std::size_t Q>
inline void extend_two(Vec* line, std::size_t q) {
  line[0] = previous_lane(line[q]);
  line[1] = previous_lane(line[q + 1]);
  line[q + 2] = next_lane(line[2]);
  line[q + 3] = next_lane(line[3]);
}

inline Vec five_taps(const Vec* centre, const Vec& c0, const Vec& c1, const Vec& c2) {
  const Vec outer = add(centre[-2], centre[2]), inner = add(centre[-1], centre[1]);
  return fma(c2, outer, fma(c1, inner, multiply(c0, centre[0])));
}

// The line of factors of an entry ahead of `e`; lines follow each other, but not across pages, where processors do not look.
inline void fetch_factors(const ViewRows& view, std::uint32_t e, std::size_t line_size) {
  const std::uint32_t factors = view.entries[e + kFactorsAhead].factors;
  if (factors == kUnattenuated) return;
  const std::uint16_t* ahead = view.attenuation + factors * line_size;
  for (std::size_t j = 0; j < line_size; j += 32) prefetch(reinterpret_cast<const float*>(ahead + j));
}

// lines[n] = filtered (attenuation x image line) for entries [begin, end).
template <std::size_t Q, bool kAttenuated>
void weigh(const ViewRows& view, std::uint32_t begin, std::uint32_t end, const float* image, const Workspace& work) {
  const std::size_t q = steps_of<Q>(work.steps), line_size = q * kLanes;
  Vec line[room_for<Q>(4)];
  for (std::uint32_t e = begin; e < end; ++e) {
    const RowEntry& entry = view.entries[e];
    const float* source = image + entry.column * line_size;
    const float* ahead = image + view.entries[e + kAhead].column * line_size;  // entries are padded by 8
    for (std::size_t j = 0; j < q; ++j) prefetch(ahead + j * kLanes);
    if constexpr (kAttenuated) fetch_factors(view, e, line_size);
    for (std::size_t j = 0; j < q; ++j) line[j + 2] = load(source + j * kLanes);
    if constexpr (kAttenuated) {
      if (entry.factors == kUnattenuated) {
        for (std::size_t j = 0; j < q; ++j) line[j + 2] = multiply(line[j + 2], set(kAttenuationScale));
      } else {
        const std::uint16_t* factors = view.attenuation + entry.factors * line_size;
        for (std::size_t j = 0; j < q; ++j) line[j + 2] = multiply(line[j + 2], load_fixed(factors + j * kLanes));
      }
    }
    extend_two<Q>(line, q);
    const Vec c0 = set(entry.along[0]), c1 = set(entry.along[1]), c2 = set(entry.along[2]);
    float* out = work.lines + (e - begin) * line_size;
    for (std::size_t j = 0; j < q; ++j) store(out + j * kLanes, five_taps(line + j + 2, c0, c1, c2));
  }
}

// Exact transpose of weigh(): image lines += attenuation x filtered lines.
template <std::size_t Q, bool kAttenuated>
void unweigh(const ViewRows& view, std::uint32_t begin, std::uint32_t end, float* image, const Workspace& work) {
  const std::size_t q = steps_of<Q>(work.steps), line_size = q * kLanes;
  Vec line[room_for<Q>(4)];
  for (std::uint32_t e = begin; e < end; ++e) {
    const RowEntry& entry = view.entries[e];
    const float* ahead = image + view.entries[e + kAhead].column * line_size;
    for (std::size_t j = 0; j < q; ++j) prefetch(ahead + j * kLanes);
    if constexpr (kAttenuated) fetch_factors(view, e, line_size);
    const float* in = work.lines + (e - begin) * line_size;
    for (std::size_t j = 0; j < q; ++j) line[j + 2] = load(in + j * kLanes);
    extend_two<Q>(line, q);
    const Vec c0 = set(entry.along[0]), c1 = set(entry.along[1]), c2 = set(entry.along[2]);
    float* target = image + entry.column * line_size;
    const bool fresh = work.written != nullptr && work.written[entry.column] == 0;
    const auto accumulate = [&](auto factor) {
      if (fresh) {  // a sum with 0, without the 0
        for (std::size_t j = 0; j < q; ++j)
          store(target + j * kLanes, multiply(factor(j), five_taps(line + j + 2, c0, c1, c2)));
        work.written[entry.column] = 1;
        return;
      }
      for (std::size_t j = 0; j < q; ++j) {
        store(target + j * kLanes, fma(factor(j), five_taps(line + j + 2, c0, c1, c2), load(target + j * kLanes)));
      }
    };
    if (!kAttenuated) {
      accumulate([](std::size_t) { return set(1.0F); });
    } else if (entry.factors == kUnattenuated) {
      accumulate([](std::size_t) { return set(kAttenuationScale); });
    } else {
      const std::uint16_t* factors = view.attenuation + entry.factors * line_size;
      accumulate([factors](std::size_t j) { return load_fixed(factors + j * kLanes); });
    }
  }
}

// Adds the run's lines to its six bins, C vectors of the line at a time.
template <std::size_t C>
inline void splat_chunk(const RowEntry* entries, const Run& run, const float* lines, float* rows,
                        std::size_t line_size) {
  Vec sum[kTaps][C];
  for (std::size_t k = 0; k < kTaps; ++k)
    for (std::size_t c = 0; c < C; ++c) sum[k][c] = load(rows + k * line_size + c * kLanes);
  for (std::uint32_t e = run.begin; e < run.end; ++e, lines += line_size) {
    Vec value[C];
    for (std::size_t c = 0; c < C; ++c) value[c] = load(lines + c * kLanes);
    for (std::size_t k = 0; k < kTaps; ++k) {
      const Vec weight = set(entries[e].across[k]);
      for (std::size_t c = 0; c < C; ++c) sum[k][c] = fma(weight, value[c], sum[k][c]);
    }
  }
  for (std::size_t k = 0; k < kTaps; ++k)
    for (std::size_t c = 0; c < C; ++c) store(rows + k * line_size + c * kLanes, sum[k][c]);
}

// Its transpose: each line from the six bins.
template <std::size_t C>
inline void gather_chunk(const RowEntry* entries, const Run& run, float* lines, const float* rows,
                         std::size_t line_size) {
  Vec bin[kTaps][C];
  for (std::size_t k = 0; k < kTaps; ++k)
    for (std::size_t c = 0; c < C; ++c) bin[k][c] = load(rows + k * line_size + c * kLanes);
  for (std::uint32_t e = run.begin; e < run.end; ++e, lines += line_size) {
    Vec value[C];
    for (std::size_t k = 0; k < kTaps; ++k) {
      const Vec weight = set(entries[e].across[k]);
      for (std::size_t c = 0; c < C; ++c)
        value[c] = k == 0 ? multiply(weight, bin[0][c]) : fma(weight, bin[k][c], value[c]);
    }
    for (std::size_t c = 0; c < C; ++c) store(lines + c * kLanes, value[c]);
  }
}

template <std::size_t Q, bool kForward>
void exchange(const ViewRows& view, std::uint32_t run_begin, std::uint32_t run_end, float* state,
              const Workspace& work) {
  const std::size_t q = steps_of<Q>(work.steps), line_size = q * kLanes;
  const std::uint32_t first = view.runs[run_begin].begin;
  std::size_t j = 0;
  const auto pass = [&]<std::size_t C>() {
    for (; j + C <= q; j += C) {
      for (std::uint32_t r = run_begin; r < run_end; ++r) {
        const Run& run = view.runs[r];
        float* lines = work.lines + (run.begin - first) * line_size + j * kLanes;
        float* rows = state + run.bin * line_size + j * kLanes;
        if constexpr (kForward)
          splat_chunk<C>(view.entries, run, lines, rows, line_size);
        else
          gather_chunk<C>(view.entries, run, lines, rows, line_size);
      }
    }
  };
  if constexpr (kForward)
    pass.template operator()<kSplatChunk>();
  else
    pass.template operator()<kGatherChunk>();
  pass.template operator()<1>();
}

// The runs of a layer, a block of at most 2 kRunLimit entries at a time.
template <class F>
inline void for_blocks(const ViewRows& view, const Layer& layer, F f) {
  for (std::uint32_t r = layer.run_begin; r < layer.run_end;) {
    std::uint32_t stop = r + 1;
    while (stop < layer.run_end && view.runs[stop].end - view.runs[r].begin <= 2 * kRunLimit) ++stop;
    f(r, stop);
    r = stop;
  }
}

struct Interval {
  std::uint32_t low, high;
};

// Rows `out` of the state = 3-tap diffusion along u and z of its rows `in`; what lies outside `in` counts as zero.
template <std::size_t Q>
void diffuse(const Layer& layer, Interval in, Interval out, float* state, const Workspace& work) {
  const std::size_t q = steps_of<Q>(work.steps), line_size = q * kLanes;
  const Vec u0 = set(layer.u_centre), u1 = set(layer.u_side), z0 = set(layer.z_centre), z1 = set(layer.z_side);
  Vec before[room_for<Q>(0)], line[room_for<Q>(2)];  // line[1 .. 1 + q)
  const auto inside = [&](std::uint32_t b) { return b >= in.low && b < in.high; };
  for (std::size_t j = 0; j < q; ++j) {
    before[j] = out.low > 0 && inside(out.low - 1) ? load(state + (out.low - 1) * line_size + j * kLanes) : set(0.0F);
  }
  for (std::uint32_t b = out.low; b < out.high; ++b) {
    float* row = state + b * line_size;
    const bool here = inside(b), next = inside(b + 1);
    for (std::size_t j = 0; j < q; ++j) {
      const Vec current = here ? load(row + j * kLanes) : set(0.0F);
      const Vec sides = next ? add(before[j], load(row + line_size + j * kLanes)) : before[j];
      line[j + 1] = fma(u1, sides, multiply(u0, current));
      before[j] = current;
    }
    line[0] = previous_lane(line[q]);
    line[q + 1] = next_lane(line[1]);
    for (std::size_t j = 0; j < q; ++j) {
      store(row + j * kLanes, fma(z1, add(line[j], line[j + 2]), multiply(z0, line[j + 1])));
    }
  }
}

inline void clear(float* state, std::size_t line_size, std::size_t low, std::size_t high) {
  if (low < high) std::memset(state + low * line_size, 0, (high - low) * line_size * sizeof(float));
}

// Layer n of one view, from far to near: what the farther layers have left is diffused to here, then this one is added.
template <std::size_t Q, bool kAttenuated>
void forward_layer(const ViewRows& view, std::size_t n, const float* image, float* state, const Workspace& work) {
  const std::size_t line_size = work.steps * kLanes;
  const Layer& layer = view.layers[n];
  const Interval farther = n > 0 ? Interval{view.layers[n - 1].low, view.layers[n - 1].high} : Interval{0, 0};
  if (farther.low < farther.high) {
    const Interval wider{farther.low > 0 ? farther.low - 1 : 0,
                         farther.high < work.state_bins ? farther.high + 1 : farther.high};
    diffuse<Q>(view.layers[n - 1], farther, wider, state, work);
    clear(state, line_size, layer.low, wider.low);
    clear(state, line_size, wider.high, layer.high);
  } else {
    clear(state, line_size, layer.low, layer.high);
  }
  for_blocks(view, layer, [&](std::uint32_t begin, std::uint32_t end) {
    weigh<Q, kAttenuated>(view, view.runs[begin].begin, view.runs[end - 1].end, image, work);
    exchange<Q, true>(view, begin, end, state, work);
  });
}

// Its transpose: this layer takes its share of the state, which is then diffused to the next farther one.
template <std::size_t Q, bool kAttenuated>
void backward_layer(const ViewRows& view, std::size_t n, float* image, float* state, const Workspace& work) {
  for_blocks(view, view.layers[n], [&](std::uint32_t begin, std::uint32_t end) {
    exchange<Q, false>(view, begin, end, state, work);
    unweigh<Q, kAttenuated>(view, view.runs[begin].begin, view.runs[end - 1].end, image, work);
  });
  if (n == 0) return;
  const Layer& farther = view.layers[n - 1];
  if (farther.low >= farther.high) return;
  const Interval out{farther.low, farther.high};
  const Interval in{out.low > 0 ? out.low - 1 : 0, out.high < work.state_bins ? out.high + 1 : out.high};
  diffuse<Q>(farther, in, out, state, work);
}

// f(steps as a constant, whether attenuated as a constant): one instance for each number of steps that common matrices
// have (64, 128, 256 rows), and one for all others.
template <bool kAttenuated, class F>
inline void with_steps(std::size_t steps, F f) {
  switch (steps) {
    case 4:
      return f.template operator()<4, kAttenuated>();
    case 8:
      return f.template operator()<8, kAttenuated>();
    case 16:
      return f.template operator()<16, kAttenuated>();
    default:
      return f.template operator()<0, kAttenuated>();
  }
}
template <class F>
inline void specialised(const ViewRows& view, std::size_t steps, F f) {
  view.attenuation != nullptr ? with_steps<true>(steps, f) : with_steps<false>(steps, f);
}

inline std::size_t most_layers(const ViewRows* views, std::size_t count) {
  std::size_t most = 0;
  for (std::size_t v = 0; v < count; ++v) most = views[v].layer_count > most ? views[v].layer_count : most;
  return most;
}

void forward(const ViewRows* views, std::size_t count, const float* image, const Workspace& work) {
  const FlushDenormals guard;
  const std::size_t line_size = work.steps * kLanes;
  for (std::size_t level = most_layers(views, count); level-- > 0;) {
    for (std::size_t v = 0; v < count; ++v) {
      if (level >= views[v].layer_count) continue;
      specialised(views[v], work.steps, [&]<std::size_t Q, bool kAttenuated>() {
        forward_layer<Q, kAttenuated>(views[v], views[v].layer_count - 1 - level, image,
                                      work.states + v * work.state_bins * line_size, work);
      });
    }
  }
  for (std::size_t v = 0; v < count; ++v) {
    const Layer& last = views[v].layers[views[v].layer_count - 1];
    float* state = work.states + v * work.state_bins * line_size;
    clear(state, line_size, 0, last.low);
    clear(state, line_size, last.high, work.state_bins);
  }
}

void backward(const ViewRows* views, std::size_t count, float* image, const Workspace& work) {
  const FlushDenormals guard;
  const std::size_t most = most_layers(views, count);
  for (std::size_t level = 0; level < most; ++level) {
    for (std::size_t v = 0; v < count; ++v) {
      if (level >= views[v].layer_count) continue;
      specialised(views[v], work.steps, [&]<std::size_t Q, bool kAttenuated>() {
        backward_layer<Q, kAttenuated>(views[v], views[v].layer_count - 1 - level, image,
                                       work.states + v * work.state_bins * work.steps * kLanes, work);
      });
    }
  }
}

// log x = exponent ln 2 + log mantissa, mantissa in [sqrt(1/2), sqrt(2)); the second term to 1e-7 of itself. Summed
// apart, in double, the two give a likelihood to 1e-11 of itself although each logarithm is a float.
inline Vec log_of_mantissa(const Vec& mantissa) {
  const Vec t = subtract(mantissa, set(1.0F)), square = multiply(t, t);  // Cephes logf, S. Moshier
  Vec p = set(7.0376836292e-2F);
  p = fma(p, t, set(-1.1514610310e-1F));
  p = fma(p, t, set(1.1676998740e-1F));
  p = fma(p, t, set(-1.2420140846e-1F));
  p = fma(p, t, set(1.4249322787e-1F));
  p = fma(p, t, set(-1.6668057665e-1F));
  p = fma(p, t, set(2.0000714765e-1F));
  p = fma(p, t, set(-2.4999993993e-1F));
  p = fma(p, t, set(3.3333331174e-1F));
  return add(t, multiply(square, fma(p, t, set(-0.5F))));
}

void ratio(float* plane, const float* measured, const float* background, const float* mask, std::size_t bins,
           std::size_t steps, PlaneTotals& totals) {
  const FlushDenormals guard;
  const Vec least_model = set(1e-30F), one = set(1.0F);
  Sum expected_sum, exponent_sum, mantissa_sum, excluded_sum;
  for (std::size_t n = 0, step = 0; n < bins * steps; ++n, step = step + 1 == steps ? 0 : step + 1) {
    float* here = plane + n * kLanes;
    Vec expected = multiply(load(here), load(mask + step * kLanes));
    if (background != nullptr) expected = add(expected, load(background + n * kLanes));
    const Vec counts = load(measured + n * kLanes);
    const Mask modelled = above(expected, least_model);
    store(here, where(modelled, divide(counts, expected)));
    Vec exponent, mantissa;
    split(choose(modelled, expected, one), exponent, mantissa);
    const Vec known = where(modelled, counts);
    expected_sum.add_product(expected, one);
    exponent_sum.add_product(known, exponent);
    mantissa_sum.add_product(known, log_of_mantissa(mantissa));
    excluded_sum.add_product(subtract(counts, known), one);
  }
  totals.expected += expected_sum.total();
  totals.log_term += __builtin_fma(exponent_sum.total(), 6.93147180559945286227e-01, mantissa_sum.total());
  totals.excluded += excluded_sum.total();
}

// 65535 exp(-L) to the nearest whole number; L is held below 20, where that is 0. Polynomial: Taylor to the sixth power
// on |r| <= 0.347, 2e-7 relative.
inline Vec fixed_exponential(const Vec& integral) {
  const Vec round = set(12582912.0F);  // 1.5 x 2^23: adding it rounds to a whole number
  const Vec x = subtract(set(0.0F), least(integral, set(20.0F)));
  const Vec k = subtract(fma(x, set(1.44269504F), round), round);
  const Vec r = fma(k, set(-1.42860677e-6F), fma(k, set(-0.693145752F), x));
  Vec p = set(1.0F / 720.0F);
  p = fma(p, r, set(1.0F / 120.0F));
  p = fma(p, r, set(1.0F / 24.0F));
  p = fma(p, r, set(1.0F / 6.0F));
  p = fma(p, r, set(0.5F));
  p = fma(p, r, set(1.0F));
  p = fma(p, r, set(1.0F));
  const Vec value = multiply(multiply(p, power_of_two(k)), set(kAttenuationScale));
  return least(subtract(add(value, round), round), set(kAttenuationScale));
}

void attenuate(const RayGrid& grid, const float* map_slab, float* integrals, std::uint16_t* out,
               std::size_t out_stride) {
  const FlushDenormals guard;
  const auto interpolate = [](const RaySample& at, const float* from, std::size_t stride) {
    const float* p = from + at.base * kLanes;
    Vec value = multiply(set(at.weight[0]), load(p));
    value = fma(set(at.weight[1]), load(p + kLanes), value);
    value = fma(set(at.weight[2]), load(p + stride * kLanes), value);
    return fma(set(at.weight[3]), load(p + (stride + 1) * kLanes), value);
  };
  const Vec half = set(grid.half_step);
  const RaySample* sample = grid.samples;
  for (std::size_t line = 0; line < grid.lines; ++line) {
    float* integral = integrals + line * grid.per_line * kLanes;
    Vec before = set(0.0F), sum = set(0.0F);
    for (std::size_t n = 0; n < grid.per_line; ++n, ++sample, integral += kLanes) {
      const Vec here = interpolate(*sample, map_slab, grid.map_stride);
      sum = fma(half, add(before, here), sum);
      store(integral, sum);
      before = here;
    }
  }
  for (std::size_t e = 0; e < grid.entry_count; ++e, out += out_stride) {
    store_fixed(out, fixed_exponential(interpolate(grid.entries[e], integrals, grid.per_line)));
  }
}

constexpr std::size_t kTreeBlock = 16;  // vectors of each part held at a time
constexpr std::size_t kTreeParts = 64;

void add_tree(const float* const* parts, std::size_t count, float* out, std::size_t n) {
  const FlushDenormals guard;
  alignas(64) float buffer[kTreeParts][kTreeBlock * kLanes];
  for (std::size_t begin = 0; begin < n; begin += kTreeBlock * kLanes) {
    const std::size_t size = n - begin < kTreeBlock * kLanes ? n - begin : kTreeBlock * kLanes;
    for (std::size_t p = 0; p < count; p += 2) {  // leaves are added as they are read
      if (parts[p] == nullptr) continue;
      const bool pair = p + 1 < count && parts[p + 1] != nullptr;
      for (std::size_t i = 0; i < size; i += kLanes) {
        const Vec left = load(parts[p] + begin + i);
        store(buffer[p] + i, pair ? add(left, load(parts[p + 1] + begin + i)) : left);
      }
    }
    for (std::size_t distance = 2; distance < count; distance *= 2) {
      for (std::size_t p = 0; p + distance < count; p += 2 * distance) {
        if (parts[p + distance] == nullptr) continue;
        for (std::size_t i = 0; i < size; i += kLanes)
          store(buffer[p] + i, add(load(buffer[p] + i), load(buffer[p + distance] + i)));
      }
    }
    for (std::size_t i = 0; i < size; i += kLanes) store(out + begin + i, load(buffer[0] + i));
  }
}

void update(float* estimate, const float* correction, const float* sensitivity, std::size_t n) {
  const FlushDenormals guard;
  const Vec zero = set(0.0F);
  for (std::size_t i = 0; i < n; i += kLanes) {
    const Vec s = load(sensitivity + i);
    const Vec grown = divide(multiply(load(estimate + i), load(correction + i)), s);
    store(estimate + i, where(above(s, zero), grown));
  }
}

float multiply_add(std::size_t rounds) {
  Vec sum[24];
  for (std::size_t i = 0; i < 24; ++i) sum[i] = set(static_cast<float>(i));
  const Vec factor = set(0.999F), term = set(0.001F);
  for (std::size_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (std::size_t i = 0; i < 24; ++i) sum[i] = fma(sum[i], factor, term);
  }
  for (std::size_t i = 1; i < 24; ++i) sum[0] = add(sum[0], sum[i]);
  alignas(64) float lanes[kLanes];
  store(lanes, sum[0]);
  return lanes[0];
}

}  // namespace
