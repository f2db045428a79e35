#include "certs/content_hash.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "base/file.h"

namespace tomogrid::certs {
namespace {

ByteString pattern(std::size_t length) {
  ByteString bytes(length);
  for (std::size_t i = 0; i < length; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + 1);
  return bytes;
}

Digest digest(std::string_view hex) {
  const auto bytes = from_hex(hex).value();
  Digest d{};
  std::copy(bytes.begin(), bytes.end(), d.begin());
  return d;
}

TEST(ContentHash, Sha256OfAbc) {
  EXPECT_EQ(to_hex(sha256(bytes_of("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256({})), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

// The leaves and roots that Certificate Transparency's implementations share as test vectors of RFC 6962.
TEST(ContentHash, TreeIsRfc6962s) {
  const char* const leaves[]{
      "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"};
  const char* const roots[]{"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  std::vector<Digest> hashes;
  for (std::size_t n = 1; n <= 8; ++n) {
    hashes.push_back(hash_leaf(from_hex(leaves[n - 1]).value()));
    // Our digest binds the length to that root: SHA-256(0x02 || n || root).
    ByteString bound{2, 0, 0, 0, 0, 0, 0, 0, static_cast<std::uint8_t>(n)};
    const auto root = from_hex(roots[n - 1]).value();
    bound.insert(bound.end(), root.begin(), root.end());
    EXPECT_EQ(combine_root(hashes, n, 1), sha256(bound)) << n;
  }
}

// From an independent implementation (Python's hashlib), leaves of 4 bytes.
TEST(ContentHash, VectorsOfSmallLeaves) {
  const std::pair<std::size_t, const char*> vectors[]{
      {0, "f0c1e0b4cd1983b9c92909f8145cc102993e4c797489c0ba98639fd93056b82f"},
      {1, "bc3bcf460eabae24b351f573350ab4fc805f55c222fe6dbbcba4a184c086aef1"},
      {4, "e2fb64d6b809441bb3136ad76ca032cc9053038e4a985d45473f675ab5ab5b35"},
      {5, "bdd998158e725dfcc103cd8b760ad673dda842521c4359d16e60f2e90ca3d7ec"},
      {8, "ecc86394bd1f3a68b8f3c11191c9f2b99b496b130ad6a2c3f8069d794f97fdd2"},
      {9, "6292f15e19cf59c6828b082d9e56b9c17750e6ad6e55f55e1ab777e40d1dc752"},
      {12, "20fd93974a2eae1cf07279aaaf8540324b4f5c96863c298f924182e80c87037e"},
      {13, "197ea875b1951bb575cf636e785e69dd3ab068852025ee3fbc23699f5ded8333"},
      {20, "1bb3183e7be8ad28b8d0d1de427f01beb46046bca40ae3193bf3ff5e824bfe4f"},
      {27, "ab3ef0ed4deef5d8866bd545c95822f373c19bf39274e47650f5fb1c3a69373a"},
      {28, "810be09def24edcd6a1a45d29913a051cb292c774aa7bf73e07171cb421a4659"},
      {100, "349db538c344b87b1209c21715e75d5d9d43af7b4266452b324eb1ac534f729e"}};
  for (const auto& [length, expected] : vectors)
    EXPECT_EQ(to_hex(content_hash(pattern(length), 4)), expected) << length;
}

TEST(ContentHash, VectorAcrossMebibyteLeaves) {
  ByteString bytes((1U << 20) * 2 + (1U << 19));
  for (std::uint64_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>((i * i >> 3) % 251);
  EXPECT_EQ(to_hex(content_hash(bytes)), "2867e17868a6c2c8d8e3b07660b8f0c7666f382db5e6f7885e9e31be07b14b2e");
}

TEST(ContentHash, LengthIsBoundIn) {
  // The same leaves under another length are other content, which the tree alone would not tell.
  const std::vector<Digest> leaves{hash_leaf(pattern(4)), hash_leaf(pattern(4))};
  EXPECT_NE(combine_root(leaves, 8, 4), combine_root(leaves, 7, 4));
}

TEST(ContentHash, ANodeIsNotALeaf) {
  // Without prefixes, content made of two hashes would have the digest of what they are hashes of.
  ByteString forged;
  for (const Digest& d : {hash_leaf(pattern(4)), hash_leaf(pattern(4))})
    forged.insert(forged.end(), d.begin(), d.end());
  const std::vector<Digest> real{hash_leaf(pattern(4)), hash_leaf(pattern(4))};
  EXPECT_NE(combine_root({{hash_leaf(forged)}}, 8, 8), combine_root(real, 8, 4));
}

TEST(ContentHash, EveryFlippedBitSwapAndCutShows) {
  const ByteString bytes = pattern(23);
  const Digest whole = content_hash(bytes, 4);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    ByteString changed = bytes;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    EXPECT_NE(content_hash(changed, 4), whole);
  }
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(content_hash(ByteView(bytes).first(length), 4), whole);
  }
  ByteString swapped = bytes;
  std::swap_ranges(swapped.begin(), swapped.begin() + 4, swapped.begin() + 4);
  EXPECT_NE(content_hash(swapped, 4), whole);
}

TEST(ContentHash, LeavesInAnyOrderOnManyThreads) {
  const ByteString bytes = pattern((5U << 20) + 17);
  std::vector<Digest> leaves(leaf_count(bytes.size()));
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = leaves.size(); i-- > 0;) {
      threads.emplace_back([&leaves, &bytes, i] {
        const std::size_t from = i * kLeafSize;
        leaves[i] = hash_leaf(ByteView(bytes).subspan(from, std::min<std::size_t>(kLeafSize, bytes.size() - from)));
      });
    }
  }
  EXPECT_EQ(combine_root(leaves, bytes.size()), content_hash(bytes));
}

TEST(ContentHash, FilesHashAlikeForAnyThreads) {
  const TemporaryFolder folder;
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{1} << 20, (std::size_t{3} << 20) + 5}) {
    const auto path = folder.path() / "content";
    const ByteString bytes = pattern(length);
    ASSERT_TRUE(write_file(path, bytes));
    for (const unsigned threads : {0U, 1U, 2U, 7U}) {
      const auto hash = hash_file(path, threads);
      ASSERT_TRUE(hash.has_value()) << hash.error().message;
      EXPECT_EQ(hash->root, content_hash(bytes));
      EXPECT_EQ(hash->length, length);
      EXPECT_EQ(hash->leaves.size(), leaf_count(length));
    }
  }
  EXPECT_EQ(hash_file(folder.path() / "absent").error().code, ErrorCode::NotFound);
  EXPECT_EQ(hash_file(folder.path()).error().code, ErrorCode::BadInput);
}

TEST(ContentHashDeathTest, WrongNumberOfLeavesIsABug) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(combine_root({}, 1), "leaf_count");
  EXPECT_EQ(digest(std::string(64, '0')), Digest{});
}

}  // namespace
}  // namespace tomogrid::certs
