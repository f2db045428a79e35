// A wire that is tapped and can be cut: listens on 127.0.0.2 at the ports of a member that listens on 127.0.0.1, so that both
// connections of a session pass through it. Knows no key: what it reads anybody on the network could.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace tomogrid::wire::test {

inline sockaddr_in address_of(const char* host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

// Blocking TCP socket connected to 127.0.0.1:`port`, or -1.
inline int connect_to(std::uint16_t port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = address_of("127.0.0.1", port);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return descriptor;
  close(descriptor);
  return -1;
}

class Tap final {
 public:
  explicit Tap(std::vector<std::uint16_t> ports, bool keep = false) : keep_(keep) {
    for (const std::uint16_t port : ports) {
      const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const int on = 1;
      setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      const sockaddr_in address = address_of("127.0.0.2", port);
      if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(listener, 64) != 0) {
        throw std::runtime_error("cannot listen on 127.0.0.2:" + std::to_string(port));
      }
      listeners_.push_back({listener, port});
    }
    thread_ = std::thread([this] { run(); });
  }
  ~Tap() {
    stop_ = true;
    thread_.join();
    cut_all();
    for (const auto& [listener, port] : listeners_) close(listener);
  }
  // Resets everything once this many more bytes have passed.
  void cut_after(std::uint64_t bytes) { cut_at_ = passed_ + bytes; }
  std::uint64_t passed() const { return passed_; }
  std::uint64_t cuts() const { return cuts_; }
  std::string seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void cut_all() {
    const linger hard{1, 0};
    for (const auto& [a, b] : pairs_) {
      for (const int end : {a, b}) {
        setsockopt(end, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(end);
      }
    }
    pairs_.clear();
  }
  // False: this pair is over.
  bool pass(int from, int to) {
    char buffer[256 * 1024];
    const ssize_t got = recv(from, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    if (keep_) {
      const std::lock_guard lock(mutex_);
      seen_.append(buffer, static_cast<std::size_t>(got));
    }
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t more = send(to, buffer + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
      if (more <= 0) return false;
      sent += more;
    }
    passed_ += static_cast<std::uint64_t>(got);
    return true;
  }
  void run() {
    while (!stop_) {
      std::vector<pollfd> waits;
      for (const auto& [listener, port] : listeners_) waits.push_back({listener, POLLIN, 0});
      for (const auto& [a, b] : pairs_) {
        waits.push_back({a, POLLIN, 0});
        waits.push_back({b, POLLIN, 0});
      }
      poll(waits.data(), waits.size(), 20);
      std::vector<std::pair<int, int>> kept;
      for (std::size_t i = 0; i < pairs_.size(); ++i) {
        const auto [a, b] = pairs_[i];
        const bool alive = (waits[listeners_.size() + 2 * i].revents == 0 || pass(a, b)) &&
                           (waits[listeners_.size() + 2 * i + 1].revents == 0 || pass(b, a));
        if (alive) {
          kept.emplace_back(a, b);
        } else {
          close(a);
          close(b);
        }
      }
      pairs_ = std::move(kept);
      for (std::size_t i = 0; i < listeners_.size(); ++i) {
        if ((waits[i].revents & POLLIN) == 0) continue;
        const int caller = accept4(listeners_[i].first, nullptr, nullptr, SOCK_CLOEXEC);
        const int onward = connect_to(listeners_[i].second);
        if (caller >= 0 && onward >= 0) pairs_.emplace_back(caller, onward);
      }
      if (passed_ >= cut_at_) {
        cut_at_ = UINT64_MAX;
        ++cuts_;
        cut_all();
      }
    }
  }

  const bool keep_;
  std::vector<std::pair<int, std::uint16_t>> listeners_;
  std::vector<std::pair<int, int>> pairs_;
  std::atomic<std::uint64_t> passed_{0}, cuts_{0}, cut_at_{UINT64_MAX};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::string seen_;
  std::thread thread_;
};

}  // namespace tomogrid::wire::test
