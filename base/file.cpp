#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace tomogrid {

namespace {

std::string reason() { return std::generic_category().message(errno); }

Error storage_error(const char* what, const std::filesystem::path& path) {
  return {ErrorCode::Storage, std::string("cannot ") + what + " " + path.string() + ": " + reason()};
}

class Descriptor final {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { if (fd_ >= 0) ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<void> sync_folder(const std::filesystem::path& folder) {
  const Descriptor fd(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return storage_error("sync folder", folder);
  return {};
}

}  // namespace

Result<ByteString> read_file(const std::filesystem::path& path, Bytes limit) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Storage;
    return Error{code, "cannot open " + path.string() + ": " + reason()};
  }
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return storage_error("stat", path);
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::BadInput, path.string() + " is not a regular file"};
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > limit.count()) {
    return Error{ErrorCode::BadInput, path.string() + " is " + human_bytes(size) + ", more than the " +
                                          human_bytes(limit.count()) + " allowed here"};
  }
  ByteString content(size);
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::read(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return storage_error("read", path);
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  content.resize(done);
  return content;
}

Result<void> write_file(const std::filesystem::path& path, ByteView content, FileMode mode) {
  try {
    AtomicFile file(path, mode);
    if (auto written = file.append(content); !written) return written;
    return file.commit();
  } catch (const Failure& failure) {
    return failure.error();
  }
}

AtomicFile::AtomicFile(std::filesystem::path path, FileMode mode) : path_(std::move(path)) {
  std::string name = path_.string() + ".part-XXXXXX";
  descriptor_ = ::mkostemp(name.data(), O_CLOEXEC);
  if (descriptor_ < 0) throw Failure(storage_error("create a file beside", path_));
  temporary_ = name;
  if (mode == FileMode::Shared) {
    const mode_t mask = ::umask(0);
    ::umask(mask);
    ::fchmod(descriptor_, 0644 & ~mask);
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!committed_) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::append(ByteView content) {
  while (!content.empty()) {
    const ssize_t n = ::write(descriptor_, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return storage_error("write", path_);
    content = content.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> AtomicFile::commit() {
  // A library may have written through temporary() and another descriptor: fsync works on the inode.
  const Descriptor inode(::open(temporary_.c_str(), O_RDONLY | O_CLOEXEC));
  if (inode.get() < 0 || ::fsync(inode.get()) != 0) return storage_error("sync", path_);
  if (::close(std::exchange(descriptor_, -1)) != 0) return storage_error("close", path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return storage_error("rename onto", path_);
  committed_ = true;
  return sync_folder(path_.parent_path());
}

void make_private_folder(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) throw Failure(storage_error("create folder", path));
  }
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) throw Failure(storage_error("use folder", path));
  if ((status.st_mode & 0077) != 0) {
    throw Failure(ErrorCode::Refused, "folder " + path.string() + " can be entered by others; run: chmod 700 " +
                                          path.string());
  }
}

std::filesystem::path tomogrid_home() {
  if (const char* home = std::getenv("TOMOGRID_HOME"); home != nullptr && *home != '\0') return home;
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data != '\0') {
    return std::filesystem::path(data) / "tomogrid";
  }
  const char* user = std::getenv("HOME");
  if (user == nullptr || *user == '\0') {
    throw Failure(ErrorCode::Usage, "neither TOMOGRID_HOME nor HOME is set; set TOMOGRID_HOME to a private folder");
  }
  return std::filesystem::path(user) / ".local/share/tomogrid";
}

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent) {
  const std::filesystem::path base = parent.empty() ? std::filesystem::temp_directory_path() : parent;
  std::string name = (base / "tomogrid-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw Failure(storage_error("create a folder under", base));
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace tomogrid
