// Ranks as threads of this process, which exchange through shared memory: what MPI does, without MPI.
#pragma once

#include <algorithm>
#include <barrier>
#include <thread>
#include <vector>

#include "recon/ranks.h"

namespace tomogrid::recon {

class Meeting {
 public:
  explicit Meeting(std::size_t size) : size_(size), barrier_(static_cast<std::ptrdiff_t>(size)), views_(size) {}
  struct View {
    std::span<const float> send;
    std::span<const std::size_t> counts;
    std::span<float> all;
    std::span<double> doubles;
  };
  void wait() { barrier_.arrive_and_wait(); }
  std::size_t size_;
  std::barrier<> barrier_;
  std::vector<View> views_;
};

class ThreadRank final : public Ranks {
 public:
  ThreadRank(Meeting& meeting, std::size_t rank) : meeting_(meeting), rank_(rank) {}
  std::size_t rank() const override { return rank_; }
  std::size_t size() const override { return meeting_.size_; }
  void exchange(std::span<const float> send, std::span<const std::size_t> send_counts, std::span<float> receive,
                std::span<const std::size_t>) override {
    meeting_.views_[rank_] = {send, send_counts, {}, {}};
    meeting_.wait();
    std::size_t out = 0;
    for (const Meeting::View& from : meeting_.views_) {
      std::size_t begin = 0;
      for (std::size_t r = 0; r < rank_; ++r) begin += from.counts[r];
      std::copy_n(from.send.begin() + static_cast<std::ptrdiff_t>(begin), from.counts[rank_],
                  receive.begin() + static_cast<std::ptrdiff_t>(out));
      out += from.counts[rank_];
    }
    meeting_.wait();
  }
  void gather(std::span<float> all, std::span<const std::size_t> counts) override {
    meeting_.views_[rank_] = {{}, counts, all, {}};
    meeting_.wait();
    std::size_t begin = 0;
    for (std::size_t r = 0; r < size(); ++r) {
      if (r != rank_)
        std::copy_n(meeting_.views_[r].all.begin() + static_cast<std::ptrdiff_t>(begin), counts[r],
                    all.begin() + static_cast<std::ptrdiff_t>(begin));
      begin += counts[r];
    }
    meeting_.wait();
  }
  void merge(std::span<double> values) override {
    meeting_.views_[rank_] = {{}, {}, {}, values};
    meeting_.wait();
    std::vector<double> sum(values.size(), 0.0);
    for (const Meeting::View& from : meeting_.views_) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += from.doubles[i];
    }
    meeting_.wait();
    std::copy(sum.begin(), sum.end(), values.begin());
    meeting_.wait();
  }

 private:
  Meeting& meeting_;
  std::size_t rank_;
};

// work(rank) on `size` ranks at once.
template <class Work>
void with_ranks(std::size_t size, Work work) {
  Meeting meeting(size);
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < size; ++r) {
    threads.emplace_back([&meeting, &work, r] {
      ThreadRank rank(meeting, r);
      work(rank);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace tomogrid::recon
