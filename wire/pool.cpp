#include "wire/pool.h"

#include <utility>

namespace tomogrid::wire {

Pool::Pool(unsigned threads, std::function<void()> wake) : wake_(std::move(wake)) {
  for (unsigned i = 0; i < (threads == 0 ? 1 : threads); ++i) threads_.emplace_back([this] { serve(); });
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Pool::submit(std::uint64_t strand, Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (strand != 0) {
      const auto [queue, first] = waiting_.try_emplace(strand);
      if (!first) {
        queue->second.push_back(std::move(work));
        return;
      }
    }
    ready_.push_back({strand, std::move(work)});
  }
  changed_.notify_one();
}

std::vector<Pool::Completion> Pool::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

bool Pool::pick(Task& task) {
  if (ready_.empty()) return false;
  task = std::move(ready_.front());
  ready_.pop_front();
  return true;
}

void Pool::serve() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !ready_.empty(); });
      if (stopping_) return;
      if (!pick(task)) continue;
    }
    Completion completion = task.work();
    task.work = nullptr;
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      done_.push_back(std::move(completion));
      if (task.strand != 0) {
        const auto queue = waiting_.find(task.strand);
        if (queue->second.empty()) {
          waiting_.erase(queue);
        } else {
          ready_.push_back({task.strand, std::move(queue->second.front())});
          queue->second.pop_front();
          more = true;
        }
      }
    }
    if (more) changed_.notify_one();
    wake_();
  }
}

}  // namespace tomogrid::wire
