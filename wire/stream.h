// Bytes in bulk, both ends of it (docs/protocol.md, "Stream"): who may send how much, what has arrived, where a cut stream
// resumes, when it is complete. Pure: no sockets, no bytes, no hashing, no clock. The performer (wire/bulk.h) moves the bytes
// that these two speak of.
//
// StreamSender holds every stream that this side sends in one session, StreamReceiver every one that it receives. Chunks may
// come in any order, duplicated or overlapping: of each only what is not here yet is stored, so that a leaf that was
// hashed cannot change. Credit is counted in payload bytes for the whole session.
//
//   sender:   Offered -> Sending -> Ended -> Done          receiver: Receiving -> Verifying -> Done
//   either may go to Broken: abort, or the session is gone. What is stored stays.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wire/interval_set.h"
#include "wire/machine.h"
#include "wire/messages/stream.h"

namespace tomogrid::wire {

// ---- Effects -------------------------------------------------------------------------------------------------------------
struct SayStream { Message message; };                      // on the control connection
struct TellMachine { Event event; };                        // RangeStored, StreamReceived, StreamSent, StreamBroken
struct HashLeaf { std::uint32_t number = 0; std::uint64_t leaf = 0; };   // read it from the sink, then leaf_hashed()
struct CompleteSink { std::uint32_t number = 0; };          // hash agrees: sync, rename, then completed()
struct ForgetSink { std::uint32_t number = 0; };            // hash differs: nothing stored may be resumed from
struct Finished { std::uint32_t number = 0; bool sending = false; };     // no more is asked of this stream: let go of its sink or source
struct DropPeer { std::string reason; };                    // it broke the rules
using StreamEffect = std::variant<SayStream, TellMachine, HashLeaf, CompleteSink, ForgetSink, Finished, DropPeer>;
using StreamEffects = std::vector<StreamEffect>;

// ---- Sending -------------------------------------------------------------------------------------------------------------
class StreamSender final {
 public:
  enum class State { Offered, Sending, Ended };
  struct Chunk {
    std::uint32_t number = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    bool operator==(const Chunk&) const = default;
  };

  explicit StreamSender(PeerId peer) : peer_(peer) {}

  // Offers a stream and returns its number. `order`: which ranges first; what it leaves out follows in ascending order.
  // A second stream with the key of a live one breaks the older ("superseded").
  std::uint32_t offer(const StreamKey& key, std::uint64_t length, const std::vector<Range>& order, StreamEffects& effects);
  // StreamCredit, StreamDone, StreamAbort. Of streams that are over: ignored.
  StreamEffects handle(const Message& message);
  // What to send next, streams taking turns; takes its credit. At most `most` bytes, which is a multiple of kAckBlock and not
  // over kChunkLimit; never across a multiple of `most`, so that whole leaves are sent whole. The last chunk may bring StreamEnd.
  std::optional<Chunk> next(std::uint64_t most, StreamEffects& effects);
  // A chunk that was taken and will not be sent after all.
  void give_back(std::uint32_t length) { taken_ -= length; }
  // The content hash is known.
  StreamEffects root_known(std::uint32_t number, const job::Digest& root);
  // Gives up, and tells the receiver. With `tell_machine` StreamBroken comes out as well.
  StreamEffects stop(std::uint32_t number, const std::string& code, const std::string& reason, bool tell_machine);
  // The session is gone.
  StreamEffects break_all(const std::string& code, const std::string& reason);

  std::optional<std::uint32_t> find(const StreamKey& key) const;
  // Requires a live stream.
  State state(std::uint32_t number) const { return streams_.at(number).state; }
  bool live(std::uint32_t number) const { return streams_.contains(number); }
  // Whether any of [begin, end) of a live stream is still to be taken by next().
  bool will_send(std::uint32_t number, std::uint64_t begin, std::uint64_t end) const;
  std::size_t count() const { return streams_.size(); }
  // How far the receiver has come, in bytes settled since the session began: the measure of rate.
  std::uint64_t credit() const { return credit_; }

 private:
  struct Stream {
    StreamKey key;
    std::uint64_t length = 0;
    State state = State::Offered;
    bool ascending = true;                                  // pending is in ascending order
    std::vector<Range> pending;                             // first range first; what is before the cursor is taken
    std::size_t cursor = 0;
    std::optional<job::Digest> root;
  };
  void begin(std::uint32_t number, Stream& stream, const StreamCredit& first, StreamEffects& effects);
  void end_if_ready(std::uint32_t number, Stream& stream, StreamEffects& effects);
  StreamEffects broken(std::uint32_t number, const std::string& code, const std::string& reason);

