// Interfile headers, with data of zeros behind them. What opens must be able to travel.
#include <cstdlib>

#include "image/formats.h"
#include "image/refusal.h"
#include "image/stream_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::image;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const DataFile zeros = [](const std::string&, std::uint64_t, std::uint64_t length) {
    if (length > 65536) refuse("too much for a fuzzer");
    return tomogrid::ByteString(length);
  };
  try {
    const LoadedScan scan = read_interfile_scan(text, zeros, {});
    if (!check(scan.projections.geometry, scan.projections.facts).has_value()) std::abort();
  } catch (const Refusal&) {
  }
  try {
    (void)read_interfile_volume(text, zeros, "");
  } catch (const Refusal&) {
  }
  return 0;
}
