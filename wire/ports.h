// What a role lends to the loop that performs its effects: where rows, streams and workers live. A role without one of
// these passes null, and an effect that needs it is then a bug.
//
// All calls come from the loop's thread, except StreamSink::write, read and complete and StreamSource::read, which come from the
// pool, one at a time per stream; none of them overlaps another call to the same object, or its destructor.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "wire/machine.h"

namespace tomogrid::wire {

// Where a received stream is stored, with random access, and survives a cut (and, with a journal, a restart).
class StreamSink {
 public:
  virtual ~StreamSink() = default;
  // What an earlier attempt has already stored, as [begin, end) ranges in order; may be empty.
  virtual std::vector<std::pair<std::uint64_t, std::uint64_t>> stored() const = 0;
  virtual Result<void> write(std::uint64_t offset, ByteView content) = 0;
  // For hashing what is stored. Fills `into` whole.
  virtual Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const = 0;
  // All has arrived and agreed with its root: sync and make it visible under its name.
  virtual Result<void> complete() = 0;
  // All has arrived and does not agree with its root: nothing of it may be resumed from; stored() is empty from now on.
  virtual void forget() {}
};

// A stream to send. Content does not change while it is sent.
class StreamSource {
 public:
  virtual ~StreamSource() = default;
  virtual std::uint64_t length() const = 0;
  virtual Result<void> read(std::uint64_t offset, std::span<std::uint8_t> into) const = 0;
  // Order in which ranges are best sent (views in bit-reversed order, say); empty: ascending.
  virtual std::vector<std::pair<std::uint64_t, std::uint64_t>> order() const { return {}; }
};

class StreamStore {
 public:
  virtual ~StreamStore() = default;
  virtual Result<std::unique_ptr<StreamSink>> open_sink(const JobKey& job, const StreamKey& key, std::uint64_t length) = 0;
  virtual Result<std::unique_ptr<StreamSource>> open_source(const JobKey& job, const StreamKey& key) = 0;
};

class Journal {
 public:
  virtual ~Journal() = default;
  // All rows or none, on disk when it returns.
  virtual Result<void> commit(const std::vector<Row>& rows) = 0;
  virtual Result<std::vector<Row>> recover() = 0;
};

class Workers {
 public:
  virtual ~Workers() = default;
  virtual void prepare(const PrepareScratch& effect) = 0;
  virtual void start(const StartWorker& effect) = 0;
  virtual void tell(const TellWorker& effect) = 0;
  virtual void stop(const StopWorker& effect) = 0;
  virtual void wipe(const Wipe& effect) = 0;
};

class Reporter {
 public:
  virtual ~Reporter() = default;
  virtual void report(const Report& effect) = 0;
};

struct Ports {
  Journal* journal = nullptr;
  StreamStore* streams = nullptr;
  Workers* workers = nullptr;
  Reporter* reporter = nullptr;      // null: base/log.h
};

}  // namespace tomogrid::wire
