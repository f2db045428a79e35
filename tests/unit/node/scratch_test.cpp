#include "node/scratch.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <random>

#include "base/file.h"
#include "certs/content_hash.h"

namespace tomogrid::node {
namespace {

namespace fs = std::filesystem;
using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

struct ScratchTest : ::testing::Test {
  TemporaryFolder home;
  wire::JobKey key = [] {
    wire::JobKey item;
    item.job.bytes[0] = 3;
    return item;
  }();
  Scratch open() { return Scratch({home.path() / "scratch", {}, true}); }
  wire::StreamKey stream(const std::string& name) const { return {key.job, name, 0}; }
};

TEST_F(ScratchTest, WhatIsStoredSurvivesTheProcess) {
  {
    Scratch scratch = open();
    ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(1000), {}}}}).has_value());
    auto sink = scratch.open_sink(key, stream("scan.f32"), 1000).or_throw();
    EXPECT_TRUE(sink->stored().empty());
    ASSERT_TRUE(sink->write(500, bytes_of("hello")).has_value());
    ASSERT_TRUE(sink->write(0, bytes_of("start")).has_value());
    ASSERT_TRUE(sink->write(5, bytes_of("more")).has_value());
  }
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(1000), {}}}}).has_value()) << "again is harmless";
  auto sink = scratch.open_sink(key, stream("scan.f32"), 1000).or_throw();
  EXPECT_EQ(sink->stored(), (Ranges{{0, 9}, {500, 505}}));
  std::array<std::uint8_t, 9> content{};
  ASSERT_TRUE(sink->read(0, content).has_value());
  EXPECT_EQ(text_of(content), "startmore");
  const auto facts = scratch.inspect();
  ASSERT_EQ(facts.size(), 1U);
  EXPECT_EQ(facts[0].key, key);
  EXPECT_EQ(facts[0].inputs[0].stored, (Ranges{{0, 9}, {500, 505}}));
  EXPECT_FALSE(facts[0].inputs[0].root.has_value());
}

TEST_F(ScratchTest, HalfWrittenRangeRecordIsIgnored) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(1000), {}}}}).has_value());
  std::move(scratch.open_sink(key, stream("scan.f32"), 1000).or_throw()->write(0, bytes_of("abc"))).or_throw();
  std::ofstream(scratch.folder(key) / "stored" / "scan.f32", std::ios::app) << "12345";
  Scratch again = open();
  EXPECT_EQ(again.open_sink(key, stream("scan.f32"), 1000).or_throw()->stored(), (Ranges{{0, 3}}));
}

TEST_F(ScratchTest, WhatIsThereIsNotWrittenOver) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(6), {}}}}).has_value());
  auto sink = scratch.open_sink(key, stream("scan.f32"), 6).or_throw();
  std::move(sink->write(0, bytes_of("abcdef"))).or_throw();
  std::move(sink->complete()).or_throw();
  std::move(scratch.open_sink(key, stream("scan.f32"), 6).or_throw()->write(2, bytes_of("XX"))).or_throw();
  EXPECT_EQ(text_of(read_file(scratch.folder(key) / "in" / "scan.f32", Bytes(10)).or_throw()), "abcdef");
  EXPECT_EQ(scratch.inspect()[0].inputs[0].root, certs::content_hash(bytes_of("abcdef")));
}

TEST_F(ScratchTest, ForgottenStreamBeginsAnew) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(6), {}}}}).has_value());
  auto sink = scratch.open_sink(key, stream("scan.f32"), 6).or_throw();
  std::move(sink->write(0, bytes_of("abcdef"))).or_throw();
  sink->forget();
  EXPECT_TRUE(sink->stored().empty());
  EXPECT_TRUE(open().inspect()[0].inputs[0].stored.empty());
  std::move(sink->write(0, bytes_of("ABCDEF"))).or_throw();
  EXPECT_EQ(text_of(read_file(scratch.folder(key) / "in" / "scan.f32", Bytes(10)).or_throw()), "ABCDEF");
}

TEST_F(ScratchTest, ManySmallRangesInAnyOrderEndAsOne) {
  Scratch scratch = open();
  constexpr std::uint64_t kLength = 20'000;
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(kLength), {}}}}).has_value());
  auto sink = scratch.open_sink(key, stream("scan.f32"), kLength).or_throw();
  std::vector<std::uint64_t> order(kLength / 2);
  for (std::uint64_t i = 0; i < order.size(); ++i) order[i] = 2 * i;
  std::mt19937 random(1);
  std::shuffle(order.begin(), order.end(), random);
  for (const std::uint64_t at : order) ASSERT_TRUE(sink->write(at, bytes_of("ab")).has_value());
  EXPECT_EQ(sink->stored(), (Ranges{{0, kLength}}));
  ASSERT_TRUE(sink->complete().has_value());
  EXPECT_EQ(fs::file_size(scratch.folder(key) / "stored" / "scan.f32"), 16U) << "compacted";
}

