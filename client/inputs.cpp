#include "client/inputs.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "certs/content_hash.h"
#include "image/stream_format.h"

namespace tomogrid::client {

namespace {

Error beyond_the_end() {
  return {ErrorCode::Internal, "read beyond the end of an input"};
}

class TextSource final : public wire::StreamSource {
 public:
  explicit TextSource(std::string text) : text_(std::move(text)) {}
  std::uint64_t length() const override { return text_.size(); }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    if (offset > text_.size() || into.size() > text_.size() - offset) return beyond_the_end();
    std::memcpy(into.data(), text_.data() + offset, into.size());
    return {};
  }

 private:
  std::string text_;
};

class MemoryFileSource final : public wire::StreamSource {
 public:
  explicit MemoryFileSource(ByteView content) : length_(content.size()) {
    descriptor_ = ::memfd_create("tomogrid-input", MFD_CLOEXEC);
    if (descriptor_ < 0) throw Failure(storage("make a file in memory"));
    while (!content.empty()) {
      const ssize_t n = ::write(descriptor_, content.data(), content.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        const Error error = storage("hold the scan in memory");
        ::close(descriptor_);
        throw Failure(error);
      }
      content = content.subspan(static_cast<std::size_t>(n));
    }
  }
  ~MemoryFileSource() override { ::close(descriptor_); }
  MemoryFileSource(const MemoryFileSource&) = delete;
  MemoryFileSource& operator=(const MemoryFileSource&) = delete;

  std::uint64_t length() const override { return length_; }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    if (offset > length_ || into.size() > length_ - offset) return beyond_the_end();
    while (!into.empty()) {
      const ssize_t n = ::pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return storage("read an input back");
      into = into.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

 private:
  static Error storage(const char* what) {
    return {ErrorCode::Storage, std::string("cannot ") + what + ": " + std::strerror(errno)};
  }
  int descriptor_ = -1;
  std::uint64_t length_;
};

class ScanSource final : public wire::StreamSource {
 public:
  ScanSource(std::shared_ptr<const image::ScanValues> values, std::uint64_t count)
      : values_(std::move(values)), length_(count * sizeof(float)) {}
  std::uint64_t length() const override { return length_; }
  Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const override {
    if (offset > length_ || into.size() > length_ - offset) return beyond_the_end();
    if (into.empty()) return {};
    const std::uint64_t first = offset / sizeof(float), skip = offset % sizeof(float);
    std::vector<float> values((skip + into.size() + sizeof(float) - 1) / sizeof(float));
    if (auto done = values_->read(first, values); !done) return done;
    std::memcpy(into.data(), image::as_bytes(values).data() + skip, into.size());
    return {};
  }

 private:
  std::shared_ptr<const image::ScanValues> values_;
  std::uint64_t length_;
};

}  // namespace

InputStream text_input(std::string name, std::string text) {
  return {std::move(name), std::make_shared<const TextSource>(std::move(text)), {}};
}

InputStream values_input(std::string name, std::vector<float> values) {
  return {std::move(name), std::make_shared<const MemoryFileSource>(image::as_bytes(values)), {}};
}

InputStream scan_input(std::string name, image::OpenedScan& scan) {
  if (scan.values)
    return {std::move(name), std::make_shared<const ScanSource>(scan.values, scan.geometry.elements()), {}};
  return values_input(std::move(name), std::exchange(scan.in_memory, {}));
}

Result<job::StreamFact> fact_of(const InputStream& input) {
  const std::uint64_t length = input.content->length();
  std::vector<job::Digest> leaves;
  ByteString bytes(std::min(certs::kLeafSize, length));
  for (std::uint64_t at = 0; at < length; at += certs::kLeafSize) {
    const std::span<std::uint8_t> leaf(bytes.data(), std::min(certs::kLeafSize, length - at));
    if (auto done = input.content->read(at, leaf); !done) return done.error();
    leaves.push_back(certs::hash_leaf(leaf));
  }
  return job::StreamFact{input.name, Bytes(length), certs::combine_root(leaves, length)};
}

}  // namespace tomogrid::client
