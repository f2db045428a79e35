// The guard at a door: knows every accepted connection, and says which to end. Pure: descriptors are names here.
//
// A connection is ended when it brings no hello in time, when bytes were received that were never delivered as messages (an
// unfinished multipart message is otherwise unbounded), when there are too many strangers (the oldest goes: whoever means it is
// through in milliseconds, so a crowd cannot lock others out), or when it was condemned.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace tomogrid::wire {

// Where a connection comes from.
struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

struct GuardLimits {
  std::chrono::milliseconds hello_timeout{5000};
  std::uint64_t undelivered_max = 4 * 1024 * 1024;
  std::uint64_t idle_bytes_per_second = 512;      // heartbeats and framing are received and never delivered
  std::size_t strangers_max = 256;                // connections without hello
};

class Guard final {
 public:
  explicit Guard(GuardLimits limits) : limits_(limits) {}

  void accepted(Instant now, int descriptor, Endpoint peer);
  void gone(int descriptor);
  // A whole message came by it; `bytes` with framing.
  void delivered(int descriptor, std::uint64_t bytes);
  // Its hello holds.
  void admitted(int descriptor);
  // To be ended at `when`, for `reason`. The earlier of two stands.
  void condemn(int descriptor, Instant when, std::string reason);

  const Endpoint* find(int descriptor) const;
  std::size_t count() const { return visitors_.size(); }

  struct Verdict {
    int descriptor = -1;
    Endpoint peer;
    std::string reason;
    bool told = false;                            // condemned by the session, which has said why already
  };
  // Whom to end now, each once. `received`: bytes that the process has read from the connection so far; nullopt when that cannot
  // be told.
  std::vector<Verdict> judge(Instant now, const std::function<std::optional<std::uint64_t>(int, const Endpoint&)>& received);
  // When a hello is due or a condemned connection ends; bytes are to be looked at every 100 ms while count() > 0.
  std::optional<Instant> next_deadline() const;

 private:
  struct Visitor {
    Endpoint peer;
    Instant since;
    std::uint64_t delivered = 0;
    bool admitted = false;
    bool ended = false;                           // said once; gone() follows
    std::optional<Instant> condemned;
    std::string reason;
    bool told = false;
  };
  GuardLimits limits_;
  std::map<int, Visitor> visitors_;
  std::size_t strangers_ = 0;
};

}  // namespace tomogrid::wire