TEST_F(ScratchTest, BytesBeyondTheEndAndOtherLengthsAreRefused) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(10), {}}}}).has_value());
  auto sink = scratch.open_sink(key, stream("scan.f32"), 10).or_throw();
  EXPECT_FALSE(sink->write(8, bytes_of("abc")).has_value());
  EXPECT_FALSE(sink->write(UINT64_MAX, bytes_of("a")).has_value());
  EXPECT_FALSE(scratch.open_sink(key, stream("scan.f32"), 11).has_value());
  EXPECT_FALSE(scratch.open_sink(key, stream("other"), 10).has_value());
  EXPECT_FALSE(scratch.open_sink(key, stream("../scan.f32"), 10).has_value());
  EXPECT_FALSE(scratch.open_source(key, stream("../job.json")).has_value());
}

TEST_F(ScratchTest, WipeRemovesEverythingAndIsRepeatable) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(100'000), {}}}}).has_value());
  std::move(scratch.open_sink(key, stream("scan.f32"), 100'000).or_throw()->write(0, ByteString(100'000, 1)))
      .or_throw();
  EXPECT_GE(scratch.used().count(), 100'000U);
  ASSERT_TRUE(scratch.wipe(key).has_value());
  EXPECT_FALSE(fs::exists(scratch.folder(key)));
  EXPECT_TRUE(scratch.inspect().empty());
  ASSERT_TRUE(scratch.wipe(key).has_value());
}

TEST_F(ScratchTest, SourceIsASnapshotOfAFileThatIsReplaced) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {}}).has_value());
  const fs::path preview = scratch.folder(key) / "out" / "preview.png";
  std::move(write_file(preview, bytes_of("first"))).or_throw();
  auto source = scratch.open_source(key, stream("preview.png")).or_throw();
  std::move(write_file(preview, bytes_of("second!"))).or_throw();
  std::array<std::uint8_t, 5> content{};
  ASSERT_EQ(source->length(), 5U);
  ASSERT_TRUE(source->read(0, content).has_value());
  EXPECT_EQ(text_of(content), "first");
}

TEST_F(ScratchTest, FoldersThatAreNoMemoryOrOpenToOthersAreRefused) {
  fs::create_directory(home.path() / "open");
  fs::permissions(home.path() / "open", fs::perms::all);
  EXPECT_THROW(Scratch({home.path() / "open", {}, true}), Failure);
  fs::create_symlink("/etc", home.path() / "link");
  EXPECT_THROW(Scratch({home.path() / "link", {}, true}), Failure);
  try {
    const Scratch scratch({home.path() / "disk", {}, false});
  } catch (const Failure& refused) {
    EXPECT_EQ(refused.error().code, ErrorCode::Refused);
    return;
  }
  GTEST_SKIP() << "the temporary folder is itself in memory here";
}

TEST_F(ScratchTest, AbandonedFoldersAreRemovedAndOthersStay) {
  for (const char* name : {"tomogrid-a-0", "tomogrid-b-0", "tomogrid-c-0", "other"}) {
    make_private_folder(home.path() / "shm" / name);
    std::ofstream(home.path() / "shm" / name / "data") << "x";
  }
  make_private_folder(home.path() / "living");
  claim_scratch(home.path() / "shm/tomogrid-a-0", home.path() / "living");
  claim_scratch(home.path() / "shm/tomogrid-b-0", home.path() / "gone");
  claim_scratch(home.path() / "shm/other", home.path() / "gone");
  EXPECT_EQ(sweep_abandoned_scratch(home.path() / "shm"), 1U);
  EXPECT_TRUE(fs::exists(home.path() / "shm/tomogrid-a-0"));
  EXPECT_FALSE(fs::exists(home.path() / "shm/tomogrid-b-0"));
  EXPECT_TRUE(fs::exists(home.path() / "shm/tomogrid-c-0")) << "nobody's by its own word: left alone";
  EXPECT_TRUE(fs::exists(home.path() / "shm/other/data"));
}

TEST_F(ScratchTest, EmptyFolderGoesWithItsNodeAndAFullOneStays) {
  {
    Scratch scratch = open();
    claim_scratch(scratch.root(), home.path());
  }
  EXPECT_FALSE(fs::exists(home.path() / "scratch"));
  {
    Scratch scratch = open();
    ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(10), {}}}}).has_value());
  }
  EXPECT_TRUE(fs::exists(home.path() / "scratch"));
}

TEST_F(ScratchTest, QuotaBoundsWhatIsOffered) {
  const Scratch scratch({home.path() / "scratch", mebibytes(5), true});
  EXPECT_EQ(scratch.capacity(), mebibytes(5));
}

TEST_F(ScratchTest, FilesAreTheNodesAlone) {
  Scratch scratch = open();
  ASSERT_TRUE(scratch.prepare({key, {{"scan.f32", Bytes(10), {}}}}).has_value());
  struct stat status {};
  ASSERT_EQ(::stat((scratch.folder(key) / "in" / "scan.f32").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(scratch.folder(key).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700U);
}

}  // namespace
}  // namespace tomogrid::node
