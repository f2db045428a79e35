#include "support/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <list>
#include <stdexcept>
#include <vector>

namespace tomogrid::test {

namespace {

struct Way {
  std::string waiting;      // read from one side, not yet written to the other
  bool ended = false;
};

struct Link {
  int caller = -1, callee = -1;
  Way up, down;
  ~Link() {
    ::close(caller);
    ::close(callee);
  }
};

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

void reset(int descriptor) {   // RST instead of FIN, as a cut link ends
  const linger now{1, 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

constexpr std::size_t kBuffer = 256 * 1024;

}  // namespace

Relay::Relay(std::uint16_t to, std::size_t keep) : to_(to), keep_(keep) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 128) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    throw std::runtime_error("relay cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

Relay::~Relay() {
  stop_ = true;
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
  thread_.join();
  ::close(listener_);
  ::close(wake_);
}

std::string Relay::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

void Relay::run() {
  std::list<Link> links;
  std::vector<char> buffer(64 * 1024);
  // Moves what can be moved one way; false when the link is broken.
  const auto pump = [&](Link& link, Way& way, int from, int to, bool readable, std::atomic<std::uint64_t>& count) {
    (void)link;
    if (readable && !way.ended && way.waiting.size() < kBuffer) {
      const ssize_t n = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n == 0) way.ended = true;
      if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (n > 0) {
        way.waiting.append(buffer.data(), static_cast<std::size_t>(n));
        const std::lock_guard lock(mutex_);
        if (seen_.size() < keep_) seen_.append(buffer.data(), std::min(static_cast<std::size_t>(n), keep_ - seen_.size()));
      }
    }
    while (!way.waiting.empty()) {
      const ssize_t n = ::send(to, way.waiting.data(), way.waiting.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      count += static_cast<std::uint64_t>(n);
      way.waiting.erase(0, static_cast<std::size_t>(n));
    }
    if (way.ended) ::shutdown(to, SHUT_WR);
    return !(way.ended && link.up.ended && link.down.ended);
  };
  while (!stop_) {
    std::vector<pollfd> watch{{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    const auto interest = [](const Way& in, const Way& out) {
      return static_cast<short>((in.ended || in.waiting.size() >= kBuffer ? 0 : POLLIN) | (out.waiting.empty() ? 0 : POLLOUT));
    };
    for (const Link& link : links) {
      watch.push_back({link.caller, interest(link.up, link.down), 0});
      watch.push_back({link.callee, interest(link.down, link.up), 0});
    }
    ::poll(watch.data(), watch.size(), 20);
    std::size_t at = 2;
    for (auto link = links.begin(); link != links.end(); at += 2) {
      const bool alive = pump(*link, link->up, link->caller, link->callee, (watch[at].revents & (POLLIN | POLLHUP | POLLERR)) != 0, upward_) &&
                         pump(*link, link->down, link->callee, link->caller, (watch[at + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0, downward_);
      link = alive ? std::next(link) : links.erase(link);
    }
    if (upward_ >= cut_up_ || downward_ >= cut_down_ || cut_request_.exchange(false)) {
      cut_up_ = cut_down_ = UINT64_MAX;
      for (Link& link : links) {
        reset(link.caller);
        reset(link.callee);
      }
      links.clear();
      ++cuts_;
    }
    if ((watch[0].revents & POLLIN) != 0) {
      const int caller = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (caller < 0) continue;
      const int callee = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = loopback(to_);
      if (refuse_ || ::connect(callee, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        reset(caller);
        ::close(caller);
        ::close(callee);
        continue;
      }
      links.emplace_back();
      links.back().caller = caller;
      links.back().callee = callee;
    }
  }
}

}  // namespace tomogrid::test