  PeerId peer_;
  std::map<std::uint32_t, Stream> streams_;
  std::uint32_t last_number_ = 0;
  std::uint32_t turn_ = 0;                                  // number served last
  std::uint64_t credit_ = 0, taken_ = 0, widest_ = 0;
};

// ---- Receiving -----------------------------------------------------------------------------------------------------------
struct Windows {
  std::uint64_t stream = 16 * 1024 * 1024;                  // ahead of what is stored, for each live stream
  std::uint64_t session = 64 * 1024 * 1024;                 // for all of them
};

class StreamReceiver final {
 public:
  enum class State { Receiving, Verifying };
  static constexpr std::size_t kPiecesMax = 64 * 1024;      // of one stream: more is not transport but an attack

  StreamReceiver(PeerId peer, Windows windows) : peer_(peer), windows_(windows) {}

  // An offer came in. Numbers only grow within a session; nullopt when this one did not (drop the peer).
  bool offered(const StreamOffer& offer);
  // The machine takes it. `stored`: what an earlier attempt kept; the machine hears of it as RangeStored again, and its
  // complete leaves are asked to be hashed. Requires length <= kStreamLimit.
  StreamEffects accept(std::uint32_t number, const StreamKey& key, std::uint64_t length, const std::vector<Range>& stored);
  // The machine does not: says StreamAbort.
  StreamEffects decline(std::uint32_t number, const std::string& code, const std::string& reason);

  // A chunk whose payload has `payload` bytes arrived. `store`: what of it to write, in order; then call stored() for each
  // of these ranges. Empty: nothing new. A violation comes as DropPeer.
  struct Arrived {
    std::vector<Range> store;
    StreamEffects effects;
  };
  Arrived arrived(const ChunkHeader& chunk, std::uint64_t payload);
  // [offset, offset + length) is in the sink. `leaf`: its hash, when it is exactly one leaf and was hashed on the way.
  StreamEffects stored(std::uint32_t number, std::uint64_t offset, std::uint64_t length, const std::optional<job::Digest>& leaf);
  // Bytes of arrived().store that could not be stored, after failed() or when their stream is over.
  StreamEffects let_go(std::uint32_t number, std::uint64_t length);
  StreamEffects leaf_hashed(std::uint32_t number, std::uint64_t leaf, const job::Digest& digest);
  // The sink has completed; or the sink failed at any time.
  StreamEffects completed(std::uint32_t number);
  StreamEffects failed(std::uint32_t number, const std::string& reason);
  // StreamEnd, StreamAbort.
  StreamEffects handle(const Message& message);
  StreamEffects stop(std::uint32_t number, const std::string& code, const std::string& reason, bool tell_machine);
  StreamEffects break_all(const std::string& code, const std::string& reason);

  std::optional<std::uint32_t> find(const StreamKey& key) const;
  bool live(std::uint32_t number) const { return streams_.contains(number); }
  // Requires a live stream.
  std::uint64_t length(std::uint32_t number) const { return streams_.at(number).length; }
  std::size_t count() const { return streams_.size(); }
  std::uint64_t unsettled() const { return received_ - settled_; }   // payload bytes in memory now

 private:
  struct Stream {
    StreamKey key;
    std::uint64_t length = 0;
    State state = State::Receiving;
    IntervalSet arriving;                                   // stored, or on its way to the sink
    IntervalSet stored;
    std::vector<job::Digest> leaves;
    std::vector<bool> hashed;
    std::uint64_t leaves_left = 0;
    std::optional<StreamEnd> end;
  };
  std::uint64_t window() const;
  void say_credit(std::uint32_t number, const Stream& stream, bool always, StreamEffects& effects);
  void settle(std::uint64_t bytes, std::uint32_t number, StreamEffects& effects);
  void ask_leaves(std::uint32_t number, Stream& stream, std::uint64_t begin, std::uint64_t end, StreamEffects& effects);
  void verify_if_ready(std::uint32_t number, Stream& stream, StreamEffects& effects);
  StreamEffects broken(std::uint32_t number, const std::string& code, const std::string& reason, bool say, bool tell_machine);

  PeerId peer_;
  Windows windows_;
  std::map<std::uint32_t, Stream> streams_;
  std::uint32_t last_number_ = 0;
  std::uint64_t received_ = 0, settled_ = 0;                // payload bytes that came; of these, stored or let go
  std::uint64_t credit_ = 0;                                // told
};

// ---- Sizes of chunks -------------------------------------------------------------------------------------------------------
// Small until the rate is known, then the power of two of at most 250 ms of it, from kAckBlock to kChunkLimit.
class ChunkSizer final {
 public:
  // `settled`: StreamSender::credit(). Call as credit arrives.
  void observe(Instant now, std::uint64_t settled);
  std::uint64_t size() const { return size_; }

 private:
  std::uint64_t size_ = 64 * 1024;
  std::optional<Instant> since_;
  std::uint64_t settled_ = 0;
};

}  // namespace tomogrid::wire
