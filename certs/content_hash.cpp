#include "certs/content_hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <initializer_list>
#include <memory>
#include <system_error>
#include <thread>

namespace tomogrid::certs {

namespace {

constexpr std::uint8_t kLeafPrefix[]{0};
constexpr std::uint8_t kNodePrefix[]{1};
constexpr std::uint8_t kRootPrefix[]{2};

struct ContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

// libcrypto fails here only when it is out of memory or broken.
void require_crypto(int returned) {
  if (returned != 1) throw Failure(ErrorCode::Internal, "libcrypto cannot compute SHA-256");
}

Digest sha256_of(std::initializer_list<ByteView> parts) {
  // EVP_MD_fetch takes locks and is slow: once per process. A context per thread, because leaves are many.
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, ContextDeleter> context(EVP_MD_CTX_new());
  require_crypto(algorithm != nullptr && context != nullptr ? 1 : 0);
  require_crypto(EVP_DigestInit_ex2(context.get(), algorithm, nullptr));
  for (const ByteView part : parts) require_crypto(EVP_DigestUpdate(context.get(), part.data(), part.size()));
  Digest digest{};
  require_crypto(EVP_DigestFinal_ex(context.get(), digest.data(), nullptr));
  return digest;
}

// RFC 6962 section 2.1: MTH.
Digest tree(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256_of({});
  if (leaves.size() == 1) return leaves.front();
  const std::size_t left = std::bit_floor(leaves.size() - 1);
  return sha256_of({kNodePrefix, tree(leaves.first(left)), tree(leaves.subspan(left))});
}

class ReadOnlyFile final {
 public:
  explicit ReadOnlyFile(const std::filesystem::path& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~ReadOnlyFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  ReadOnlyFile(const ReadOnlyFile&) = delete;
  ReadOnlyFile& operator=(const ReadOnlyFile&) = delete;
  int get() const { return fd_; }
  // Fills `buffer` from `offset`; false at an error or an early end of the file.
  bool read_at(std::span<std::uint8_t> buffer, std::uint64_t offset) const {
    while (!buffer.empty()) {
      const ssize_t n = ::pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      buffer = buffer.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return true;
  }

 private:
  int fd_;
};

// Hashes leaves `next`, next + 1, ... until none is left; several threads share `next`.
void hash_leaves(const ReadOnlyFile& file, FileHash& hash, std::atomic<std::uint64_t>& next, std::atomic<bool>& ok) {
  std::vector<std::uint8_t> buffer(std::min(hash.length, kLeafSize));
  for (std::uint64_t leaf = next++; leaf < hash.leaves.size() && ok; leaf = next++) {
    const std::uint64_t offset = leaf * kLeafSize;
    const std::span<std::uint8_t> part(buffer.data(), std::min(kLeafSize, hash.length - offset));
    if (!file.read_at(part, offset))
      ok = false;
    else
      hash.leaves[leaf] = hash_leaf(part);
  }
}

}  // namespace

Digest sha256(ByteView bytes) {
  return sha256_of({bytes});
}

Digest hash_leaf(ByteView bytes) {
  return sha256_of({kLeafPrefix, bytes});
}

Digest combine_root(std::span<const Digest> leaves, std::uint64_t length, std::uint64_t leaf_size) {
  TOMOGRID_ASSERT(leaves.size() == leaf_count(length, leaf_size));
  std::uint8_t bound[8];
  for (unsigned i = 0; i < 8; ++i) bound[i] = static_cast<std::uint8_t>(length >> (56 - 8 * i));
  return sha256_of({kRootPrefix, bound, tree(leaves)});
}

Digest content_hash(ByteView bytes, std::uint64_t leaf_size) {
  std::vector<Digest> leaves;
  leaves.reserve(leaf_count(bytes.size(), leaf_size));
  for (std::size_t offset = 0; offset < bytes.size(); offset += leaf_size) {
    leaves.push_back(hash_leaf(bytes.subspan(offset, std::min<std::size_t>(leaf_size, bytes.size() - offset))));
  }
  return combine_root(leaves, bytes.size(), leaf_size);
}

Result<FileHash> hash_file(const std::filesystem::path& path, unsigned threads) {
  const ReadOnlyFile file(path);
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
    const ErrorCode code = errno == ENOENT ? ErrorCode::NotFound : ErrorCode::Storage;
    return Error{code, "cannot open " + path.string() + " to hash it: " + std::generic_category().message(errno)};
  }
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::BadInput, path.string() + " is not a regular file"};
  FileHash hash;
  hash.length = static_cast<std::uint64_t>(status.st_size);
  hash.leaves.resize(leaf_count(hash.length));
  if (threads == 0) threads = std::max(1U, std::thread::hardware_concurrency());
  const auto helpers = std::min<std::uint64_t>(threads, hash.leaves.size());
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> ok{true};
  {
    std::vector<std::jthread> pool;
    for (std::uint64_t i = 1; i < helpers; ++i) pool.emplace_back([&] { hash_leaves(file, hash, next, ok); });
    hash_leaves(file, hash, next, ok);
  }
  struct stat after {};
  if (!ok || ::fstat(file.get(), &after) != 0 || after.st_size != status.st_size) {
    return Error{ErrorCode::BadInput, path.string() + " cannot be read to its end, or changed while it was hashed"};
  }
  hash.root = combine_root(hash.leaves, hash.length);
  return hash;
}

}  // namespace tomogrid::certs
