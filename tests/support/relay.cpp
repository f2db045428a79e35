#include "support/relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>
#include <stdexcept>
#include <vector>

namespace tomogrid::test {

namespace {

struct Way {
  std::string waiting;  // read from one side, not yet written to the other
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

sockaddr_in address_of(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) throw std::runtime_error("relay: no address " + host);
  address.sin_port = htons(port);
  return address;
}

void reset(int descriptor) {  // RST instead of FIN, as a cut link ends
  const linger now{1, 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

constexpr std::size_t kBuffer = 256 * 1024;

}  // namespace

Relay::Relay(const std::string& host, std::uint16_t port, std::uint16_t to, std::size_t keep) : to_(to), keep_(keep) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address = address_of(host, port);
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

bool Relay::Plan::due(std::uint64_t passed) {
  if (passed < cut) return false;
  left = left - 1;
  cut = left > 0 ? passed + stride : UINT64_MAX;
  return true;
}

std::string Relay::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

void Relay::run() {
  std::list<Link> links;
  std::vector<char> buffer(64 * 1024);
  // Moves what can be moved one way; false when the link is broken.
  const auto pump = [&](Link& link, Way& way, int from, int to, bool readable, std::atomic<std::uint64_t>& count,
                        const Plan& plan) {
    if (readable && !way.ended && way.waiting.size() < kBuffer) {
      const ssize_t n = ::recv(from, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n == 0) way.ended = true;
      if (n < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (n > 0) {
        way.waiting.append(buffer.data(), static_cast<std::size_t>(n));
        const std::lock_guard lock(mutex_);
        if (seen_.size() < keep_)
          seen_.append(buffer.data(), std::min(static_cast<std::size_t>(n), keep_ - seen_.size()));
      }
    }
    while (!way.waiting.empty() && plan.most(count) > 0) {
      const std::size_t most = std::min<std::uint64_t>(way.waiting.size(), plan.most(count));
      const ssize_t n = ::send(to, way.waiting.data(), most, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      count += static_cast<std::uint64_t>(n);
      way.waiting.erase(0, static_cast<std::size_t>(n));
    }
    if (way.ended) ::shutdown(to, SHUT_WR);
    return !(way.ended && link.up.ended && link.down.ended);
  };
  while (!stop_) {
    std::vector<pollfd> watch{{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    const auto interest = [](const Way& in, const Way& out, bool held) {
      return static_cast<short>((in.ended || in.waiting.size() >= kBuffer ? 0 : POLLIN) |
                                (out.waiting.empty() || held ? 0 : POLLOUT));
    };
    for (const Link& link : links) {
      watch.push_back({link.caller, interest(link.up, link.down, downward_ >= down_.hold), 0});
      watch.push_back({link.callee, interest(link.down, link.up, upward_ >= up_.hold), 0});
    }
    ::poll(watch.data(), watch.size(), 20);
    std::size_t at = 2;
    for (auto link = links.begin(); link != links.end(); at += 2) {
      const bool alive = pump(*link, link->up, link->caller, link->callee,
                              (watch[at].revents & (POLLIN | POLLHUP | POLLERR)) != 0, upward_, up_) &&
                         pump(*link, link->down, link->callee, link->caller,
                              (watch[at + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0, downward_, down_);
      link = alive ? std::next(link) : links.erase(link);
    }
    const bool due_up = up_.due(upward_), due_down = down_.due(downward_);
    if (due_up || due_down || cut_request_.exchange(false)) {
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
      const sockaddr_in address = address_of("127.0.0.1", to_);
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
