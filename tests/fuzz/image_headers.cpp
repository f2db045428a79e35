// The JSON headers that come to a node from the network. What is read must pass the checks and encode to the same
// value.
#include <cstdlib>

#include "image/stream_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::image;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto scan = parse_projections_header(text)) {
    if (!check(scan->geometry, scan->facts).has_value()) std::abort();
    const auto again = parse_projections_header(encode_header(scan->geometry, scan->facts));
    if (!again || *again != *scan) std::abort();
  }
  if (const auto volume = parse_volume_header(text)) {
    const auto again = parse_volume_header(encode_header(volume->geometry, volume->unit));
    if (!again || *again != *volume) std::abort();
  }
  return 0;
}
