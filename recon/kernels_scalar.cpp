#include "recon/vector_scalar.h"

#include "recon/kernels_body.h"

namespace tomogrid::recon {
extern const Kernels kKernels_scalar;
const Kernels kKernels_scalar{"scalar", forward, backward, ratio, attenuate, add_tree, update, multiply_add};
}  // namespace tomogrid::recon
