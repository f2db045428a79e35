#include "wire/interval_set.h"

#include <algorithm>

namespace tomogrid::wire {

std::uint64_t IntervalSet::add(std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return 0;
  std::uint64_t added = end - begin;
  auto next = ranges_.upper_bound(begin);
  if (next != ranges_.begin() && std::prev(next)->second >= begin) --next;   // touches or overlaps the one before
  while (next != ranges_.end() && next->first <= end) {
    added -= std::min(end, next->second) > std::max(begin, next->first)
                 ? std::min(end, next->second) - std::max(begin, next->first)
                 : 0;
    begin = std::min(begin, next->first);
    const std::uint64_t old_end = next->second;
    next = ranges_.erase(next);
    if (old_end > end) {
      end = old_end;
      break;                                                                   // nothing further can touch
    }
  }
  ranges_[begin] = end;
  size_ += added;
  return added;
}

bool IntervalSet::contains(std::uint64_t begin, std::uint64_t end) const {
  if (begin >= end) return true;
  const auto next = ranges_.upper_bound(begin);
  return next != ranges_.begin() && std::prev(next)->second >= end;
}

std::uint64_t IntervalSet::prefix() const {
  const auto first = ranges_.begin();
  return first != ranges_.end() && first->first == 0 ? first->second : 0;
}

std::vector<Range> IntervalSet::missing(std::uint64_t begin, std::uint64_t end) const {
  std::vector<Range> holes;
  auto next = ranges_.upper_bound(begin);
  if (next != ranges_.begin()) begin = std::max(begin, std::prev(next)->second);
  for (; begin < end && next != ranges_.end() && next->first < end; ++next) {
    if (begin < next->first) holes.emplace_back(begin, next->first);
    begin = std::max(begin, next->second);
  }
  if (begin < end) holes.emplace_back(begin, end);
  return holes;
}

}  // namespace tomogrid::wire
