// A receiver and a sender of streams that hear a peer who says anything in any order. Bytes are operations. What is in memory stays
// within the window, nothing is stored twice or beyond the end, and nothing is complete without its hash.
#include <algorithm>
#include <cstdlib>
#include <map>

#include "wire/stream.h"

namespace {

using namespace tomogrid;
using namespace tomogrid::wire;

constexpr std::uint64_t kWindow = 64 * 1024;

class Tape {
 public:
  Tape(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }
  std::uint8_t byte() {
    if (left_ == 0) return 0;
    --left_;
    return *data_++;
  }
  std::uint64_t number() {                    // small, near a block, or huge
    const std::uint8_t kind = byte();
    const std::uint64_t value = byte() | std::uint64_t{byte()} << 8;
    if (kind % 4 == 0) return value * 16 * 1024;
    if (kind % 4 == 1) return UINT64_MAX - value;
    return value;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Tape tape(data, size);
  StreamReceiver receiver(1, {kWindow, 2 * kWindow});
  StreamSender sender(1);
  struct Kept {
    std::uint64_t length = 0;
    IntervalSet set;
  };
  std::map<std::uint32_t, Kept> kept;
  std::uint32_t offered = 0;
  std::uint64_t credit = 0, sent = 0;
  bool dropped = false;
  const auto look = [&](const StreamEffects& effects) {
    for (const StreamEffect& effect : effects) {
      if (std::holds_alternative<DropPeer>(effect)) dropped = true;
      if (std::holds_alternative<CompleteSink>(effect)) std::abort();        // the roots below are nobody's
    }
  };
  while (!tape.empty() && !dropped) {
    StreamKey key;
    key.name = std::string(1, static_cast<char>('a' + tape.byte() % 4));
    const std::uint32_t number = tape.byte() % 8;
    switch (tape.byte() % 9) {
      case 0: {
        const std::uint64_t length = 1 + tape.number() % (4 << 20);
        if (!receiver.offered({key, ++offered, length})) std::abort();
        kept[offered].length = length;
        look(receiver.accept(offered, key, length, {}));
        break;
      }
      case 1: {
        const ChunkHeader chunk{number, tape.number(), static_cast<std::uint32_t>(1 + tape.number() % kChunkLimit)};
        auto arrived = receiver.arrived(chunk, chunk.length);
        look(arrived.effects);
        if (!dropped && receiver.unsettled() > 2 * kWindow) std::abort();
        for (const auto& [begin, end] : arrived.store) {
          if (dropped) break;
          Kept& stream = kept[number];
          if (end > stream.length || stream.set.add(begin, end) != end - begin) std::abort();
          look(receiver.stored(number, begin, end - begin, std::nullopt));
        }
        break;
      }
      case 2: look(receiver.handle(StreamEnd{number, tape.number(), {}})); break;
      case 3: look(receiver.handle(StreamAbort{number, true, "cancelled", ""})); break;
      case 4: look(receiver.stop(number, "cancelled", "", true)); break;
      case 5: {
        StreamEffects effects;
        (void)sender.offer(key, tape.number() % (4 << 20), {{tape.number(), tape.number()}}, effects);
        look(effects);
        break;
      }
      case 6: {
        const StreamCredit message{number, tape.number(), {tape.byte(), tape.byte()}, tape.number()};
        credit = std::max(credit, message.credit);
        look(sender.handle(message));
        break;
      }
      case 7: look(sender.handle(StreamDone{number})); break;
      default: {
        StreamEffects effects;
        const auto chunk = sender.next(kAckBlock << tape.byte() % 7, effects);
        if (chunk) sent += chunk->length;
        if (sent > credit) std::abort();
        if (sender.live(number)) look(sender.root_known(number, {}));
        look(effects);
      }
    }
  }
  (void)receiver.break_all("session", "");
  (void)sender.break_all("session", "");
  return 0;
}
