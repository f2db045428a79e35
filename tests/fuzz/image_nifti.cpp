// NIfTI headers and gzip.
#include "image/formats.h"
#include "image/refusal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::image;
  const tomogrid::ByteView bytes(data, size);
  try {
    if (looks_like_gzip(bytes))
      (void)unpack_gzip(bytes, 1 << 20);
    else
      (void)read_nifti(bytes, "");
  } catch (const Refusal&) {
  }
  return 0;
}
