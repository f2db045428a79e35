#include "wire/pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace tomogrid::wire {
namespace {

// Waits for completions as a loop would.
class Waiter {
 public:
  void ring() {
    { const std::lock_guard lock(mutex_); ++rung_; }
    changed_.notify_all();
  }
  void wait_for(Pool& pool, std::size_t wanted) {
    std::size_t seen = 0;
    while (seen < wanted) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return rung_ > 0; });
      rung_ = 0;
      lock.unlock();
      for (Pool::Completion& completion : pool.take()) {
        completion();
        ++seen;
      }
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int rung_ = 0;
};

TEST(Pool, AStrandKeepsItsOrderAndNeverOverlaps) {
  Waiter waiter;
  Pool pool(4, [&] { waiter.ring(); });
  constexpr int kStrands = 3, kEach = 200;
  std::vector<std::uint64_t> strands;
  for (int i = 0; i < kStrands; ++i) strands.push_back(pool.new_strand());
  std::array<std::atomic<int>, kStrands> inside{};
  std::array<int, kStrands> last{};                       // written in turn by whichever thread has the strand
  std::atomic<int> overlaps{0}, disorder{0};
  std::vector<std::vector<int>> completed(kStrands);
  for (int i = 0; i < kEach; ++i) {
    for (std::size_t s = 0; s < kStrands; ++s) {
      pool.submit(strands[s], [&, s, i] {
        if (++inside[s] != 1) ++overlaps;
        if (last[s] != i) ++disorder;
        last[s] = i + 1;
        --inside[s];
        return Pool::Completion([&, s, i] { completed[s].push_back(i); });
      });
    }
  }
  waiter.wait_for(pool, kStrands * kEach);
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(disorder, 0);
  for (const auto& order : completed) {
    ASSERT_EQ(order.size(), static_cast<std::size_t>(kEach));
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  }
}

TEST(Pool, EndsWithWorkWaiting) {
  std::atomic<int> ran{0};
  {
    Pool pool(1, [] {});
    for (int i = 0; i < 1000; ++i) {
      pool.submit(0, [&] {
        ++ran;
        return Pool::Completion([] {});
      });
    }
  }
  EXPECT_LE(ran, 1000);
}

}  // namespace
}  // namespace tomogrid::wire
