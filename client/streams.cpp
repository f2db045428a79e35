#include "client/streams.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/file.h"
#include "wire/interval_set.h"

namespace tomogrid::client {

namespace {

using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

Error storage(const std::string& what) {
  return {ErrorCode::Storage, what + ": " + std::strerror(errno)};
}

// A descriptor that closes itself.
class File {
 public:
  File(const std::filesystem::path& path, int flags) : descriptor_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool good() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool write_all(int descriptor, ByteView bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return true;
}

bool read_all(int descriptor, std::span<std::uint8_t> into, std::uint64_t offset) {
  while (!into.empty()) {
    const ssize_t n = ::pread(descriptor, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    into = into.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return true;
}

std::filesystem::path with(const std::filesystem::path& path, const char* suffix) {
  return path.string() + suffix;
}

void sync_folder(const std::filesystem::path& folder) {
  const File descriptor(folder, O_RDONLY | O_DIRECTORY);
  if (descriptor.good()) ::fsync(descriptor.get());
}

// Ranges as NAME.map has them: pairs of (begin, end), appended after the bytes were written. A torn last pair is
// ignored; what a power cut took from the file itself is found by the content hash.
Ranges read_map(const std::filesystem::path& path, std::uint64_t length) {
  wire::IntervalSet stored;
  const auto content = read_file(path, mebibytes(64));
  if (!content) return {};
  for (std::size_t at = 0; at + 16 <= content->size(); at += 16) {
    std::array<std::uint64_t, 2> pair{};
    std::memcpy(pair.data(), content->data() + at, 16);
    const std::uint64_t end = std::min(pair[1], length);
    if (pair[0] < end) stored.add(pair[0], end);
  }
  return stored.ranges();
}

class SpoolSink final : public wire::StreamSink {
 public:
  SpoolSink(std::filesystem::path path, Ranges stored)
      : path_(std::move(path)),
        stored_(std::move(stored)),
        data_(with(path_, ".part"), O_RDWR | O_CREAT),
        map_(with(path_, ".map"), O_WRONLY | O_CREAT | O_APPEND) {}
  bool good() const { return data_.good() && map_.good(); }
  int descriptor() const { return data_.get(); }

  Ranges stored() const override { return stored_; }
  Result<void> write(std::uint64_t offset, ByteView content) override {
    if (!write_all(data_.get(), content, offset))
      return storage("cannot store a result in " + path_.parent_path().string());
    const std::array<std::uint64_t, 2> pair{offset, offset + content.size()};
    if (::write(map_.get(), pair.data(), 16) != 16)
      return storage("cannot store a result in " + path_.parent_path().string());
    return {};
  }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    if (!read_all(data_.get(), into, offset)) return storage("cannot read back " + path_.string());
    return {};
  }
  Result<void> complete() override {
    if (::fsync(data_.get()) != 0) return storage("cannot sync " + path_.string());
    if (::rename(with(path_, ".part").c_str(), path_.c_str()) != 0) return storage("cannot rename " + path_.string());
    ::unlink(with(path_, ".map").c_str());
    sync_folder(path_.parent_path());
    return {};
  }

 private:
  std::filesystem::path path_;
  Ranges stored_;
  File data_, map_;
};

// An output that is complete here already and is offered again: everything is stored, and hashing reads it.
class CompleteSink final : public wire::StreamSink {
 public:
  CompleteSink(const std::filesystem::path& path, std::uint64_t length) : data_(path, O_RDONLY), length_(length) {}
  bool good() const { return data_.good(); }
  Ranges stored() const override { return length_ == 0 ? Ranges{} : Ranges{{0, length_}}; }
  Result<void> write(std::uint64_t, ByteView) override { return {}; }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    if (!read_all(data_.get(), into, offset)) return storage("cannot read back a stored result");
    return {};
  }
  Result<void> complete() override { return {}; }

 private:
  File data_;
  std::uint64_t length_;
};

class InputSource final : public wire::StreamSource {
 public:
  explicit InputSource(const InputStream& input) : content_(input.content), order_(input.order) {}
  std::uint64_t length() const override { return content_->length(); }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    return content_->read(offset, into);
  }
  Ranges order() const override { return order_; }

