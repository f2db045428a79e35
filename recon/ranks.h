// What a reconstruction needs from other processes that work on the same job. The library sees only this; MPI stays in
// one file of the worker program. Every rank calls the same functions in the same order.
#pragma once

#include <cstddef>
#include <span>

namespace tomogrid::recon {

class Ranks {
 public:
  virtual ~Ranks() = default;
  virtual std::size_t rank() const = 0;
  virtual std::size_t size() const = 0;
  // Sends send_counts[r] floats to each rank r, in rank order, and receives receive_counts[r] from each.
  virtual void exchange(std::span<const float> send, std::span<const std::size_t> send_counts, std::span<float> receive,
                        std::span<const std::size_t> receive_counts) = 0;
  // Rank r has filled its part of `all`, the r-th of counts[r] floats; afterwards everyone has everything.
  virtual void gather(std::span<float> all, std::span<const std::size_t> counts) = 0;
  // Element-wise sum. Each element is non-zero on one rank at most, so the order of addition does not matter.
  virtual void merge(std::span<double> values) = 0;
};

// One process.
class SingleRank final : public Ranks {
 public:
  std::size_t rank() const override { return 0; }
  std::size_t size() const override { return 1; }
  void exchange(std::span<const float>, std::span<const std::size_t>, std::span<float>,
                std::span<const std::size_t>) override {}
  void gather(std::span<float>, std::span<const std::size_t>) override {}
  void merge(std::span<double>) override {}
};

}  // namespace tomogrid::recon
