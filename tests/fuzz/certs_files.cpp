// Certificate files as they come by mail, and the texts that people type: base32, z85, serials.
#include <cstdlib>

#include "certs/files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::certs;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto bundle = parse_bundle(text);
  if (bundle && parse_bundle(bundle_text(*bundle)).value() != *bundle) std::abort();
  if (const auto bytes = parse_base32(text); bytes && parse_base32(base32(*bytes)) != bytes) std::abort();
  if (const auto key = parse_z85(text); key && z85(*key) != text) std::abort();
  if (const auto serial = parse_serial(text); serial && parse_serial(to_string(*serial)) != serial) std::abort();
  return 0;
}
