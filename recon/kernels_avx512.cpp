#include "recon/vector_avx512.h"

#include "recon/kernels_body.h"

namespace tomogrid::recon {
extern const Kernels kKernels_avx512;
const Kernels kKernels_avx512{"avx512", forward, backward, ratio, attenuate, add_tree, update, multiply_add};
}  // namespace tomogrid::recon
