// A TCP relay between two real processes: counts and keeps what passes, and cuts on request. Knows no key, so whatever it
// can read anybody on the network could.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace tomogrid::test {

class Relay final {
 public:
  // Listens on a free port of 127.0.0.1 and connects each caller to 127.0.0.1:`to`. Keeps at most `keep` bytes of what passes.
  explicit Relay(std::uint16_t to, std::size_t keep = 0);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  std::uint16_t port() const { return port_; }
  std::uint64_t upward() const { return upward_; }       // bytes from callers
  std::uint64_t downward() const { return downward_; }   // bytes to callers
  std::string seen() const;                              // both directions mixed, in order of passing
  // Resets every connection once `bytes` more have passed upward (or downward), once.
  void cut_after_upward(std::uint64_t bytes) { cut_up_ = upward_ + bytes; }
  void cut_after_downward(std::uint64_t bytes) { cut_down_ = downward_ + bytes; }
  void cut_now() { cut_request_ = true; }
  std::uint64_t cuts() const { return cuts_; }
  // While set, callers are refused.
  void refuse(bool on) { refuse_ = on; }

 private:
  void run();
  int listener_ = -1, wake_ = -1;
  std::uint16_t port_ = 0, to_ = 0;
  std::size_t keep_ = 0;
  std::atomic<std::uint64_t> upward_{0}, downward_{0}, cuts_{0};
  std::atomic<std::uint64_t> cut_up_{UINT64_MAX}, cut_down_{UINT64_MAX};
  std::atomic<bool> cut_request_{false}, refuse_{false}, stop_{false};
  mutable std::mutex mutex_;
  std::string seen_;
  std::thread thread_;
};

}  // namespace tomogrid::test
