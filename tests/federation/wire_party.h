// One member on a thread of its own for tests of wire::Loop: real sockets, streams in memory, every event kept.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/file.h"
#include "certs/certs.h"
#include "wire/loop.h"

namespace tomogrid::wire::test {

using namespace std::chrono_literals;

// A clock whose wall can be off.
class ShiftedClock final : public Clock {
 public:
  explicit ShiftedClock(std::chrono::milliseconds shift = 0ms) : shift_(shift) {}
  Instant now() const override { return real_.now(); }
  WallTime wall() const override { return real_.wall() + shift_; }

 private:
  SystemClock real_;
  std::chrono::milliseconds shift_;
};

// Streams by key, in memory. What was stored survives the sink, so that a cut stream resumes.
class MemoryStreams final : public StreamStore {
 public:
  struct Content {
    std::vector<std::uint8_t> bytes;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> stored;   // as written, unmerged
    std::uint64_t written = 0;
    bool complete = false;
    bool forgotten = false;
  };
  Result<std::unique_ptr<StreamSink>> open_sink(const JobKey& job, const StreamKey& key, std::uint64_t length) override;
  Result<std::unique_ptr<StreamSource>> open_source(const JobKey& job, const StreamKey& key) override;

  std::shared_ptr<Content> put(const StreamKey& key, std::vector<std::uint8_t> bytes);
  std::shared_ptr<Content> get(const StreamKey& key);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> order;      // of every source
  std::uint64_t fail_writes_after = UINT64_MAX;                    // bytes
  std::mutex mutex;

 private:
  std::map<StreamKey, std::shared_ptr<Content>> contents_;
};

class Party final : private Machine {
 public:
  using React = std::function<Effects(const Event&)>;
  Party(certs::Authority& authority, const std::string& name, certs::Roles roles, LoopOptions options = {},
        std::chrono::milliseconds clock_shift = 0ms, std::unique_ptr<certs::SecretKeys> keys = nullptr,
        StreamStore* store = nullptr);
  // With an identity made by the test (expired, of another authority, ...).
  Party(std::unique_ptr<certs::Identity> identity, LoopOptions options = {}, std::chrono::milliseconds clock_shift = 0ms,
        StreamStore* store = nullptr);
  ~Party();

  void listen(bool bulk = true);
  void start();
  void stop();
  Target target(certs::Role role) const;
  const Loop::Listening& ports() const { return ports_; }
  certs::Member& member() { return member_; }
  Loop& loop() { return loop_; }

  // Runs on the loop's thread and waits.
  void on_loop(const std::function<void(Loop&)>& work);
  void perform(Effects effects);
  // Decides what the machine answers; before start().
  void react(React react) { react_ = std::move(react); }

  // The first event of this kind, from now on or before, that `wanted` accepts.
  template <class Kind>
  std::optional<Kind> wait(const std::function<bool(const Kind&)>& wanted = {}, std::chrono::milliseconds limit = 10s) {
    std::unique_lock lock(mutex_);
    std::optional<Kind> found;
    changed_.wait_for(lock, limit, [&] {
      for (const Event& event : events_) {
        const Kind* candidate = std::get_if<Kind>(&event);
        if (candidate == nullptr || (wanted && !wanted(*candidate))) continue;
        found = *candidate;
        return true;
      }
      return false;
    });
    return found;
  }
  // True when so many of this kind have come.
  template <class Kind>
  bool wait_count(std::size_t wanted, std::chrono::milliseconds limit = 10s) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] {
      std::size_t seen = 0;
      for (const Event& event : events_) seen += std::holds_alternative<Kind>(event) ? 1 : 0;
      return seen >= wanted;
    });
  }
  template <class Kind>
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    std::size_t number = 0;
    for (const Event& event : events_) number += std::holds_alternative<Kind>(event) ? 1 : 0;
    return number;
  }
  // A report that holds this text in one of its fields.
  std::optional<Report> wait_report(const std::string& event, const std::string& text, std::chrono::milliseconds limit = 10s);
  void forget_events();
  // Dials and waits.
  Peer connect(const Target& target);
  Error connect_fails(const Target& target);

  MemoryStreams streams;

 private:
  struct Reports final : Reporter {
    explicit Reports(Party& party) : owner(party) {}
    void report(const Report& effect) override;
    Party& owner;
  };
  Effects handle(const Now& now, const Event& event) override;
  Effects advance(const Now&) override { return {}; }
  std::optional<Instant> next_deadline() const override { return std::nullopt; }

  TemporaryFolder folder_;
  ShiftedClock clock_;
  certs::Member member_;
  Reports reports_{*this};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
  std::vector<Report> reported_;
  React react_;
  Loop loop_;
  Loop::Listening ports_;
  std::thread thread_;
  std::uint64_t last_dial_ = 0;
};

inline WallTime wall_now() { return SystemClock().wall(); }
std::vector<std::uint8_t> noise(std::size_t size, std::uint64_t seed = 1);
inline StreamKey key_named(const std::string& name, std::uint32_t generation = 0) {
  StreamKey key;
  key.job.bytes[0] = 7;
  key.name = name;
  key.generation = generation;
  return key;
}

}  // namespace tomogrid::wire::test
