#include "client/streams.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <numeric>

#include "base/file.h"
#include "certs/content_hash.h"

namespace tomogrid::client {
namespace {

const job::JobId kJob{{1, 2, 3}};
const wire::StreamKey kKey{kJob, "volume.f32", 0};
const wire::JobKey kJobKey{{}, kJob};

ByteString numbers(std::size_t size) {
  ByteString bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{3});
  return bytes;
}

TEST(Streams, AnInputIsReadAsItWasLent) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  const std::string text(text_of(numbers(1000)));
  InputStream input = text_input("projections.f32", text);
  input.order = {{500, 1000}, {0, 500}};
  streams.lend(kJob, std::make_shared<const std::vector<InputStream>>(std::vector{input}));
  const auto source = streams.open_source(kJobKey, {kJob, "projections.f32", 0}).or_throw();
  EXPECT_EQ(source->length(), 1000U);
  EXPECT_EQ(source->order(), input.order);
  ByteString part(10);
  ASSERT_TRUE(source->read(990, part));
  EXPECT_EQ(text_of(part), text.substr(990));
  EXPECT_FALSE(source->read(991, part)) << "beyond the end";
  EXPECT_EQ(fact_of(input).or_throw().root, certs::content_hash(bytes_of(text)));
  EXPECT_FALSE(streams.open_source(kJobKey, {kJob, "other", 0}));
  EXPECT_FALSE(streams.open_source(kJobKey, {job::JobId{{9}}, "projections.f32", 0}));
}

TEST(Streams, AnOutputAppearsWhenItIsComplete) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  const ByteString content = numbers(300'000);
  auto sink = streams.open_sink(kJobKey, kKey, content.size()).or_throw();
  EXPECT_TRUE(sink->stored().empty());
  ASSERT_TRUE(sink->write(100'000, ByteView(content).subspan(100'000)));
  EXPECT_FALSE(std::filesystem::exists(streams.path(kKey)));
  ASSERT_TRUE(sink->write(0, ByteView(content).first(100'000)));
  ASSERT_TRUE(sink->complete());
  EXPECT_EQ(read_file(streams.path(kKey), mebibytes(1)).or_throw(), content);
}

TEST(Streams, WhatWasStoredBeforeACrashIsOfferedAgain) {
  TemporaryFolder folder;
  const ByteString content = numbers(200'000);
  {
    Streams streams(folder.path() / "spool");
    auto sink = streams.open_sink(kJobKey, kKey, content.size()).or_throw();
    ASSERT_TRUE(sink->write(50'000, ByteView(content).subspan(50'000, 10'000)));
    ASSERT_TRUE(sink->write(60'000, ByteView(content).subspan(60'000, 10'000)));
    ASSERT_TRUE(sink->write(0, ByteView(content).first(100)));
  }
  Streams streams(folder.path() / "spool");
  auto sink = streams.open_sink(kJobKey, kKey, content.size()).or_throw();
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> stored{{0, 100}, {50'000, 70'000}};
  EXPECT_EQ(sink->stored(), stored);
  ByteString back(20'000);
  ASSERT_TRUE(sink->read(50'000, back));
  EXPECT_EQ(back, ByteString(content.begin() + 50'000, content.begin() + 70'000));
}

TEST(Streams, ATornMapAndRangesBeyondTheEndAreIgnored) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  { ASSERT_TRUE(streams.open_sink(kJobKey, kKey, 1000).or_throw()->write(0, numbers(10))); }
  const auto map = streams.path(kKey).string() + ".map";
  ByteString content = read_file(map, mebibytes(1)).or_throw();
  ASSERT_EQ(content.size(), 16U);
  const std::uint64_t wild[2] = {990, std::uint64_t{1} << 60};
  content.insert(content.end(), reinterpret_cast<const std::uint8_t*>(wild),
                 reinterpret_cast<const std::uint8_t*>(wild) + 16);
  content.insert(content.end(), {1, 2, 3});
  ASSERT_TRUE(write_file(map, content, FileMode::Private));
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> stored{{0, 10}, {990, 1000}};
  EXPECT_EQ(streams.open_sink(kJobKey, kKey, 1000).or_throw()->stored(), stored);
}

TEST(Streams, ASpoiledStreamBeginsAnew) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  { ASSERT_TRUE(streams.open_sink(kJobKey, kKey, 1000).or_throw()->write(0, numbers(10))); }
  streams.discard(kKey);
  EXPECT_TRUE(streams.open_sink(kJobKey, kKey, 1000).or_throw()->stored().empty());
}

TEST(Streams, ACompleteOutputIsWholeWhenItIsOfferedAgain) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  const ByteString content = numbers(100);
  auto sink = streams.open_sink(kJobKey, kKey, 100).or_throw();
  ASSERT_TRUE(sink->write(0, content));
  ASSERT_TRUE(sink->complete());
  auto again = streams.open_sink(kJobKey, kKey, 100).or_throw();
  ASSERT_EQ(again->stored().size(), 1U);
  ByteString back(100);
  ASSERT_TRUE(again->read(0, back));
  EXPECT_EQ(back, content);
  ASSERT_TRUE(again->complete());
  streams.remove(kJob);
  EXPECT_FALSE(std::filesystem::exists(streams.path(kKey)));
}

TEST(Streams, AnEmptyOutputIsAnOutput) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  ASSERT_TRUE(streams.open_sink(kJobKey, kKey, 0).or_throw()->complete());
  EXPECT_EQ(std::filesystem::file_size(streams.path(kKey)), 0U);
}

TEST(Streams, NamesThatLeaveTheFolderAreRefused) {
  TemporaryFolder folder;
  Streams streams(folder.path() / "spool");
  for (const char* name : {"../x", "a/b", "", ".hidden", "UPPER"})
    EXPECT_FALSE(streams.open_sink(kJobKey, {kJob, name, 0}, 10)) << name;
}

TEST(Streams, AFullDiskIsKnownBeforeTheTransfer) {
  TemporaryFolder folder;
  const auto small = folder.path() / "small";
  std::filesystem::create_directory(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=64k,mode=0700") != 0)
    GTEST_SKIP() << "mounting a small tmpfs needs root: " << std::strerror(errno);
  {
    Streams streams(small / "spool");
    const auto sink = streams.open_sink(kJobKey, kKey, 1'000'000);
    ASSERT_FALSE(sink);
    EXPECT_EQ(sink.error().code, ErrorCode::Storage);
    EXPECT_FALSE(std::filesystem::exists(streams.path(kKey)));
  }
  ::umount(small.c_str());
}

TEST(Streams, OneProcessAtATimeSeesToAJob) {
  TemporaryFolder folder;
  Streams one(folder.path() / "spool");
  EXPECT_TRUE(one.claim(kJob));
  {
    Streams other(folder.path() / "spool");
    EXPECT_FALSE(other.claim(kJob));
    EXPECT_TRUE(other.claim(job::JobId{{7}}));
  }
}

}  // namespace
}  // namespace tomogrid::client