 private:
  std::shared_ptr<const wire::StreamSource> content_;
  Ranges order_;
};

}  // namespace

Streams::Streams(std::filesystem::path spool) : spool_(std::move(spool)) {
  make_private_folder(spool_);
}

void Streams::lend(const job::JobId& stream_job, std::shared_ptr<const std::vector<InputStream>> inputs) {
  inputs_[stream_job] = std::move(inputs);
}

bool Streams::claim(const job::JobId& job) {
  auto file = std::make_shared<File>(spool_ / (job::to_string(job) + ".lock"), O_RDWR | O_CREAT);
  if (!file->good()) throw Failure(storage("cannot create a lock in " + spool_.string()));
  if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0) return false;
  claims_.push_back(std::move(file));
  return true;
}

std::filesystem::path Streams::path(const wire::StreamKey& key) const {
  const std::string name = key.generation == 0 ? key.name : key.name + "." + std::to_string(key.generation);
  return spool_ / job::to_string(key.job) / name;
}

Result<std::unique_ptr<wire::StreamSink>> Streams::open_sink(const wire::JobKey&, const wire::StreamKey& key,
                                                             std::uint64_t length) {
  if (!job::is_name(key.name)) return Error{ErrorCode::BadInput, "a stream without a proper name"};
  const std::filesystem::path file = path(key);
  make_private_folder(file.parent_path());
  std::error_code ignored;
  if (std::filesystem::is_regular_file(file, ignored) && std::filesystem::file_size(file, ignored) == length) {
    auto sink = std::make_unique<CompleteSink>(file, length);
    if (!sink->good()) return storage("cannot open " + file.string());
    return std::unique_ptr<wire::StreamSink>(std::move(sink));
  }
  auto sink = std::make_unique<SpoolSink>(file, read_map(with(file, ".map"), length));
  if (!sink->good()) return storage("cannot create " + file.string());
  // Room for all of it now: a full disk is known before the transfer, not at its end.
  if (::ftruncate(sink->descriptor(), static_cast<off_t>(length)) != 0)
    return storage("cannot store a result in " + file.parent_path().string());
  if (length > 0) {
    errno = ::posix_fallocate(sink->descriptor(), 0, static_cast<off_t>(length));
    if (errno == ENOSPC || errno == EFBIG)
      return storage("no room for a result of " + human_bytes(length) + " in " + file.parent_path().string());
  }
  return std::unique_ptr<wire::StreamSink>(std::move(sink));
}

Result<std::unique_ptr<wire::StreamSource>> Streams::open_source(const wire::JobKey&, const wire::StreamKey& key) {
  const auto found = inputs_.find(key.job);
  if (found != inputs_.end()) {
    for (const InputStream& input : *found->second) {
      if (input.name == key.name) return std::unique_ptr<wire::StreamSource>(std::make_unique<InputSource>(input));
    }
  }
  return Error{ErrorCode::NotFound, "no input " + key.name + " here"};
}

void Streams::discard(const wire::StreamKey& key) {
  std::error_code ignored;
  for (const char* suffix : {"", ".part", ".map"}) std::filesystem::remove(with(path(key), suffix), ignored);
}

void Streams::remove(const job::JobId& stream_job) {
  std::error_code ignored;
  std::filesystem::remove_all(spool_ / job::to_string(stream_job), ignored);
}

void Streams::clear(const std::map<job::JobId, Record>& records, const job::JobId& job) {
  const auto found = records.find(job);
  if (found == records.end()) return;
  for (const Attempt& attempt : found->second.attempts) remove(attempt.job);
  remove(job);
  std::error_code ignored;
  std::filesystem::remove(spool_ / (job::to_string(job) + ".lock"), ignored);
}

}  // namespace tomogrid::client
