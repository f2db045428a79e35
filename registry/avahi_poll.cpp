#include "registry/avahi_poll.h"

#include <avahi-common/timeval.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "base/result.h"

// Avahi declares these two and leaves them to whoever provides an AvahiPoll.
struct AvahiWatch {
  tomogrid::registry::AvahiEpoll* owner = nullptr;
  int descriptor = -1;  // a duplicate: D-Bus watches one descriptor twice, epoll takes each but once
  AvahiWatchEvent wanted{}, happened{};
  AvahiWatchCallback callback = nullptr;
  void* userdata = nullptr;
  bool freed = false;
};

struct AvahiTimeout {
  tomogrid::registry::AvahiEpoll* owner = nullptr;
  std::optional<timeval> due;  // on gettimeofday's clock, as Avahi counts
  AvahiTimeoutCallback callback = nullptr;
  void* userdata = nullptr;
  bool freed = false;
};

namespace tomogrid::registry {

namespace {

// Avahi's events are poll()'s.
std::uint32_t to_epoll(AvahiWatchEvent events) {
  std::uint32_t wanted = 0;
  if ((events & AVAHI_WATCH_IN) != 0) wanted |= EPOLLIN;
  if ((events & AVAHI_WATCH_OUT) != 0) wanted |= EPOLLOUT;
  return wanted;
}

AvahiWatchEvent from_epoll(std::uint32_t events) {
  int happened = 0;
  if ((events & EPOLLIN) != 0) happened |= AVAHI_WATCH_IN;
  if ((events & EPOLLOUT) != 0) happened |= AVAHI_WATCH_OUT;
  if ((events & EPOLLERR) != 0) happened |= AVAHI_WATCH_ERR;
  if ((events & EPOLLHUP) != 0) happened |= AVAHI_WATCH_HUP;
  return static_cast<AvahiWatchEvent>(happened);
}

}  // namespace

struct AvahiEpollCalls {
  static AvahiWatch* watch_new(const AvahiPoll* api, int descriptor, AvahiWatchEvent events,
                               AvahiWatchCallback callback, void* userdata) {
    auto* owner = static_cast<AvahiEpoll*>(api->userdata);
    auto watch = std::make_unique<AvahiWatch>();
    watch->owner = owner;
    watch->descriptor = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (watch->descriptor < 0) return nullptr;
    watch->wanted = events;
    watch->callback = callback;
    watch->userdata = userdata;
    epoll_event event{};
    event.events = to_epoll(events);
    event.data.ptr = watch.get();
    ::epoll_ctl(owner->epoll_, EPOLL_CTL_ADD, watch->descriptor, &event);
    owner->watches_.push_back(std::move(watch));
    return owner->watches_.back().get();
  }
  static void watch_update(AvahiWatch* watch, AvahiWatchEvent events) {
    watch->wanted = events;
    epoll_event event{};
    event.events = to_epoll(events);
    event.data.ptr = watch;
    ::epoll_ctl(watch->owner->epoll_, EPOLL_CTL_MOD, watch->descriptor, &event);
  }
  static AvahiWatchEvent watch_get_events(AvahiWatch* watch) { return watch->happened; }
  static void watch_free(AvahiWatch* watch) {
    ::epoll_ctl(watch->owner->epoll_, EPOLL_CTL_DEL, watch->descriptor, nullptr);
    ::close(watch->descriptor);
    watch->freed = true;  // erased when no callback is running
    if (!watch->owner->dispatching_) std::erase_if(watch->owner->watches_, [](const auto& w) { return w->freed; });
  }

