// A checkpoint that comes back from a node. What is believed must be written as the same bytes.
#include <algorithm>
#include <cstdlib>

#include "recon/recon.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto checkpoint = tomogrid::recon::parse_checkpoint({data, size});
  if (!checkpoint) return 0;
  const auto again = tomogrid::recon::encode(*checkpoint);
  if (!std::equal(again.begin(), again.end(), data, data + size)) std::abort();
  return 0;
}
