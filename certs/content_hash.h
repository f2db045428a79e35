// Hashes of content: a tree over 1 MiB leaves, so that leaves may be hashed in parallel and in any order of arrival.
//
// Shape and prefixes of RFC 6962 section 2.1, and the length bound in on top:
//   leaf   = SHA-256(0x00 || bytes)
//   node   = SHA-256(0x01 || left || right), the left part the largest power of two smaller than the number of leaves
//   tree   = SHA-256("") for no leaves
//   digest = SHA-256(0x02 || length in bytes, 64 bit big endian || tree)
// SHA-256 is libcrypto's, which uses the processor's instructions (1.7 GB/s a core where it has them).
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "job/job.h"

namespace tomogrid::certs {

using Digest = job::Digest;

inline constexpr std::uint64_t kLeafSize = 1 << 20;

// Number of leaves of content of this length; 0 for none.
constexpr std::uint64_t leaf_count(std::uint64_t length, std::uint64_t leaf_size = kLeafSize) {
  return length / leaf_size + (length % leaf_size != 0 ? 1 : 0);
}

// Plain SHA-256: for small things (parameters, a worker's build).
Digest sha256(ByteView bytes);

// One leaf: kLeafSize bytes, or fewer at the end of the content. Thread safe.
Digest hash_leaf(ByteView bytes);

// The digest from all leaves in order. Requires leaves.size() == leaf_count(length, leaf_size). `leaf_size` is a
// parameter for tests; everything on the network uses kLeafSize.
Digest combine_root(std::span<const Digest> leaves, std::uint64_t length, std::uint64_t leaf_size = kLeafSize);

// All in one, on this thread.
Digest content_hash(ByteView bytes, std::uint64_t leaf_size = kLeafSize);

struct FileHash {
  std::uint64_t length = 0;
  std::vector<Digest> leaves;
  Digest root{};
};
// Of a file, its leaves read and hashed by `threads` threads (0: as many as the machine has). NotFound, Storage, or
// BadInput when the file changes length meanwhile.
Result<FileHash> hash_file(const std::filesystem::path& path, unsigned threads = 0);

}  // namespace tomogrid::certs
