#include "wire/ids.h"

#include <algorithm>

#include "certs/content_hash.h"

namespace tomogrid::wire {

std::array<std::uint8_t, 16> IdSource::next() {
  std::array<std::uint8_t, 40> text{};
  std::copy(seed_.begin(), seed_.end(), text.begin());
  const std::uint64_t number = ++counter_;
  for (std::size_t i = 0; i < 8; ++i) text[32 + i] = static_cast<std::uint8_t>(number >> (8 * i));
  const certs::Digest digest = certs::sha256(text);
  std::array<std::uint8_t, 16> id{};
  std::copy_n(digest.begin(), id.size(), id.begin());
  return id;
}

}  // namespace tomogrid::wire
