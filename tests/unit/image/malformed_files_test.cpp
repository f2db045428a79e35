// Every malformed file and every file of the SPECT set opens or is refused with a reason; nothing crashes, hangs, or
// allocates what a hostile header asks for.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <fstream>

#include "base/file.h"
#include "example_scan.h"
#include "image/formats.h"
#include "image/refusal.h"
#include "image/stream_format.h"

namespace tomogrid::image {
namespace {

namespace fs = std::filesystem;
const fs::path kData = TOMOGRID_DATA;

struct Tally {
  int opened = 0, refused = 0;
};

void open_as_everything(const fs::path& path, Tally& tally) {
  SCOPED_TRACE(path.string());
  const auto count = [&tally](const auto& result) {
    if (result.has_value()) {
      ++tally.opened;
    } else {
      ++tally.refused;
      EXPECT_FALSE(result.error().message.empty());
      EXPECT_EQ(result.error().code, ErrorCode::BadInput) << result.error().message;
    }
  };
  const auto scan = load_scan(path, {.window = std::nullopt, .radius = Millimetres(200), .sum_gates = true});
  count(scan);
  if (scan) {
    EXPECT_TRUE(check(scan->projections.geometry, scan->projections.facts).has_value());
  }
  const auto volume = load_volume_with_warnings(path);
  count(volume);
  if (volume) {
    EXPECT_TRUE(check(volume->volume.geometry, volume->volume.unit).has_value());
  }
}

Tally open_all(const fs::path& folder) {
  Tally tally;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) open_as_everything(entry.path(), tally);
  }
  return tally;
}

TEST(MalformedFiles, EachOpensOrIsRefusedWithAReason) {
  if (!fs::exists(kData / "malformed"))
    GTEST_SKIP() << kData / "malformed"
                 << " is not there";
  const Tally tally = open_all(kData / "malformed");
  EXPECT_GT(tally.refused, 350);
  RecordProperty("opened", tally.opened);
}

TEST(MalformedFiles, EveryFileOfTheSpectSetOpensOrIsRefusedWithAReason) {
  if (!fs::exists(kData / "spect"))
    GTEST_SKIP() << kData / "spect"
                 << " is not there";
  const Tally tally = open_all(kData / "spect");
  EXPECT_GT(tally.opened, 15);
}

TEST(MalformedFiles, EveryMadeNiftiIsRefusedForWhatIsWrongWithIt) {
  const fs::path folder = kData / "malformed/nifti-made";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"truncated_data.nii", "truncated"},   {"zero_length.nii", "empty"},
      {"dim0_is_9.nii", "dim[0]"},           {"truncated_gzip.nii.gz", "truncated"},
      {"truncated_header.nii", "truncated"}, {"unknown_datatype_9999.nii", "datatype"},
      {"negative_dim.nii", "dim["},          {"bad_magic.nii", "magic"},
      {"dim_overflow_32767.nii", "dim["},    {"vox_offset_beyond_eof.nii", ""}};
  for (const auto& [file, reason] : cases) {
    const auto volume = load_volume(folder / file);
    ASSERT_FALSE(volume.has_value()) << file;
    EXPECT_NE(volume.error().message.find(reason), std::string::npos) << volume.error().message;
  }
}

// In memory, as the readers behind files.h see a file: true if it opened.
bool opens(ByteView bytes) {
  try {
    const LoadedScan scan = read_dicom_scan(bytes, {});
    EXPECT_TRUE(check(scan.projections.geometry, scan.projections.facts).has_value());
    return true;
  } catch (const Refusal& refusal) {
    EXPECT_FALSE(refusal.what.empty());
    return false;
  }
}

