#include "certs/random.h"

#include <sodium.h>

#include "certs/sodium_ready.h"

namespace tomogrid::certs {

void fill_random(std::span<std::uint8_t> bytes) {
  require_sodium();
  if (!bytes.empty()) randombytes_buf(bytes.data(), bytes.size());
}

}  // namespace tomogrid::certs
