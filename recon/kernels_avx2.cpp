#include "recon/vector_avx2.h"

#include "recon/kernels_body.h"

namespace tomogrid::recon {
extern const Kernels kKernels_avx2;
const Kernels kKernels_avx2{"avx2", forward, backward, ratio, attenuate, add_tree, update, multiply_add};
}  // namespace tomogrid::recon
