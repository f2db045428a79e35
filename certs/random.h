// Randomness of the operating system, by libsodium. Pure code never calls it: it receives Entropy.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace tomogrid::certs {

void fill_random(std::span<std::uint8_t> bytes);

template <std::size_t N>
std::array<std::uint8_t, N> random_bytes() {
  std::array<std::uint8_t, N> bytes{};
  fill_random(bytes);
  return bytes;
}

// A new job::JobId, job::TicketId, job::RequestId, certs::Serial, ...: anything whose only member is `bytes`.
template <class IdType>
IdType random_id() {
  IdType id;
  fill_random(id.bytes);
  return id;
}

}  // namespace tomogrid::certs
