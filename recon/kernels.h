// The arithmetic of a projection, as free functions over plain arrays, once per instruction set with the same bits.
//
// Storage. Every axial line of `rows` numbers is padded to 16 * steps and laid out as [step][lane]: lane i, step j
// holds padded row steps * i + j. A shift by one row is then the neighbouring vector, and only its two ends move
// between lanes.
//   image      [column][step][lane]     over the columns of the support only
//   plane      [bin][step][lane]        one view; `state` is a plane with margins at both sides
// A view's columns are sorted by (layer, first bin). Sums are formed in that order whatever the vector width, every
// multiply-add that is meant to be fused is fused, and denormals are flushed in all instruction sets alike.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tomogrid::recon {

inline constexpr std::size_t kLanes = 16;
inline constexpr std::size_t kTaps = 6;         // bins that a column meets before diffusion
inline constexpr std::size_t kMaxSteps = 256;   // 4096 rows
inline constexpr std::uint32_t kRunLimit = 32;  // columns in a run; two runs' worth of lines stay in L1
inline constexpr std::size_t kBatch = 4;        // views that go through the image together
inline constexpr std::size_t kAhead = 4;        // entries whose image lines are fetched ahead of use
inline constexpr std::size_t kFactorsAhead = 8;  // the same for their lines of factors, which come from memory
inline constexpr std::uint32_t kUnattenuated = 0xffffffffU;
inline constexpr float kAttenuationScale = 65535.0F;

// A column of the image as one view sees it: its line is filtered along z by (c2, c1, c0, c1, c2), then added to kTaps
// bins from the run's first with these weights. Attenuation's fixed-point scale and decay are inside `along`.
struct RowEntry {
  std::uint32_t column;
  std::uint32_t factors;  // its line in the view's attenuation table; kUnattenuated: all 1
  float along[3];
  float across[kTaps];
};

// Consecutive entries with the same first bin. `bin` counts in the state, margins included.
struct Run {
  std::uint32_t bin, begin, end;
};

// Columns whose response is nearly the same. [low, high): rows of the state in use after this layer has been added.
// (near, far) = the 3-tap diffusion (side, centre) along u and along z that leads from this layer to the next nearer.
struct Layer {
  std::uint32_t run_begin, run_end;
  std::uint32_t low, high;
  float u_centre, u_side, z_centre, z_side;
};

// One view. Layers run from the farthest to the nearest, which is level 0. attenuation: [line][step][lane], or null.
struct ViewRows {
  const RowEntry* entries;
  const Run* runs;
  const Layer* layers;
  std::size_t layer_count;
  const std::uint16_t* attenuation;
};

// A thread's own memory; aligned to 64 bytes.
struct Workspace {
  float* states;  // [view of the batch][state_bins][step][lane]
  float* lines;   // [2 * kRunLimit][step][lane]
  std::size_t state_bins, steps;
  // [column]: 0 where the image that backward() adds to has not been written yet, whatever lies there. Null: all has been.
  std::uint8_t* written = nullptr;
};

// A point of the ray grid: the mean of four neighbouring columns of the map.
struct RaySample {
  std::uint32_t base;  // of the map's slab, in vectors; its neighbours are +1, +stride, +stride+1
  float weight[4];
};
// The attenuation of one view: lines parallel to the detector's normal, `per_line` samples each from near to far.
struct RayGrid {
  const RaySample* samples;  // [line][sample]
  std::size_t lines, per_line;
  std::size_t map_stride;    // vectors between rows of the map
  float half_step;           // mm
  const RaySample* entries;  // where each entry lies between samples and lines: base in samples, stride per_line
  std::size_t entry_count;
};

// What is known about expected counts in a plane.
struct PlaneTotals {
  double expected = 0;  // sum of ybar
  double log_term = 0;  // sum of y log(ybar)
  double excluded = 0;  // counts in bins without a model
};

struct Kernels {
  const char* name;
  // states[v] = A_v image for up to kBatch views, level by level together: neighbouring views meet the same columns at
  // the same level, which are then still in the core's own cache. Rows never touched are set to 0.
  void (*forward)(const ViewRows* views, std::size_t count, const float* image, const Workspace&);
  // image += sum over v of A_v^T states[v], in the order (level, view). The states are used up.
  void (*backward)(const ViewRows* views, std::size_t count, float* image, const Workspace&);
  // plane: in A x, out y / (A x + r) where that is above zero; mask [step][lane] is 1 on real rows. r may be null.
  void (*ratio)(float* plane, const float* measured, const float* background, const float* mask, std::size_t bins,
                std::size_t steps, PlaneTotals&);
  // out [entry][step][lane] for one step: exp(-line integral) in fixed point. integrals: [line][sample] vectors.
  void (*attenuate)(const RayGrid&, const float* map_slab, float* integrals, std::uint16_t* out,
                    std::size_t out_stride);
  // out = sum of `parts` as a binary tree over their indices; n is a multiple of 16; at most 64 parts. A null part is
  // one that is already inside the part at the start of its subtree.
  void (*add_tree)(const float* const* parts, std::size_t count, float* out, std::size_t n);
  // estimate *= correction / sensitivity where sensitivity > 0, else 0.
  void (*update)(float* estimate, const float* correction, const float* sensitivity, std::size_t n);
  // 24 x 16 independent multiply-adds, `rounds` times: what the processor can do at best. For the benchmark.
  float (*multiply_add)(std::size_t rounds);
};

enum class InstructionSet { Best, Scalar, Avx2, Avx512 };
// Best: the widest this processor has. Requires that it has what is asked (see has()).
const Kernels& kernels(InstructionSet set = InstructionSet::Best);
bool has(InstructionSet set);

}  // namespace tomogrid::recon
