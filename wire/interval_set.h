// Which bytes of a stream are here: disjoint [begin, end) ranges in order, merged as they touch. A value; pure.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace tomogrid::wire {

using Range = std::pair<std::uint64_t, std::uint64_t>;   // [begin, end)

class IntervalSet {
 public:
  // Returns how many bytes are new. Requires begin <= end.
  std::uint64_t add(std::uint64_t begin, std::uint64_t end);
  bool contains(std::uint64_t begin, std::uint64_t end) const;
  // The end of the range that starts at 0; 0 when there is none.
  std::uint64_t prefix() const;
  // What of [begin, end) is not here, in order.
  std::vector<Range> missing(std::uint64_t begin, std::uint64_t end) const;
  std::uint64_t size() const { return size_; }            // bytes
  std::size_t pieces() const { return ranges_.size(); }   // ranges: what it costs
  std::vector<Range> ranges() const { return {ranges_.begin(), ranges_.end()}; }
  bool operator==(const IntervalSet&) const = default;

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;   // begin -> end
  std::uint64_t size_ = 0;
};

}  // namespace tomogrid::wire
