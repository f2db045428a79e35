// The real performer: one thread that owns every socket of a role, verifies who speaks, pumps streams, and hands a
// Machine its events. Nothing above this file knows ZeroMQ.
//
// Thread: everything here runs on the thread that calls run(), except post() and stop(), which any thread (stop: any
// signal handler) may call. Hashing and stream reads and writes run on a small pool that owns no state.
// Errors: the constructor and listen() throw Failure when the world is broken (cannot bind: the address is in the text).
// A peer that misbehaves is dropped with a Report; it never ends the loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/time.h"
#include "certs/member.h"
#include "wire/machine.h"
#include "wire/ports.h"

namespace tomogrid::wire {

struct LoopOptions {
  std::chrono::milliseconds hello_timeout{5000};       // a connection without hello is ended
  std::chrono::milliseconds heartbeat{500};            // control connections
  std::chrono::milliseconds heartbeat_timeout{1500};
  std::chrono::milliseconds connect_timeout{3000};     // Connect to PeerUp
  std::chrono::milliseconds farewell{500};             // at most, for byes at the end
  std::size_t sessions_max = 1000;
  std::size_t sessions_per_member_max = 64;
  std::uint64_t stream_window = 16 * 1024 * 1024;      // credit ahead of what is stored, per stream
  std::uint64_t session_window = 64 * 1024 * 1024;     // for all streams of a session
  std::uint64_t undelivered_max = 4 * 1024 * 1024;     // the guard's bound on bytes received and not delivered
  double knocks_per_second = 100, knocks_burst = 400;  // of one address by keys that never showed a valid hello
  unsigned pool_threads = 2;
};

// Counted on the sockets themselves, for those who must not carry image bytes.
struct Traffic {
  std::uint64_t control_received = 0, control_sent = 0, bulk_received = 0, bulk_sent = 0;
};

class Loop final {
 public:
  // `member`: this process's keys and chain, trust anchor and revocation list; `machine` and what `ports` points to
  // outlive the loop. Sends Entropy, then Recovered (when there is a journal) to the machine as run() begins.
  Loop(certs::Member& member, const Clock& clock, Machine& machine, Ports ports, LoopOptions options = {});
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  struct Listening { std::uint16_t control_port = 0, bulk_port = 0; };
  // Opens the doors of a serving role on `host` ("127.0.0.1", "*"); port 0: any free one. Without `bulk` only control.
  Listening listen(const std::string& host, std::uint16_t control_port, std::uint16_t bulk_port, bool bulk);

  // Calls `ready` on the loop's thread whenever `descriptor` is readable. Removed by unwatch().
  void watch(int descriptor, std::function<void()> ready);
  void unwatch(int descriptor);
  // Calls `due` on the loop's thread after `delay`, once.
  void after(std::chrono::milliseconds delay, std::function<void()> due);
  // Hands `event` to the machine and performs what it answers. Loop's thread only.
  void feed(const Event& event);
  // Performs effects that a command made by calling its machine directly. Loop's thread only.
  void perform(const Effects& effects);
  // Runs `work` on the loop's thread soon. Any thread.
  void post(std::function<void()> work);

  // Returns after stop(), when farewells are said (at most `farewell`).
  void run();
  void stop();

  Traffic traffic() const;

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

// SIGINT and SIGTERM call loop.stop(); a second one ends the process. Restored at the end of scope. One at a time.
class StopOnSignal final {
 public:
  explicit StopOnSignal(Loop& loop);
  ~StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
};

}  // namespace tomogrid::wire
