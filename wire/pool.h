// A few threads for work that would hold up the loop: hashing, stream reads and writes. They own no state: work goes in as a
// closure, its result comes back as a closure that the loop runs.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace tomogrid::wire {

class Pool final {
 public:
  using Completion = std::function<void()>;          // runs, and is destroyed, on the loop's thread
  using Work = std::function<Completion()>;          // runs on a pool thread; holds what it needs alive by way of its completion

  // `wake` is called from a pool thread when take() has something.
  Pool(unsigned threads, std::function<void()> wake);
  // Waits for what runs; what has not begun is dropped.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // A strand runs one work at a time, in order. 0: no strand, any thread at any time.
  std::uint64_t new_strand() { return ++last_strand_; }
  void submit(std::uint64_t strand, Work work);
  // Completions so far, in order. Loop's thread.
  std::vector<Completion> take();

 private:
  struct Task {
    std::uint64_t strand = 0;
    Work work;
  };
  void serve();
  bool pick(Task& task);                             // Requires the lock

  std::function<void()> wake_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Task> ready_;                           // at most one task of each strand
  std::map<std::uint64_t, std::deque<Work>> waiting_;   // strands with work running or ready, and what waits behind it
  std::vector<Completion> done_;
  bool stopping_ = false;
  std::uint64_t last_strand_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace tomogrid::wire
