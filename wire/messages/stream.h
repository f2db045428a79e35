// Bytes in bulk: a stream is (job, name, generation), offered, credited, sent in chunks in any order, closed by its
// root (docs/protocol.md, "Stream"). Values only. Everything but Join and Chunk travels on the control connection.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"
#include "job/job.h"
#include "wire/messages/session.h"

namespace tomogrid::wire {

inline constexpr std::uint64_t kAckBlock = 16 * 1024;          // one bit of StreamCredit::bitmap
inline constexpr std::uint64_t kChunkLimit = 1024 * 1024;      // payload of one chunk
inline constexpr std::uint64_t kStreamLimit = std::uint64_t{1} << 40;   // length of one stream: its leaf hashes fit 32 MiB

struct StreamKey {
  job::JobId job;
  std::string name;
  std::uint32_t generation = 0;            // of a preview or checkpoint that is replaced; 0 for inputs and outputs
  auto operator<=>(const StreamKey&) const = default;
};

// Sender to receiver: I have this. `number` names the stream on this session's bulk connections, unique per sender.
struct StreamOffer { StreamKey key; std::uint32_t number = 0; std::uint64_t length = 0; bool operator==(const StreamOffer&) const = default; };
// Receiver to sender: what has arrived and is stored, and how much may be sent. Repeated as it goes. After a cut the
// first one, with what was kept, is where the sender resumes.
struct StreamCredit {
  std::uint32_t number = 0;
  std::uint64_t prefix = 0;                // bytes from the start without a hole
  ByteString bitmap;                       // bit i: block [prefix rounded down to kAckBlock + i * kAckBlock, ...) is complete; at most 2 KiB
  std::uint64_t credit = 0;                // payload bytes the sender may have sent in this session, in total
  bool operator==(const StreamCredit&) const = default;
};
// Sender to receiver: everything is sent; this is the content hash.
struct StreamEnd { std::uint32_t number = 0; std::uint64_t length = 0; job::Digest root{}; bool operator==(const StreamEnd&) const = default; };
// Receiver to sender: stored, and the hash agrees.
struct StreamDone { std::uint32_t number = 0; bool operator==(const StreamDone&) const = default; };
// Either: give up. Codes: "hash", "storage", "unknown", "length", "cancelled", "superseded".
struct StreamAbort { std::uint32_t number = 0; bool from_sender = false; std::string code; std::string reason; bool operator==(const StreamAbort&) const = default; };

// Bulk door, client to server, first: which session this connection belongs to. Same User-Id required.
struct Join { SessionId session{}; bool operator==(const Join&) const = default; };
struct Joined { bool operator==(const Joined&) const = default; };
// Header of a chunk; the payload is the second and last frame of the same message.
struct ChunkHeader { std::uint32_t number = 0; std::uint64_t offset = 0; std::uint32_t length = 0; bool operator==(const ChunkHeader&) const = default; };

}  // namespace tomogrid::wire
