#include "base/text.h"

#include <gtest/gtest.h>

#include "base/quantity.h"
#include "base/result.h"

namespace tomogrid {
namespace {

TEST(Text, HexadecimalSurvivesARoundTripAndRefusesTheRest) {
  const ByteString bytes{0x00, 0x7f, 0xff, 0x10};
  EXPECT_EQ(to_hex(bytes), "007fff10");
  EXPECT_EQ(from_hex("007FfF10"), bytes);
  for (const char* bad : {"0", "0g", "zz", " 0"}) EXPECT_FALSE(from_hex(bad).has_value()) << bad;
}

TEST(Text, IllFormedUtf8IsSeen) {
  EXPECT_TRUE(is_utf8("M\xC3\xBCller \xE2\x82\xAC \xF0\x9F\x8F\xA5"));
  for (const char* bad : {"\xC3", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE0\x80\x80", "\x80", "\xFF"}) {
    EXPECT_FALSE(is_utf8(bad)) << to_hex(bytes_of(bad));
  }
}

TEST(Text, PrintableTextHoldsNoControlCharacter) {
  EXPECT_EQ(printable("a\x1b[31m\tb\x7f\xC2\x9B"
                      "c\xFF\xC3\xBC"),
            "a[31mbc?\xC3\xBC");
}

TEST(Text, FiguresForPeopleAreShort) {
  EXPECT_EQ(human_bytes(640), "640 B");
  EXPECT_EQ(human_bytes(12897485), "12.3 MiB");
  EXPECT_EQ(human_seconds(250), "4 min 10 s");
  EXPECT_EQ(human_seconds(11100), "3 h 05 min");
  EXPECT_EQ(iso_time(1764033615000), "2025-11-25T01:20:15Z");
}

TEST(Quantity, WorkOverRateIsTime) {
  EXPECT_DOUBLE_EQ((FlopCount(6e9) / FlopRate(2e9)).count(), 3.0);
  EXPECT_DOUBLE_EQ(mebibytes(3) / mebibytes(2), 1.5);
}

TEST(Result, AnErrorThatIsTakenAsAValueIsABug) {
  const Result<int> outcome = Error{ErrorCode::NotFound, "no such job"};
  EXPECT_FALSE(outcome.has_value());
  EXPECT_DEATH((void)outcome.value(), "no such job");
  EXPECT_THROW(Result<int>(Error{ErrorCode::Storage, "full"}).or_throw(), Failure);
}

}  // namespace
}  // namespace tomogrid
