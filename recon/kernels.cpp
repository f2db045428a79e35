#include "recon/kernels.h"

#include "base/result.h"

namespace tomogrid::recon {

extern const Kernels kKernels_scalar, kKernels_avx2, kKernels_avx512;

bool has(InstructionSet set) {
  if (set != InstructionSet::Avx512) return true;  // x86-64-v3 is the baseline of the whole program
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
}

const Kernels& kernels(InstructionSet set) {
  if (set == InstructionSet::Best) set = has(InstructionSet::Avx512) ? InstructionSet::Avx512 : InstructionSet::Avx2;
  TOMOGRID_ASSERT(has(set));
  switch (set) {
    case InstructionSet::Scalar:
      return kKernels_scalar;
    case InstructionSet::Avx512:
      return kKernels_avx512;
    default:
      return kKernels_avx2;
  }
}

}  // namespace tomogrid::recon
