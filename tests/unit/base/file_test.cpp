#include "base/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

namespace tomogrid {
namespace {

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(File, WhatWasWrittenIsReadBack) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a";
  ASSERT_TRUE(write_file(path, bytes_of("hello"), FileMode::Private).has_value());
  EXPECT_EQ(text_of(read_file(path, Bytes(5)).value()), "hello");
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(File, ALargerFileThanAllowedIsRefused) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_file(folder.path() / "a", bytes_of("hello")).has_value());
  EXPECT_EQ(read_file(folder.path() / "a", Bytes(4)).error().code, ErrorCode::BadInput);
  EXPECT_EQ(read_file(folder.path() / "b", Bytes(4)).error().code, ErrorCode::NotFound);
  EXPECT_EQ(read_file(folder.path(), Bytes(4)).error().code, ErrorCode::BadInput);
}

TEST(File, WithoutCommitTheOldFileStaysAndNothingElseDoes) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "a";
  ASSERT_TRUE(write_file(path, bytes_of("old")).has_value());
  {
    AtomicFile file(path);
    ASSERT_TRUE(file.append(bytes_of("new")).has_value());
  }
  EXPECT_EQ(text_of(read_file(path, Bytes(9)).value()), "old");
  EXPECT_EQ(entries(folder.path()), 1U);
}

TEST(File, AFolderThatIsNotThereIsAStorageError) {
  const TemporaryFolder folder;
  const auto outcome = write_file(folder.path() / "absent" / "a", bytes_of("x"));
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().code, ErrorCode::Storage);
}

TEST(File, AFolderOthersCanEnterIsRefused) {
  const TemporaryFolder folder;
  const auto open = folder.path() / "open";
  std::filesystem::create_directory(open);
  ::chmod(open.c_str(), 0755);
  EXPECT_THROW(make_private_folder(open), Failure);
  EXPECT_NO_THROW(make_private_folder(folder.path() / "deep" / "private"));
}

}  // namespace
}  // namespace tomogrid
