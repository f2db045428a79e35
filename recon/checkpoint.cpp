// A checkpoint's file: magic, version, counts, history, estimate; little endian, closed by a fingerprint of all before.
#include <bit>
#include <cmath>
#include <cstring>

#include "recon/recon.h"

namespace tomogrid::recon {

namespace {

constexpr std::uint64_t kMagic = 0x31504b4354434552ULL;  // "RECTCKP1"
constexpr std::size_t kHistoryFields = 6, kHistoryLimit = 10000;

std::uint64_t mix(std::uint64_t hash, std::uint64_t word) {
  hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
  return hash ^ (hash >> 32);
}

struct Writer {
  std::vector<std::uint8_t> bytes;
  template <class T>
  void put(const T& value) {
    const auto* raw = reinterpret_cast<const std::uint8_t*>(&value);
    bytes.insert(bytes.end(), raw, raw + sizeof value);
  }
};

std::uint64_t hash_bytes(std::span<const std::uint8_t> bytes) {
  std::uint64_t hash = bytes.size();
  for (std::size_t i = 0; i < bytes.size(); i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<std::size_t>(8, bytes.size() - i));
    hash = mix(hash, word);
  }
  return hash;
}

}  // namespace

std::uint64_t fingerprint(std::span<const float> values, std::uint64_t seed) {
  std::uint64_t hash = mix(seed, values.size());
  for (std::size_t i = 0; i < values.size(); i += 2) {
    std::uint64_t word = std::bit_cast<std::uint32_t>(values[i]);
    if (i + 1 < values.size()) word |= static_cast<std::uint64_t>(std::bit_cast<std::uint32_t>(values[i + 1])) << 32;
    hash = mix(hash, word);
  }
  return hash;
}

std::vector<std::uint8_t> encode(const Checkpoint& checkpoint) {
  Writer out;
  out.bytes.reserve(checkpoint.estimate.size() * sizeof(float) + 4096);
  out.put(kMagic);
  out.put(checkpoint.fingerprint);
  out.put(static_cast<std::uint64_t>(checkpoint.history.size()));
  out.put(static_cast<std::uint64_t>(checkpoint.estimate.size()));
  for (const IterationReport& report : checkpoint.history) {
    out.put(static_cast<double>(report.iteration));
    out.put(static_cast<double>(report.iterations));
    out.put(report.log_likelihood);
    out.put(report.expected_counts);
    out.put(report.excluded_counts);
    out.put(report.change);
  }
  const auto* raw = reinterpret_cast<const std::uint8_t*>(checkpoint.estimate.data());
  out.bytes.insert(out.bytes.end(), raw, raw + checkpoint.estimate.size() * sizeof(float));
  out.put(hash_bytes(out.bytes));
  return std::move(out.bytes);
}

Result<Checkpoint> parse_checkpoint(std::span<const std::uint8_t> bytes) {
  const auto bad = [](const char* what) { return Error{ErrorCode::BadInput, std::string("checkpoint: ") + what}; };
  std::uint64_t head[4];
  if (bytes.size() < sizeof head + 8) return bad("too short");
  std::memcpy(head, bytes.data(), sizeof head);
  if (head[0] != kMagic) return bad("not a checkpoint of this program");
  if (head[2] > kHistoryLimit || head[3] > (std::uint64_t{1} << 32)) return bad("its sizes are out of range");
  const std::size_t expected =
      sizeof head + static_cast<std::size_t>(head[2]) * kHistoryFields * 8 + static_cast<std::size_t>(head[3]) * 4 + 8;
  if (bytes.size() != expected) return bad("its length is not what its header says");
  std::uint64_t closing;
  std::memcpy(&closing, bytes.data() + expected - 8, 8);
  if (closing != hash_bytes(bytes.first(expected - 8))) return bad("it was altered");
  Checkpoint checkpoint;
  checkpoint.fingerprint = head[1];
  const std::uint8_t* at = bytes.data() + sizeof head;
  for (std::uint64_t i = 0; i < head[2]; ++i, at += kHistoryFields * 8) {
    double f[kHistoryFields];
    std::memcpy(f, at, sizeof f);
    checkpoint.history.push_back({static_cast<std::size_t>(i) + 1,
                                  static_cast<std::size_t>(std::isfinite(f[1]) && f[1] >= 0 && f[1] < 1e6 ? f[1] : 0),
                                  f[2], f[3], f[4], f[5]});
  }
  checkpoint.estimate.resize(static_cast<std::size_t>(head[3]));
  std::memcpy(checkpoint.estimate.data(), at, checkpoint.estimate.size() * sizeof(float));
  return checkpoint;
}

}  // namespace tomogrid::recon
