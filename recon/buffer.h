// Arrays for kernels: aligned to 64 bytes, on huge pages where the system gives them, not initialised.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace tomogrid::recon {

template <class T>
class Buffer final {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t count) : size_(count) {
    if (count == 0) return;
    const std::size_t bytes = count * sizeof(T);
    const std::size_t alignment = bytes >= kHugePage ? kHugePage : 64;
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    data_ = static_cast<T*>(std::aligned_alloc(alignment, rounded));
    if (data_ == nullptr) throw std::bad_alloc();
    if (alignment == kHugePage) ::madvise(data_, rounded, MADV_HUGEPAGE);  // a hint: failure costs speed only
  }
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  void clear() {
    if (size_ != 0) std::memset(data_, 0, size_ * sizeof(T));
  }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace tomogrid::recon
