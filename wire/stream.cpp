#include "wire/stream.h"

#include <algorithm>
#include <utility>

#include "certs/content_hash.h"

namespace tomogrid::wire {

namespace {

void append(StreamEffects& to, StreamEffects&& from) {
  for (StreamEffect& effect : from) to.push_back(std::move(effect));
}

// What a StreamCredit says is there already.
IntervalSet held(const StreamCredit& credit, std::uint64_t length) {
  IntervalSet set;
  set.add(0, std::min(credit.prefix, length));
  const std::uint64_t base = credit.prefix / kAckBlock * kAckBlock;
  for (std::uint64_t i = 0; i < credit.bitmap.size() * 8; ++i) {
    if ((credit.bitmap[i / 8] >> (i % 8) & 1) == 0) continue;
    const std::uint64_t begin = base + i * kAckBlock;
    if (begin >= length) break;
    set.add(begin, std::min(begin + kAckBlock, length));
  }
  return set;
}

ByteString bitmap_of(const IntervalSet& stored, std::uint64_t length) {
  ByteString bitmap;
  if (stored.pieces() < 2 && (stored.pieces() == 0 || stored.prefix() > 0)) return bitmap;   // a prefix says it all
  const std::uint64_t base = stored.prefix() / kAckBlock * kAckBlock;
  const std::uint64_t limit = std::min(length, base + kBitmapLimit * 8 * kAckBlock);
  for (const auto& [begin, end] : stored.ranges()) {
    const std::uint64_t last = std::min(end, limit);
    for (std::uint64_t block = std::max(base, (begin + kAckBlock - 1) / kAckBlock * kAckBlock); block < last; block += kAckBlock) {
      if (std::min(block + kAckBlock, length) > last) break;
      const std::uint64_t bit = (block - base) / kAckBlock;
      if (bitmap.size() <= bit / 8) bitmap.resize(bit / 8 + 1);
      bitmap[bit / 8] = static_cast<std::uint8_t>(bitmap[bit / 8] | 1U << bit % 8);
    }
  }
  return bitmap;
}

}  // namespace

// ---- StreamSender ----------------------------------------------------------------------------------------------------------

std::uint32_t StreamSender::offer(const StreamKey& key, std::uint64_t length, const std::vector<Range>& order,
                                  StreamEffects& effects) {
  if (const auto older = find(key)) append(effects, stop(*older, "superseded", "offered again", true));
  const std::uint32_t number = ++last_number_;
  Stream& stream = streams_[number];
  stream.key = key;
  stream.length = length;
  stream.ascending = order.empty();
  IntervalSet named;
  for (const auto& [begin, end] : order) {
    for (const Range& fresh : named.missing(std::min(begin, length), std::min(end, length))) stream.pending.push_back(fresh);
    named.add(std::min(begin, length), std::min(end, length));
  }
  for (const Range& rest : named.missing(0, length)) stream.pending.push_back(rest);
  effects.push_back(SayStream{StreamOffer{key, number, length}});
  return number;
}

StreamEffects StreamSender::handle(const Message& message) {
  StreamEffects effects;
  if (const auto* credit = std::get_if<StreamCredit>(&message)) {
    credit_ = std::max(credit_, credit->credit);
    if (credit_ > taken_) widest_ = std::max(widest_, credit_ - taken_);
    const auto found = streams_.find(credit->number);
    if (found != streams_.end() && found->second.state == State::Offered) begin(found->first, found->second, *credit, effects);
  } else if (const auto* done = std::get_if<StreamDone>(&message)) {
    const auto found = streams_.find(done->number);
    if (found == streams_.end()) return effects;
    if (found->second.state != State::Ended) return {DropPeer{"a stream is said to be done before its end"}};
    effects.push_back(TellMachine{StreamSent{peer_, found->second.key, found->second.length, *found->second.root}});
    effects.push_back(Finished{done->number, true});
    streams_.erase(found);
  } else if (const auto* abort = std::get_if<StreamAbort>(&message)) {
    if (live(abort->number)) return broken(abort->number, abort->code, abort->reason);
  }
  return effects;
}

void StreamSender::begin(std::uint32_t number, Stream& stream, const StreamCredit& first, StreamEffects& effects) {
  const IntervalSet there = held(first, stream.length);
  std::vector<Range> left;
  for (const auto& [begin, end] : stream.pending) {
    for (const Range& hole : there.missing(begin, end)) left.push_back(hole);
  }
  stream.pending = std::move(left);
  stream.state = State::Sending;
  end_if_ready(number, stream, effects);
}

void StreamSender::end_if_ready(std::uint32_t number, Stream& stream, StreamEffects& effects) {
  if (stream.state != State::Sending || stream.cursor < stream.pending.size() || !stream.root) return;
  stream.state = State::Ended;
  effects.push_back(SayStream{StreamEnd{number, stream.length, *stream.root}});
}

bool StreamSender::will_send(std::uint32_t number, std::uint64_t begin, std::uint64_t end) const {
  const Stream& stream = streams_.at(number);
  for (std::size_t i = stream.cursor; i < stream.pending.size(); ++i) {
    const auto& [first, last] = stream.pending[i];
    if (first < end && begin < last) return true;
    if (stream.ascending && first >= end) return false;
  }
  return false;
}

std::optional<StreamSender::Chunk> StreamSender::next(std::uint64_t most, StreamEffects& effects) {
  if (streams_.empty() || credit_ <= taken_) return std::nullopt;
  auto candidate = streams_.upper_bound(turn_);
  for (std::size_t i = 0; i < streams_.size(); ++i, ++candidate) {
    if (candidate == streams_.end()) candidate = streams_.begin();
    Stream& stream = candidate->second;
    if (stream.state != State::Sending || stream.cursor == stream.pending.size()) continue;
    Range& range = stream.pending[stream.cursor];
    std::uint64_t length = std::min(range.second, (range.first / most + 1) * most) - range.first;
    const std::uint64_t available = credit_ - taken_;
    if (length > available) {
      // Waiting keeps leaves whole, and is safe when the window is several chunks wide: what is out there will be settled.
      if (length <= widest_ / 4) return std::nullopt;
      length = available / kAckBlock * kAckBlock;
      if (length == 0) return std::nullopt;
    }
    const Chunk chunk{candidate->first, range.first, static_cast<std::uint32_t>(length)};
    range.first += length;
    if (range.first == range.second) ++stream.cursor;
    taken_ += length;
    turn_ = candidate->first;
    end_if_ready(candidate->first, stream, effects);
    return chunk;
  }
  return std::nullopt;
}

StreamEffects StreamSender::root_known(std::uint32_t number, const job::Digest& root) {
  StreamEffects effects;
  const auto found = streams_.find(number);
  if (found == streams_.end()) return effects;
  found->second.root = root;
  end_if_ready(number, found->second, effects);
  return effects;
}

StreamEffects StreamSender::stop(std::uint32_t number, const std::string& code, const std::string& reason, bool tell_machine) {
  if (!live(number)) return {};
  StreamEffects effects{SayStream{StreamAbort{number, true, code, reason}}};
  for (StreamEffect& effect : broken(number, code, reason)) {
    if (tell_machine || !std::holds_alternative<TellMachine>(effect)) effects.push_back(std::move(effect));
  }
  return effects;
}

StreamEffects StreamSender::broken(std::uint32_t number, const std::string& code, const std::string& reason) {
  const StreamKey key = streams_.at(number).key;
  streams_.erase(number);
  return {Finished{number, true}, TellMachine{StreamBroken{peer_, key, code, reason}}};
}

StreamEffects StreamSender::break_all(const std::string& code, const std::string& reason) {
  StreamEffects effects;
  while (!streams_.empty()) append(effects, broken(streams_.begin()->first, code, reason));
  return effects;
}

std::optional<std::uint32_t> StreamSender::find(const StreamKey& key) const {
  const auto found = std::find_if(streams_.begin(), streams_.end(), [&](const auto& entry) { return entry.second.key == key; });
  if (found == streams_.end()) return std::nullopt;
  return found->first;
}

// ---- StreamReceiver --------------------------------------------------------------------------------------------------------

bool StreamReceiver::offered(const StreamOffer& offer) {
  if (offer.number <= last_number_) return false;
  last_number_ = offer.number;
  return true;
}

std::uint64_t StreamReceiver::window() const { return std::min(windows_.session, windows_.stream * streams_.size()); }

StreamEffects StreamReceiver::accept(std::uint32_t number, const StreamKey& key, std::uint64_t length,
                                     const std::vector<Range>& stored) {
  StreamEffects effects;
  if (const auto older = find(key)) append(effects, stop(*older, "superseded", "offered again", true));
  Stream& stream = streams_[number];
  stream.key = key;
  stream.length = length;
  stream.leaves_left = certs::leaf_count(length);
  stream.leaves.resize(stream.leaves_left);
  stream.hashed.resize(stream.leaves_left);
  for (const auto& [begin, end] : stored) stream.stored.add(std::min(begin, length), std::min(end, length));
  stream.arriving = stream.stored;
  for (const auto& [begin, end] : stream.stored.ranges()) {
    effects.push_back(TellMachine{RangeStored{peer_, key, begin, end - begin}});
    ask_leaves(number, stream, begin, end, effects);
  }
  say_credit(number, stream, true, effects);
  return effects;
}

StreamEffects StreamReceiver::decline(std::uint32_t number, const std::string& code, const std::string& reason) {
  return {SayStream{StreamAbort{number, false, code, reason}}};
}

void StreamReceiver::say_credit(std::uint32_t number, const Stream& stream, bool always, StreamEffects& effects) {
  const std::uint64_t room = window();
  const std::uint64_t credit = std::max(credit_, settled_ + room);
  const bool idle = received_ == settled_ && credit > credit_;
  if (!always && !idle && credit - credit_ < room / 8) return;
  credit_ = credit;
  effects.push_back(SayStream{StreamCredit{number, stream.stored.prefix(), bitmap_of(stream.stored, stream.length), credit_}});
}

// Bytes of a chunk are in the sink or let go: they no longer cost memory, so as much again may come.
void StreamReceiver::settle(std::uint64_t bytes, std::uint32_t number, StreamEffects& effects) {
  settled_ += bytes;
  auto told = streams_.find(number);
  if (told == streams_.end()) told = streams_.begin();       // its stream is over: any other carries the word
  if (told != streams_.end()) say_credit(told->first, told->second, false, effects);
}

StreamReceiver::Arrived StreamReceiver::arrived(const ChunkHeader& chunk, std::uint64_t payload) {
  Arrived result;
  const auto drop = [&](std::string reason) {
    result.effects.push_back(DropPeer{std::move(reason)});
    return std::move(result);
  };
  if (payload != chunk.length) return drop("a chunk of " + std::to_string(payload) + " bytes says it has " + std::to_string(chunk.length));
  if (chunk.number > last_number_) return drop("a chunk of a stream that was never offered");
  received_ += payload;
  if (received_ > credit_) return drop("more was sent than there was credit for");
  const auto found = streams_.find(chunk.number);
  if (found == streams_.end()) {                              // over here, and the sender did not know yet
    settle(payload, chunk.number, result.effects);
    return result;
  }
  Stream& stream = found->second;
  const std::uint64_t end = chunk.offset + chunk.length;
  if (end < chunk.offset || end > stream.length) return drop("a chunk reaches beyond the end of its stream");
  result.store = stream.arriving.missing(chunk.offset, end);
  const std::uint64_t fresh = stream.arriving.add(chunk.offset, end);
  if (stream.arriving.pieces() > kPiecesMax) return drop("a stream in too many pieces");
  if (fresh < payload) settle(payload - fresh, chunk.number, result.effects);
  return result;
}

StreamEffects StreamReceiver::stored(std::uint32_t number, std::uint64_t offset, std::uint64_t length,
                                     const std::optional<job::Digest>& leaf) {
  StreamEffects effects;
  const auto found = streams_.find(number);
  if (found != streams_.end()) {
    Stream& stream = found->second;
    stream.stored.add(offset, offset + length);
    effects.push_back(TellMachine{RangeStored{peer_, stream.key, offset, length}});
    if (leaf) {
      append(effects, leaf_hashed(number, offset / certs::kLeafSize, *leaf));
    } else {
      ask_leaves(number, stream, offset, offset + length, effects);
    }
  }
  settle(length, number, effects);
  return effects;
}

StreamEffects StreamReceiver::let_go(std::uint32_t number, std::uint64_t length) {
  StreamEffects effects;
  settle(length, number, effects);
  return effects;
}

// Leaves that [begin, end) touches and that are now complete.
void StreamReceiver::ask_leaves(std::uint32_t number, Stream& stream, std::uint64_t begin, std::uint64_t end, StreamEffects& effects) {
  for (std::uint64_t leaf = begin / certs::kLeafSize; leaf * certs::kLeafSize < end; ++leaf) {
    const std::uint64_t first = leaf * certs::kLeafSize;
    if (stream.hashed[leaf] || !stream.stored.contains(first, std::min(first + certs::kLeafSize, stream.length))) continue;
    stream.hashed[leaf] = true;                               // asked for, once
    effects.push_back(HashLeaf{number, leaf});
  }
}

StreamEffects StreamReceiver::leaf_hashed(std::uint32_t number, std::uint64_t leaf, const job::Digest& digest) {
  StreamEffects effects;
  const auto found = streams_.find(number);
  if (found == streams_.end()) return effects;
  Stream& stream = found->second;
  TOMOGRID_ASSERT(leaf < stream.leaves.size() && stream.leaves_left > 0);
  stream.leaves[leaf] = digest;
  stream.hashed[leaf] = true;
  --stream.leaves_left;
  verify_if_ready(number, stream, effects);
  return effects;
}

void StreamReceiver::verify_if_ready(std::uint32_t number, Stream& stream, StreamEffects& effects) {
  if (stream.state != State::Receiving || !stream.end || stream.leaves_left > 0) return;
  stream.state = State::Verifying;
  if (certs::combine_root(stream.leaves, stream.length) == stream.end->root) {
    effects.push_back(CompleteSink{number});
    return;
  }
  effects.push_back(ForgetSink{number});
  append(effects, broken(number, "hash", "what arrived is not what was sent: the content hashes differ", true, true));
}

StreamEffects StreamReceiver::completed(std::uint32_t number) {
  const auto found = streams_.find(number);
  if (found == streams_.end()) return {};
  TOMOGRID_ASSERT(found->second.state == State::Verifying);
  StreamEffects effects{SayStream{StreamDone{number}},
                        TellMachine{StreamReceived{peer_, found->second.key, found->second.length, found->second.end->root}},
                        Finished{number, false}};
  streams_.erase(found);
  return effects;
}

StreamEffects StreamReceiver::failed(std::uint32_t number, const std::string& reason) { return stop(number, "storage", reason, true); }

StreamEffects StreamReceiver::handle(const Message& message) {
  StreamEffects effects;
  if (const auto* end = std::get_if<StreamEnd>(&message)) {
    const auto found = streams_.find(end->number);
    if (found == streams_.end()) return effects;
    if (found->second.end) return {DropPeer{"a stream has two ends"}};
    if (end->length != found->second.length) {
      return stop(end->number, "length", "offered with " + std::to_string(found->second.length) + " bytes, ended with " +
                                             std::to_string(end->length), true);
    }
    found->second.end = *end;
    verify_if_ready(end->number, found->second, effects);
  } else if (const auto* abort = std::get_if<StreamAbort>(&message)) {
    if (live(abort->number)) return broken(abort->number, abort->code, abort->reason, false, true);
  }
  return effects;
}

StreamEffects StreamReceiver::stop(std::uint32_t number, const std::string& code, const std::string& reason, bool tell_machine) {
  if (!live(number)) return {};
  return broken(number, code, reason, true, tell_machine);
}

StreamEffects StreamReceiver::broken(std::uint32_t number, const std::string& code, const std::string& reason, bool say,
                                     bool tell_machine) {
  const StreamKey key = streams_.at(number).key;
  streams_.erase(number);
  StreamEffects effects;
  if (say) effects.push_back(SayStream{StreamAbort{number, false, code, reason}});
  effects.push_back(Finished{number, false});
  if (tell_machine) effects.push_back(TellMachine{StreamBroken{peer_, key, code, reason}});
  return effects;
}

StreamEffects StreamReceiver::break_all(const std::string& code, const std::string& reason) {
  StreamEffects effects;
  while (!streams_.empty()) append(effects, broken(streams_.begin()->first, code, reason, false, true));
  return effects;
}

std::optional<std::uint32_t> StreamReceiver::find(const StreamKey& key) const {
  const auto found = std::find_if(streams_.begin(), streams_.end(), [&](const auto& entry) { return entry.second.key == key; });
  if (found == streams_.end()) return std::nullopt;
  return found->first;
}

// ---- ChunkSizer --------------------------------------------------------------------------------------------------------------

void ChunkSizer::observe(Instant now, std::uint64_t settled) {
  constexpr Duration kLeast = std::chrono::milliseconds(20), kLongest = std::chrono::milliseconds(250);
  if (!since_ || settled < settled_) {
    since_ = now;
    settled_ = settled;
    return;
  }
  const Duration past = now - *since_;
  if (past < kLeast || settled == settled_) return;
  const double rate = static_cast<double>(settled - settled_) / std::chrono::duration<double>(past).count();
  const double most = rate * std::chrono::duration<double>(kLongest).count();
  std::uint64_t size = kAckBlock;
  while (size < kChunkLimit && static_cast<double>(size * 2) <= most) size *= 2;
  size_ = std::clamp(size, size_ / 2, size_ * 4);               // one odd measurement does not swing it
  size_ = std::clamp<std::uint64_t>(size_, kAckBlock, kChunkLimit);
  since_ = now;
  settled_ = settled;
}

}  // namespace tomogrid::wire
