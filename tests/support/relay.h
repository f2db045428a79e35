// A TCP relay between two real processes: counts and keeps what passes, and cuts on request. Knows no key, so whatever it
// can read anybody on the network could.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace tomogrid::test {

class Relay final {
 public:
  // Listens on a free port of 127.0.0.1 and connects each caller to 127.0.0.1:`to`. Keeps at most `keep` bytes of what
  // passes.
  explicit Relay(std::uint16_t to, std::size_t keep = 0) : Relay("127.0.0.1", 0, to, keep) {}
  // The same at an address of the user's own: who is told another loopback address with the same port comes by here.
  Relay(const std::string& host, std::uint16_t port, std::uint16_t to, std::size_t keep = 0);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint16_t port() const { return port_; }
  std::uint64_t upward() const { return upward_; }      // bytes from callers
  std::uint64_t downward() const { return downward_; }  // bytes to callers
  std::string seen() const;                             // both directions mixed, in order of passing
  // Resets every connection once `bytes` more have passed upward (or downward), to the byte; and again after as many
  // more, `times` in all.
  void cut_after_upward(std::uint64_t bytes, unsigned times = 1) { up_.cut_each(bytes, times, upward_); }
  void cut_after_downward(std::uint64_t bytes, unsigned times = 1) { down_.cut_each(bytes, times, downward_); }
  void cut_now() { cut_request_ = true; }
  // Once `bytes` more have passed upward (or downward), nothing passes that way any more; connections stay open.
  void hold_after_upward(std::uint64_t bytes) { up_.hold = upward_ + bytes; }
  void hold_after_downward(std::uint64_t bytes) { down_.hold = downward_ + bytes; }
  bool holds() const { return upward_ >= up_.hold || downward_ >= down_.hold; }
  std::uint64_t cuts() const { return cuts_; }
  // While set, callers are refused.
  void refuse(bool on) { refuse_ = on; }

 private:
  // What is to happen to one direction, by the bytes that have passed.
  struct Plan {
    std::atomic<std::uint64_t> cut{UINT64_MAX}, hold{UINT64_MAX}, stride{0};
    std::atomic<unsigned> left{0};
    void cut_each(std::uint64_t bytes, unsigned times, std::uint64_t passed) {
      stride = bytes;
      left = times;
      cut = passed + bytes;
    }
    std::uint64_t most(std::uint64_t passed) const { return std::min(cut.load(), hold.load()) - passed; }
    bool due(std::uint64_t passed);  // to be cut now; the next cut is set
  };
  void run();
  int listener_ = -1, wake_ = -1;
  std::uint16_t port_ = 0, to_ = 0;
  std::size_t keep_ = 0;
  std::atomic<std::uint64_t> upward_{0}, downward_{0}, cuts_{0};
  Plan up_, down_;
  std::atomic<bool> cut_request_{false}, refuse_{false}, stop_{false};
  mutable std::mutex mutex_;
  std::string seen_;
  std::thread thread_;
};

}  // namespace tomogrid::test
