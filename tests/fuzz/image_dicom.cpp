// DICOM files and stored identities. What opens must be able to travel.
#include <cstdlib>

#include "image/formats.h"
#include "image/refusal.h"
#include "image/stream_format.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::image;
  const tomogrid::ByteView bytes(data, size);
  try {
    const LoadedScan scan = read_dicom_scan(bytes, {});
    if (!check(scan.projections.geometry, scan.projections.facts).has_value()) std::abort();
    if (!Identity::parse(scan.identity.serialise()).has_value()) std::abort();
  } catch (const Refusal&) {
  }
  try {
    (void)read_dicom_volume(bytes, "");
  } catch (const Refusal&) {
  }
  (void)Identity::parse(bytes);
  return 0;
}
