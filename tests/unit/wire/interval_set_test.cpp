#include "wire/interval_set.h"

#include <gtest/gtest.h>

#include <random>

namespace tomogrid::wire {
namespace {

TEST(IntervalSet, MergesWhatTouches) {
  IntervalSet set;
  EXPECT_EQ(set.add(10, 20), 10U);
  EXPECT_EQ(set.add(30, 40), 10U);
  EXPECT_EQ(set.add(20, 30), 10U);
  EXPECT_EQ(set.ranges(), (std::vector<Range>{{10, 40}}));
  EXPECT_EQ(set.add(0, 50), 20U);
  EXPECT_EQ(set.prefix(), 50U);
  EXPECT_EQ(set.add(5, 5), 0U);
}

// Against a plain array of bits.
TEST(IntervalSet, AgreesWithABitmapOverRandomRanges) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<bool> bits(120);
    IntervalSet set;
    for (int i = 0; i < 30; ++i) {
      std::uint64_t begin = random() % 121, end = random() % 121;
      if (begin > end) std::swap(begin, end);
      std::uint64_t fresh = 0;
      std::vector<Range> holes;
      for (std::uint64_t at = begin; at < end; ++at) {
        if (bits[at]) continue;
        ++fresh;
        if (!holes.empty() && holes.back().second == at) ++holes.back().second;
        else holes.emplace_back(at, at + 1);
      }
      ASSERT_EQ(set.missing(begin, end), holes) << "seed " << seed;
      ASSERT_EQ(set.contains(begin, end), fresh == 0) << "seed " << seed;
      ASSERT_EQ(set.add(begin, end), fresh) << "seed " << seed;
      for (std::uint64_t at = begin; at < end; ++at) bits[at] = true;
      std::uint64_t prefix = 0, size = 0, pieces = 0;
      while (prefix < bits.size() && bits[prefix]) ++prefix;
      for (std::size_t at = 0; at < bits.size(); ++at) {
        size += bits[at] ? 1 : 0;
        pieces += bits[at] && (at == 0 || !bits[at - 1]) ? 1 : 0;
      }
      ASSERT_EQ(set.prefix(), prefix) << "seed " << seed;
      ASSERT_EQ(set.size(), size) << "seed " << seed;
      ASSERT_EQ(set.pieces(), pieces) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace tomogrid::wire
