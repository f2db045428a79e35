// Two clocks that cannot be mixed up: one that only goes forward (deadlines, leases) and one that people read.
#pragma once

#include <chrono>
#include <cstdint>

namespace tomogrid {

using Duration = std::chrono::nanoseconds;

// Time for decisions. Pure code receives it as `now`; only the loop and the simulator make it.
struct SteadyClock {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<SteadyClock>;
  static constexpr bool is_steady = true;
};
using Instant = SteadyClock::time_point;

// Milliseconds since 1970-01-01 UTC: in certificates, records and receipts.
struct WallTime {
  std::int64_t unix_ms = 0;
  constexpr auto operator<=>(const WallTime&) const = default;
  friend constexpr WallTime operator+(WallTime t, std::chrono::milliseconds d) { return {t.unix_ms + d.count()}; }
  friend constexpr WallTime operator-(WallTime t, std::chrono::milliseconds d) { return {t.unix_ms - d.count()}; }
  friend constexpr std::chrono::milliseconds operator-(WallTime a, WallTime b) {
    return std::chrono::milliseconds(a.unix_ms - b.unix_ms);
  }
};

// Where time comes from. Services own one; nothing pure does.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual WallTime wall() const = 0;
};

// The machine's clocks.
class SystemClock final : public Clock {
 public:
  Instant now() const override {
    return Instant(std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
  }
  WallTime wall() const override {
    return {std::chrono::duration_cast<std::chrono::milliseconds>(
                std::chrono::system_clock::now().time_since_epoch()).count()};
  }
};

}  // namespace tomogrid
