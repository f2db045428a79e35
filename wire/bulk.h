// Moves the bytes of one session's streams between stores and bulk connection: reads ahead, hashes leaves and writes on the pool,
// as the pure machines of wire/stream.h say. Loop's thread. Private to this folder; knows no socket.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "wire/pool.h"
#include "wire/ports.h"
#include "wire/stream.h"

namespace tomogrid::wire {

// Bytes shared by the chunks cut from them; never changed once filled, and not cleared before: that would cost a tenth of the
// hashing.
using Buffer = std::shared_ptr<std::uint8_t[]>;
// A received payload, whatever holds it; let go on any thread.
struct Payload {
  std::shared_ptr<const void> owner;
  ByteView bytes;
};

class Bulk final : public std::enable_shared_from_this<Bulk> {
 public:
  static constexpr std::size_t kStreamsMax = 64;                    // live, and offered unanswered, each way
  static constexpr std::uint64_t kReadAhead = 4 * 1024 * 1024;      // bytes read and not yet sent

  // What the session lends. drop() may be called at any time; the others not after break_all().
  struct Hooks {
    std::function<void(const Message&)> say;                        // on the control connection
    std::function<void(Event)> tell;
    std::function<void(const std::string&)> drop;                   // the peer broke the rules
    std::function<void()> need_connection;                          // a stream is about to flow
    // Whether no other sink of this stream lives: one that was cut may still be written on the pool. Ends a stream that another
    // session receives under the same key, which is then free soon.
    std::function<bool(const JobKey&, const StreamKey&)> sink_is_free;
    std::function<void(const JobKey&, const StreamKey&, const std::shared_ptr<StreamSink>&)> hold_sink;
    // False: full, offer again later.
    std::function<bool(const ChunkHeader&, const Buffer&, std::size_t offset)> send;
  };
  Bulk(PeerId peer, Windows windows, Pool& pool, StreamStore* store, Hooks hooks);

  // Effects of the machine.
  void send_stream(const SendStream& effect);
  void receive_stream(const ReceiveStream& effect);
  void stop_stream(const StopStream& effect);
  // The same stream begins in another session.
  void supersede(const StreamKey& key);
  // From the peer: StreamOffer (false: not for the machine), the other stream messages, chunks.
  bool offered(const StreamOffer& offer);
  void handle(Instant now, const Message& message);
  void chunk(const ChunkHeader& header, Payload payload);
  // Reads ahead and sends what it may. Call when credit, room or data may have come. True: the connection is full.
  bool pump(bool connected);
  // The session is gone: StreamBroken for every stream.
  void break_all(const std::string& code, const std::string& reason);
  bool idle() const { return sender_.count() == 0 && receiver_.count() == 0; }

 private:
  struct Outgoing {
    std::shared_ptr<StreamSource> source;
    std::uint64_t length = 0, strand = 0;
    bool whole_leaves = true;                                       // chunks are cut from leaves read whole, hashed on the way
    std::vector<job::Digest> leaves;
    std::vector<bool> claimed;                                      // read and hashed, or about to be
    std::uint64_t leaves_left = 0;
    std::uint64_t next_unclaimed = 0;
    std::size_t hashing = 0;                                        // leaves being read for their hash only
    std::map<std::uint64_t, Buffer> ready;                          // leaf -> bytes; null while being read
  };
  struct Arriving {
    std::shared_ptr<StreamSink> sink;
    JobKey job;
    std::uint64_t strand = 0;
  };
  struct Planned {
    StreamSender::Chunk chunk;
    Buffer bytes;                                                   // null while being read
    std::uint64_t at = 0;                                           // where the chunk begins in `bytes`
  };

  void perform(StreamEffects effects);
  void begin_receiving(const ReceiveStream& effect);
  void begin_waiting();
  void plan();
  void fetch(Planned& planned);
  void read_leaf(std::uint32_t number, std::uint64_t leaf, bool keep);
  void leaf_hashed(std::uint32_t number, std::uint64_t leaf, const job::Digest& digest);
  void hash_rest();
  void source_failed(std::uint32_t number, const std::string& reason);
  void write(std::uint32_t number, std::vector<Range> ranges, std::uint64_t offset, Payload payload);
  void hash_stored(std::uint32_t number, std::uint64_t leaf);
  void complete(std::uint32_t number);
  // Work on the pool whose end this object hears, if it still is: else the end is only let go.
  template <class Outcome>
  void on_pool(std::uint64_t strand, std::function<Outcome()> work, std::function<void(Bulk&, Outcome)> then,
               std::shared_ptr<void> keep);

  PeerId peer_;
  Pool& pool_;
  StreamStore* store_;
  Hooks hooks_;
  StreamSender sender_;
  StreamReceiver receiver_;
  ChunkSizer sizer_;
  std::map<std::uint32_t, Outgoing> outgoing_;
  std::map<std::uint32_t, Arriving> incoming_;
  std::map<std::uint32_t, StreamOffer> asked_;                      // offers that the machine has not answered
  std::vector<ReceiveStream> waiting_;                              // answered; an older sink is still being written
  std::deque<Planned> planned_;
  std::uint64_t planned_bytes_ = 0;
  bool broken_ = false;
};

}  // namespace tomogrid::wire
