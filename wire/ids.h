// Ids for machines that have no random source of their own: a keyed, counted stream from one Entropy seed, so that a
// simulated run repeats from its seed and a real one cannot be guessed.
#pragma once

#include <array>
#include <cstdint>

#include "job/job.h"

namespace tomogrid::wire {

class IdSource {
 public:
  void seed(const std::array<std::uint8_t, 32>& seed) { seed_ = seed; }
  // The first 16 bytes of SHA-256(seed || counter); both have a fixed length, so no extension is possible.
  std::array<std::uint8_t, 16> next();
  template <class IdType>
  IdType make() { return IdType{next()}; }

 private:
  std::array<std::uint8_t, 32> seed_{};
  std::uint64_t counter_ = 0;
};

}  // namespace tomogrid::wire
