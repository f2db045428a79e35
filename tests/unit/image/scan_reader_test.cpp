// A scan read in pieces is the scan read whole.
#include "image/scan_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <random>

#include "base/file.h"
#include "example_scan.h"

namespace tomogrid::image {
namespace {

std::vector<float> piece_of(const OpenedScan& scan, std::size_t first, std::size_t count) {
  if (!scan.values)
    return {scan.in_memory.begin() + static_cast<std::ptrdiff_t>(first),
            scan.in_memory.begin() + static_cast<std::ptrdiff_t>(first + count)};
  std::vector<float> values(count);
  scan.values->read(first, values).or_throw();
  return values;
}

TEST(ScanReader, AnyPieceOfAnyPositionIsAsTheWholeScanHasIt) {
  const TemporaryFolder folder;
  std::minstd_rand random(7);
  for (const PatientPosition position :
       {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS, PatientPosition::FFP}) {
    for (const char* name : {"scan.hs", "scan.dcm"}) {
      SCOPED_TRACE(std::string(name) + " " + to_string(position));
      const auto path = folder.path() / name;
      save_scan(path, example_scan(12, 1, 1.0), {.position = position}).or_throw();
      const LoadedScan whole = load_scan(path).or_throw();
      const OpenedScan opened = open_scan(path).or_throw();
      EXPECT_EQ(opened.values == nullptr, std::string(name) == "scan.dcm");
      EXPECT_EQ(opened.geometry, whole.projections.geometry);
      EXPECT_EQ(opened.facts, whole.projections.facts);
      EXPECT_EQ(opened.warnings, whole.warnings);
      EXPECT_EQ(opened.identity.serialise(), whole.identity.serialise());
      EXPECT_EQ(describe(opened), describe(whole.projections));
      const std::vector<float>& values = whole.projections.values;
      EXPECT_EQ(piece_of(opened, 0, values.size()), values);
      for (int i = 0; i < 200; ++i) {
        const std::size_t first = random() % values.size(), count = random() % (values.size() - first + 1);
        ASSERT_EQ(piece_of(opened, first, count),
                  std::vector<float>(values.begin() + static_cast<std::ptrdiff_t>(first),
                                     values.begin() + static_cast<std::ptrdiff_t>(first + count)))
            << first << " " << count;
      }
    }
  }
}

TEST(ScanReader, ValuesAreJudgedBeforeAnyIsRead) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "scan.hs";
  Projections scan = example_scan(12, 1, 1.0);
  for (float& value : scan.values) value += 0.5F;  // stored as floats
  const auto patch = [&](float value) {
    save_scan(path, scan).or_throw();
    ByteString data = read_file(folder.path() / "scan.s", mebibytes(1)).or_throw();
    std::memcpy(data.data() + data.size() - sizeof value, &value, sizeof value);
    write_file(folder.path() / "scan.s", data).or_throw();
  };
  patch(-0.25F);
  const auto few = open_scan(path);
  ASSERT_TRUE(few) << few.error().message;
  EXPECT_EQ(few->warnings, load_scan(path).or_throw().warnings);
  const std::vector<float> values = piece_of(*few, 0, scan.values.size());
  EXPECT_EQ(values, load_scan(path).or_throw().projections.values);
  EXPECT_EQ(std::count(values.begin(), values.end(), 0.0F), 1) << "the negative one";
  for (const float bad : {-1e9F, std::numeric_limits<float>::quiet_NaN()}) {
    patch(bad);
    EXPECT_EQ(open_scan(path).error(), load_scan(path).error());
  }
  std::filesystem::resize_file(folder.path() / "scan.s", 100);
  EXPECT_EQ(open_scan(path).error(), load_scan(path).error());
  std::filesystem::remove(path);
  EXPECT_EQ(open_scan(path).error(), load_scan(path).error());
}

}  // namespace
}  // namespace tomogrid::image
