#include "wire/bulk.h"

#include <algorithm>
#include <utility>

#include "certs/content_hash.h"

namespace tomogrid::wire {

namespace {

using certs::kLeafSize;

std::uint64_t leaf_length(std::uint64_t leaf, std::uint64_t length) { return std::min(kLeafSize, length - leaf * kLeafSize); }

struct Leaf {
  Buffer bytes;
  job::Digest digest{};
  std::optional<Error> error;
};

Buffer new_buffer(std::uint64_t size) { return std::make_shared_for_overwrite<std::uint8_t[]>(size); }

}  // namespace

Bulk::Bulk(PeerId peer, Windows windows, Pool& pool, StreamStore* store, Hooks hooks)
    : peer_(peer), pool_(pool), store_(store), hooks_(std::move(hooks)), sender_(peer), receiver_(peer, windows) {}

template <class Outcome>
void Bulk::on_pool(std::uint64_t strand, std::function<Outcome()> work, std::function<void(Bulk&, Outcome)> then,
                   std::shared_ptr<void> keep) {
  pool_.submit(strand, [work = std::move(work), then = std::move(then), keep = std::move(keep), weak = weak_from_this()]() mutable {
    return Pool::Completion([outcome = work(), then = std::move(then), keep = std::move(keep), weak = std::move(weak)]() {
      if (const auto self = weak.lock(); self && !self->broken_) then(*self, outcome);
    });
  });
}

void Bulk::perform(StreamEffects effects) {
  for (StreamEffect& effect : effects) {
    if (auto* say = std::get_if<SayStream>(&effect)) {
      hooks_.say(say->message);
    } else if (auto* tell = std::get_if<TellMachine>(&effect)) {
      hooks_.tell(std::move(tell->event));
    } else if (const auto* hash = std::get_if<HashLeaf>(&effect)) {
      hash_stored(hash->number, hash->leaf);
    } else if (const auto* whole = std::get_if<CompleteSink>(&effect)) {
      complete(whole->number);
    } else if (const auto* forget = std::get_if<ForgetSink>(&effect)) {
      if (const auto found = incoming_.find(forget->number); found != incoming_.end()) found->second.sink->forget();
    } else if (const auto* over = std::get_if<Finished>(&effect)) {
      // Numbers of the two directions are apart: a stream is in one map only by the machine that speaks of it.
      (over->sending ? static_cast<void>(outgoing_.erase(over->number)) : static_cast<void>(incoming_.erase(over->number)));
      if (over->sending) {
        std::erase_if(planned_, [&](const Planned& planned) {
          if (planned.chunk.number != over->number) return false;
          planned_bytes_ -= planned.chunk.length;
          sender_.give_back(planned.chunk.length);
          return true;
        });
      }
    } else if (const auto* drop = std::get_if<DropPeer>(&effect)) {
      hooks_.drop(drop->reason);
      return;
    }
  }
}

// ---- Sending ---------------------------------------------------------------------------------------------------------------

void Bulk::send_stream(const SendStream& effect) {
  const auto refuse = [&](const std::string& code, const std::string& reason) {
    hooks_.tell(StreamBroken{peer_, effect.key, code, reason});
  };
  TOMOGRID_ASSERT(store_ != nullptr);
  if (sender_.count() >= kStreamsMax) return refuse("busy", "too many streams at once in one session");
  auto source = store_->open_source(effect.job, effect.key);
  if (!source) return refuse("unknown", source.error().message);
  if ((*source)->length() > kStreamLimit) return refuse("length", "a stream of more than 1 TiB");
  Outgoing stream;
  stream.source = std::move(*source);
  stream.length = stream.source->length();
  stream.strand = pool_.new_strand();
  stream.leaves_left = certs::leaf_count(stream.length);
  stream.leaves.resize(stream.leaves_left);
  stream.claimed.resize(stream.leaves_left);
  const std::vector<Range> order = stream.source->order();
  stream.whole_leaves = order.empty();
  StreamEffects effects;
  const std::uint64_t length = stream.length;
  const std::uint32_t number = sender_.offer(effect.key, length, order, effects);
  perform(std::move(effects));
  outgoing_[number] = std::move(stream);
  hooks_.need_connection();
  if (length == 0) perform(sender_.root_known(number, certs::combine_root({}, 0)));
}

// Takes chunks from the machine while there is credit and room, and has their bytes read.
void Bulk::plan() {
  while (planned_bytes_ < kReadAhead) {
    StreamEffects effects;
    const auto chunk = sender_.next(sizer_.size(), effects);
    perform(std::move(effects));
    if (!chunk) break;
    planned_bytes_ += chunk->length;
    planned_.push_back({*chunk, nullptr, 0});
    fetch(planned_.back());
    // A leaf is let go when nothing more of it will be taken; the chunks that wait share its bytes.
    const std::uint64_t leaf = chunk->offset / kLeafSize;
    if (!sender_.will_send(chunk->number, leaf * kLeafSize, (leaf + 1) * kLeafSize)) outgoing_.at(chunk->number).ready.erase(leaf);
  }
}

void Bulk::fetch(Planned& planned) {
  Outgoing& stream = outgoing_.at(planned.chunk.number);
  if (stream.whole_leaves) {
    const std::uint64_t leaf = planned.chunk.offset / kLeafSize;
    planned.at = planned.chunk.offset % kLeafSize;
    const auto [found, fresh] = stream.ready.try_emplace(leaf, nullptr);
    planned.bytes = found->second;
    if (fresh) read_leaf(planned.chunk.number, leaf, true);
    return;
  }
  const StreamSender::Chunk chunk = planned.chunk;
  std::function<Leaf()> work = [source = stream.source.get(), chunk] {
    Leaf read{new_buffer(chunk.length), {}, std::nullopt};
    if (auto done = source->read(chunk.offset, {read.bytes.get(), chunk.length}); !done) read.error = done.error();
    return read;
  };
  on_pool<Leaf>(stream.strand, std::move(work), [chunk](Bulk& self, Leaf read) {
    if (read.error) return self.source_failed(chunk.number, read.error->message);
    for (Planned& waiting : self.planned_) {
      if (waiting.chunk == chunk) waiting.bytes = read.bytes;
    }
  }, stream.source);
}

void Bulk::read_leaf(std::uint32_t number, std::uint64_t leaf, bool keep) {
  Outgoing& stream = outgoing_.at(number);
  const bool hash = !stream.claimed[leaf];
  stream.claimed[leaf] = true;
  if (!keep) ++stream.hashing;
  std::function<Leaf()> work = [source = stream.source.get(), leaf, hash, size = leaf_length(leaf, stream.length)] {
    Leaf read{new_buffer(size), {}, std::nullopt};
    const std::span<std::uint8_t> bytes(read.bytes.get(), size);
    if (auto done = source->read(leaf * kLeafSize, bytes); !done) read.error = done.error();
    if (!read.error && hash) read.digest = certs::hash_leaf(bytes);
    return read;
  };
  on_pool<Leaf>(stream.strand, std::move(work), [number, leaf, keep, hash](Bulk& self, Leaf read) {
    if (read.error) return self.source_failed(number, read.error->message);
    const auto found = self.outgoing_.find(number);
    if (found == self.outgoing_.end()) return;
    if (!keep) --found->second.hashing;
    if (keep) {
      if (const auto wanted = found->second.ready.find(leaf); wanted != found->second.ready.end()) wanted->second = read.bytes;
      for (Planned& waiting : self.planned_) {
        if (waiting.chunk.number == number && waiting.chunk.offset / kLeafSize == leaf) waiting.bytes = read.bytes;
      }
    }
    if (hash) self.leaf_hashed(number, leaf, read.digest);
  }, stream.source);
}

void Bulk::leaf_hashed(std::uint32_t number, std::uint64_t leaf, const job::Digest& digest) {
  Outgoing& stream = outgoing_.at(number);
  stream.leaves[leaf] = digest;
  if (--stream.leaves_left == 0) perform(sender_.root_known(number, certs::combine_root(stream.leaves, stream.length)));
}

// Leaves that no chunk will read whole (the receiver has them, or chunks go in an order of their own) are read for their hash
// only, two at a time, beside what is sent.
void Bulk::hash_rest() {
  for (auto& [number, stream] : outgoing_) {
    if (sender_.state(number) == StreamSender::State::Offered) continue;
    while (stream.hashing < 2 && stream.next_unclaimed < stream.claimed.size()) {
      const std::uint64_t leaf = stream.next_unclaimed;
      if (!stream.claimed[leaf] && stream.whole_leaves &&
          sender_.will_send(number, leaf * kLeafSize, leaf * kLeafSize + leaf_length(leaf, stream.length))) {
        break;                                               // its turn comes, and those after it
      }
      ++stream.next_unclaimed;
      if (!stream.claimed[leaf]) read_leaf(number, leaf, false);
    }
  }
}

void Bulk::source_failed(std::uint32_t number, const std::string& reason) { perform(sender_.stop(number, "storage", reason, true)); }

bool Bulk::pump(bool connected) {
  if (broken_) return false;
  if (!waiting_.empty()) begin_waiting();
  hash_rest();
  plan();
  if (!connected) return false;
  for (auto next = planned_.begin(); next != planned_.end();) {
    if (!next->bytes) {
      ++next;
      continue;
    }
    const StreamSender::Chunk chunk = next->chunk;
    if (!hooks_.send(ChunkHeader{chunk.number, chunk.offset, chunk.length}, next->bytes, next->at)) return true;
    planned_bytes_ -= chunk.length;
    next = planned_.erase(next);
    if (planned_bytes_ <= kReadAhead / 2) {
      const auto sent = std::distance(planned_.begin(), next);
      plan();
      next = planned_.begin() + sent;
    }
  }
  hash_rest();
  return false;
}

// ---- Receiving -------------------------------------------------------------------------------------------------------------

bool Bulk::offered(const StreamOffer& offer) {
  if (!receiver_.offered(offer)) {
    hooks_.drop("a stream number was used twice");
    return false;
  }
  if (receiver_.count() + asked_.size() + waiting_.size() >= kStreamsMax) {
    perform(receiver_.decline(offer.number, "busy", "too many streams at once in one session"));
    return false;
  }
  asked_[offer.number] = offer;
  return true;
}

void Bulk::receive_stream(const ReceiveStream& effect) {
  const auto asked = asked_.find(effect.number);
  if (asked == asked_.end() || asked->second.key != effect.key || asked->second.length != effect.length) {
    hooks_.tell(StreamBroken{peer_, effect.key, "unknown", "no such offer stands"});    // withdrawn meanwhile
    return;
  }
  asked_.erase(asked);
  if (const auto older = receiver_.find(effect.key)) perform(receiver_.stop(*older, "superseded", "offered again", true));
  waiting_.push_back(effect);
  begin_waiting();
}

// A sink is written by one strand at a time, also across sessions: what a cut one still has under way is stored first, and then
// need not come again.
void Bulk::begin_waiting() {
  for (const ReceiveStream& effect : std::exchange(waiting_, {})) {
    if (hooks_.sink_is_free(effect.job, effect.key)) {
      begin_receiving(effect);
    } else {
      waiting_.push_back(effect);
    }
  }
}

void Bulk::begin_receiving(const ReceiveStream& effect) {
  TOMOGRID_ASSERT(store_ != nullptr);
  auto sink = store_->open_sink(effect.job, effect.key, effect.length);
  if (!sink) {
    perform(receiver_.decline(effect.number, "storage", sink.error().message));
    hooks_.tell(StreamBroken{peer_, effect.key, "storage", sink.error().message});
    return;
  }
  const std::vector<Range> stored = (*sink)->stored();
  Arriving& stream = incoming_[effect.number];
  stream = {std::move(*sink), effect.job, pool_.new_strand()};
  hooks_.hold_sink(effect.job, effect.key, stream.sink);
  hooks_.need_connection();
  perform(receiver_.accept(effect.number, effect.key, effect.length, stored));
}

void Bulk::supersede(const StreamKey& key) {
  if (const auto number = receiver_.find(key)) perform(receiver_.stop(*number, "superseded", "offered in another session", true));
}

void Bulk::chunk(const ChunkHeader& header, Payload payload) {
  StreamReceiver::Arrived arrived = receiver_.arrived(header, payload.bytes.size());
  perform(std::move(arrived.effects));
  if (broken_ || arrived.store.empty()) return;
  write(header.number, std::move(arrived.store), header.offset, std::move(payload));
}

void Bulk::write(std::uint32_t number, std::vector<Range> ranges, std::uint64_t offset, Payload payload) {
  struct Written {
    std::optional<job::Digest> leaf;
    std::optional<Error> error;
  };
  const Arriving& stream = incoming_.at(number);
  const bool whole_leaf = ranges.size() == 1 && ranges[0].first % kLeafSize == 0 && ranges[0].second - ranges[0].first == kLeafSize;
  std::function<Written()> work = [sink = stream.sink.get(), ranges, offset, payload, whole_leaf] {
    Written written;
    for (const auto& [begin, end] : ranges) {
      if (auto done = sink->write(begin, payload.bytes.subspan(begin - offset, end - begin)); !done) {
        written.error = done.error();
        return written;
      }
    }
    if (whole_leaf) written.leaf = certs::hash_leaf(payload.bytes);
    return written;
  };
  on_pool<Written>(stream.strand, std::move(work), [number, ranges](Bulk& self, Written written) {
    if (written.error) self.perform(self.receiver_.failed(number, written.error->message));
    for (const auto& [begin, end] : ranges) {
      if (self.broken_) return;
      self.perform(written.error ? self.receiver_.let_go(number, end - begin)
                                 : self.receiver_.stored(number, begin, end - begin, written.leaf));
    }
  }, stream.sink);
}

void Bulk::hash_stored(std::uint32_t number, std::uint64_t leaf) {
  const auto found = incoming_.find(number);
  if (found == incoming_.end()) return;
  const std::uint64_t size = leaf_length(leaf, receiver_.length(number));
  std::function<Leaf()> work = [sink = found->second.sink.get(), leaf, size] {
    Leaf read;
    const Buffer buffer = new_buffer(size);
    const std::span<std::uint8_t> bytes(buffer.get(), size);
    if (auto done = sink->read(leaf * kLeafSize, bytes); !done) {
      read.error = done.error();
    } else {
      read.digest = certs::hash_leaf(bytes);
    }
    return read;
  };
  on_pool<Leaf>(found->second.strand, std::move(work), [number, leaf](Bulk& self, Leaf read) {
    self.perform(read.error ? self.receiver_.failed(number, read.error->message) : self.receiver_.leaf_hashed(number, leaf, read.digest));
  }, found->second.sink);
}

// Every write and hash of it is over. On the pool: to sync a large file takes as long as the disk does.
void Bulk::complete(std::uint32_t number) {
  const auto found = incoming_.find(number);
  TOMOGRID_ASSERT(found != incoming_.end());
  std::function<std::optional<Error>()> work = [sink = found->second.sink.get()]() -> std::optional<Error> {
    const auto done = sink->complete();
    return done ? std::nullopt : std::optional(done.error());
  };
  on_pool<std::optional<Error>>(found->second.strand, std::move(work), [number](Bulk& self, const std::optional<Error>& error) {
    self.perform(error ? self.receiver_.failed(number, error->message) : self.receiver_.completed(number));
  }, found->second.sink);
}

// ---- Both --------------------------------------------------------------------------------------------------------------------

void Bulk::stop_stream(const StopStream& effect) {
  const std::string reason = "stopped here";
  for (auto asked = asked_.begin(); asked != asked_.end(); ++asked) {
    if (asked->second.key != effect.key) continue;
    const std::uint32_t number = asked->first;
    asked_.erase(asked);
    return perform(receiver_.decline(number, effect.code, reason));
  }
  for (auto waiting = waiting_.begin(); waiting != waiting_.end(); ++waiting) {
    if (waiting->key != effect.key) continue;
    const std::uint32_t number = waiting->number;
    waiting_.erase(waiting);
    return perform(receiver_.decline(number, effect.code, reason));
  }
  if (const auto number = sender_.find(effect.key)) perform(sender_.stop(*number, effect.code, reason, false));
  if (const auto number = receiver_.find(effect.key)) perform(receiver_.stop(*number, effect.code, reason, false));
}

void Bulk::handle(Instant now, const Message& message) {
  const auto* abort = std::get_if<StreamAbort>(&message);
  if (std::holds_alternative<StreamCredit>(message) || std::holds_alternative<StreamDone>(message) ||
      (abort != nullptr && !abort->from_sender)) {
    perform(sender_.handle(message));
    if (!broken_ && std::holds_alternative<StreamCredit>(message)) sizer_.observe(now, sender_.credit());
    return;
  }
  if (abort != nullptr && asked_.erase(abort->number) > 0) return;      // withdrawn before the machine answered
  for (auto waiting = waiting_.begin(); abort != nullptr && waiting != waiting_.end(); ++waiting) {
    if (waiting->number != abort->number) continue;
    hooks_.tell(StreamBroken{peer_, waiting->key, abort->code, abort->reason});
    waiting_.erase(waiting);
    return;
  }
  perform(receiver_.handle(message));
}

void Bulk::break_all(const std::string& code, const std::string& reason) {
  if (broken_) return;
  perform(sender_.break_all(code, reason));
  perform(receiver_.break_all(code, reason));
  for (const ReceiveStream& effect : std::exchange(waiting_, {})) hooks_.tell(StreamBroken{peer_, effect.key, code, reason});
  broken_ = true;
}

}  // namespace tomogrid::wire
