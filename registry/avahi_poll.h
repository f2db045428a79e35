// Avahi's event loop joined to ours: an AvahiPoll table whose descriptors and timeouts are gathered in one epoll
// descriptor, which is readable when any of them is due. No thread. Only discovery.cpp includes this.
#pragma once

#include <avahi-common/watch.h>

#include <list>
#include <memory>
#include <vector>

namespace tomogrid::registry {

class AvahiEpoll final {
 public:
  // Throws Failure when the system has no descriptors left.
  AvahiEpoll();
  ~AvahiEpoll();
  AvahiEpoll(const AvahiEpoll&) = delete;
  AvahiEpoll& operator=(const AvahiEpoll&) = delete;

  const AvahiPoll* table() const { return &table_; }
  int descriptor() const { return epoll_; }
  // Calls Avahi back for all that is due now. Never blocks.
  void dispatch();

 private:
  friend struct AvahiEpollCalls;
  void arm();
  void run_timeouts();

  AvahiPoll table_{};
  int epoll_ = -1, timer_ = -1;
  std::list<std::unique_ptr<AvahiWatch>> watches_;
  std::list<std::unique_ptr<AvahiTimeout>> timeouts_;
  bool dispatching_ = false;
};

}  // namespace tomogrid::registry