TEST(MalformedFiles, EveryTruncationOfAScanIsRefused) {
  const ByteString whole = write_dicom_scan(example_scan(3), {});
  EXPECT_TRUE(opens(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    EXPECT_FALSE(opens(ByteView(whole).subspan(0, length))) << length;
  }
  const InterfileText text = write_interfile_scan(example_scan(3), {}, "s.s");
  const DataFile data = [&text](const std::string&, std::uint64_t, std::uint64_t) { return text.data; };
  const std::size_t last = text.header.find("INTERFILE :=", 20) + 9;
  for (std::size_t length = 0; length < last; ++length) {
    EXPECT_THROW((void)read_interfile_scan(std::string_view(text.header).substr(0, length), data, {}), Refusal)
        << length;
  }
}

TEST(MalformedFiles, FlippedBitsOfAScanAreSafe) {
  const ByteString whole = write_dicom_scan(example_scan(3), {});
  for (std::size_t bit = 128 * 8; bit < whole.size() * 8; ++bit) {
    ByteString flipped = whole;
    flipped[bit / 8] = static_cast<std::uint8_t>(flipped[bit / 8] ^ (1u << (bit % 8)));
    (void)opens(flipped);
  }
}

TEST(MalformedFiles, LengthsThatAreNotThereAreNotAllocated) {
  // Pixel data, and a text, that claim 3 GiB; and a large scan that was cut.
  ByteString claims = write_dicom_scan(example_scan(3), {});
  const std::size_t pixels = claims.size() - 144;  // 3 views of 24 pixels of 2 bytes
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  for (const int high : {0x02, 0x40, 0xC0}) {
    claims[pixels - 1] = static_cast<std::uint8_t>(high);
    EXPECT_FALSE(opens(claims)) << high;
  }
  Projections large = example_scan(3);
  large.geometry.bins = 512, large.geometry.rows = 256;
  large.geometry.u0 = large.geometry.bin_mm * -255.5, large.geometry.v0 = large.geometry.row_mm * -127.5;
  large.values.assign(large.geometry.elements(), 7.0F);
  const ByteString whole = write_dicom_scan(large, {});
  EXPECT_TRUE(opens(whole));
  for (const std::size_t missing : {std::size_t{2}, std::size_t{1000}, whole.size() / 2}) {
    EXPECT_FALSE(opens(ByteView(whole).subspan(0, whole.size() - missing))) << missing;
  }
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 64 * 1024);  // KiB
}

TEST(MalformedFiles, DeeplyNestedSequencesAreRefused) {
  // Undefined-length sequences in items in sequences: 100,000 levels would overflow the stack of a recursive reader.
  ByteString bytes(128, 0);
  for (const char c : std::string("DICM")) bytes.push_back(static_cast<std::uint8_t>(c));
  for (int level = 0; level < 100000; ++level) {
    for (const int b : {0x54, 0x00, 0x22, 0x00, 0x53, 0x51, 0,    0,    0xFF, 0xFF,
                        0xFF, 0xFF, 0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF}) {
      bytes.push_back(static_cast<std::uint8_t>(b));
    }
  }
  const TemporaryFolder folder;
  for (const std::size_t length : {bytes.size(), std::size_t{132 + 4090 * 20}}) {
    ASSERT_TRUE(write_file(folder.path() / "deep.dcm", ByteView(bytes).subspan(0, length)).has_value());
    EXPECT_FALSE(load_scan(folder.path() / "deep.dcm").has_value());
  }
}

TEST(MalformedFiles, ASmallFileThatUnpacksToGigabytesIsRefusedEarly) {
  // A NIfTI header that promises little, followed by much: only what the header needs is unpacked. And one that
  // promises 4 GiB but holds nothing is refused when the data end.
  const TemporaryFolder folder;
  Volume volume = example_volume();
  ASSERT_TRUE(save_volume(folder.path() / "v.nii", volume).has_value());
  ByteString bytes = read_file(folder.path() / "v.nii", mebibytes(1)).value();
  const std::int16_t side = 1024;
  for (const std::size_t at : {42u, 44u, 46u}) {
    bytes[at] = static_cast<std::uint8_t>(side & 255);
    bytes[at + 1] = static_cast<std::uint8_t>(side >> 8);
  }
  ASSERT_TRUE(write_file(folder.path() / "big.nii", bytes).has_value());
  ASSERT_EQ(std::system(("gzip -kf " + (folder.path() / "big.nii").string()).c_str()), 0);
  rusage before{}, after{};
  getrusage(RUSAGE_SELF, &before);
  EXPECT_FALSE(load_volume(folder.path() / "big.nii").has_value());
  EXPECT_FALSE(load_volume(folder.path() / "big.nii.gz").has_value());
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 256 * 1024);  // KiB
}

}  // namespace
}  // namespace tomogrid::image