  static AvahiTimeout* timeout_new(const AvahiPoll* api, const timeval* due, AvahiTimeoutCallback callback,
                                   void* userdata) {
    auto* owner = static_cast<AvahiEpoll*>(api->userdata);
    auto timeout = std::make_unique<AvahiTimeout>();
    timeout->owner = owner;
    if (due != nullptr) timeout->due = *due;
    timeout->callback = callback;
    timeout->userdata = userdata;
    owner->timeouts_.push_back(std::move(timeout));
    AvahiTimeout* made = owner->timeouts_.back().get();
    owner->arm();
    return made;
  }
  static void timeout_update(AvahiTimeout* timeout, const timeval* due) {
    timeout->due = due != nullptr ? std::optional<timeval>(*due) : std::nullopt;
    timeout->owner->arm();
  }
  static void timeout_free(AvahiTimeout* timeout) {
    AvahiEpoll* owner = timeout->owner;
    timeout->freed = true;
    timeout->due.reset();
    if (!owner->dispatching_) std::erase_if(owner->timeouts_, [](const auto& t) { return t->freed; });
    owner->arm();
  }
};

AvahiEpoll::AvahiEpoll() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  timer_ = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // the timer
  if (epoll_ < 0 || timer_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, timer_, &event) != 0) {
    if (epoll_ >= 0) ::close(epoll_);
    if (timer_ >= 0) ::close(timer_);
    throw Failure(ErrorCode::Internal,
                  "cannot open descriptors for discovery; raise the limit (ulimit -n) or use --no-discovery");
  }
  table_.userdata = this;
  table_.watch_new = AvahiEpollCalls::watch_new;
  table_.watch_update = AvahiEpollCalls::watch_update;
  table_.watch_get_events = AvahiEpollCalls::watch_get_events;
  table_.watch_free = AvahiEpollCalls::watch_free;
  table_.timeout_new = AvahiEpollCalls::timeout_new;
  table_.timeout_update = AvahiEpollCalls::timeout_update;
  table_.timeout_free = AvahiEpollCalls::timeout_free;
}

AvahiEpoll::~AvahiEpoll() {
  for (const auto& watch : watches_) {
    if (!watch->freed) ::close(watch->descriptor);
  }
  ::close(timer_);
  ::close(epoll_);
}

// Sets the timer to the earliest timeout; at once when it has passed.
void AvahiEpoll::arm() {
  std::optional<timeval> earliest;
  for (const auto& timeout : timeouts_) {
    if (timeout->due && (!earliest || avahi_timeval_compare(&*timeout->due, &*earliest) < 0)) earliest = timeout->due;
  }
  itimerspec when{};  // all zero: off
  if (earliest) {
    const AvahiUsec left = std::max<AvahiUsec>(1, -avahi_age(&*earliest));
    when.it_value.tv_sec = left / 1'000'000;
    when.it_value.tv_nsec = left % 1'000'000 * 1000;
  }
  ::timerfd_settime(timer_, 0, &when, nullptr);
}

void AvahiEpoll::dispatch() {
  epoll_event events[32];
  const int count = ::epoll_wait(epoll_, events, 32, 0);
  dispatching_ = true;
  for (int i = 0; i < count; ++i) {
    if (events[i].data.ptr == nullptr) {
      run_timeouts();
      continue;
    }
    auto* watch = static_cast<AvahiWatch*>(events[i].data.ptr);
    if (watch->freed) continue;
    watch->happened = from_epoll(events[i].events);
    watch->callback(watch, watch->descriptor, watch->happened, watch->userdata);
    if (!watch->freed) watch->happened = AvahiWatchEvent{};
  }
  dispatching_ = false;
  std::erase_if(watches_, [](const auto& watch) { return watch->freed; });
  std::erase_if(timeouts_, [](const auto& timeout) { return timeout->freed; });
  arm();
}

void AvahiEpoll::run_timeouts() {
  std::uint64_t fired = 0;
  [[maybe_unused]] const auto read = ::read(timer_, &fired, sizeof fired);
  // Callbacks may add timeouts; those are for the next time.
  std::vector<AvahiTimeout*> due;
  for (const auto& timeout : timeouts_) {
    if (timeout->due && avahi_age(&*timeout->due) >= 0) due.push_back(timeout.get());
  }
  for (AvahiTimeout* timeout : due) {
    if (timeout->freed || !timeout->due) continue;
    timeout->due.reset();
    timeout->callback(timeout, timeout->userdata);
  }
}

}  // namespace tomogrid::registry
