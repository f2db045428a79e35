// Files read with a bound and written whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"

namespace tomogrid {

// The whole file. NotFound, BadInput (larger than `limit`, or not a regular file) or Storage.
Result<ByteString> read_file(const std::filesystem::path& path, Bytes limit);

enum class FileMode { Shared, Private };  // 0644 before umask, or 0600

// Puts `content` at `path` so that a reader, or a crash at any point, sees the old file or the whole new one:
// a temporary beside it, fsync, rename, fsync of the folder. Storage on failure, and then nothing is left behind.
Result<void> write_file(const std::filesystem::path& path, ByteView content, FileMode mode = FileMode::Shared);

// A file being written in pieces that appears at `path` only on commit(). Not committed: it is removed.
class AtomicFile final {
 public:
  // Opens a temporary beside `path`. Throws Failure (Storage).
  explicit AtomicFile(std::filesystem::path path, FileMode mode = FileMode::Shared);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  // Where to write until then, for libraries that want a name.
  const std::filesystem::path& temporary() const { return temporary_; }
  Result<void> append(ByteView content);
  // fsync, rename, fsync of the folder.
  Result<void> commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  bool committed_ = false;
};

// Creates `path` (and parents) with mode 0700 if absent. Refuses a folder that others can enter. Throws Failure.
void make_private_folder(const std::filesystem::path& path);

// $TOMOGRID_HOME, else $XDG_DATA_HOME/tomogrid, else ~/.local/share/tomogrid. Read once, by commands.
std::filesystem::path tomogrid_home();

// A temporary folder of mode 0700, removed with all its content at the end of scope.
class TemporaryFolder final {
 public:
  // Under `parent`, or under TMPDIR or /tmp. Throws Failure.
  explicit TemporaryFolder(const std::filesystem::path& parent = {});
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tomogrid
