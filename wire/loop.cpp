#include "wire/loop.h"

#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "base/log.h"
#include "certs/random.h"
#include "wire/loop_state.h"

namespace tomogrid::wire {

namespace {

constexpr std::size_t kEventsPerPass = 256;

KnockLimits knock_limits(const LoopOptions& options) {
  KnockLimits limits;
  limits.per_second = options.knocks_per_second;
  limits.burst = options.knocks_burst;
  return limits;
}

zmq::context_t make_context() {
  zmq::context_t context(2);                         // I/O threads: control, bulk
  context.set(zmq::ctxopt::max_sockets, 8192);
  return context;
}

}  // namespace

Bell::Bell() : descriptor_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (descriptor_ < 0) throw Failure(ErrorCode::Internal, "cannot make an eventfd; are there too many open files?");
}
Bell::~Bell() { close(descriptor_); }
void Bell::ring() const {
  const std::uint64_t one = 1;
  (void)!write(descriptor_, &one, sizeof one);       // full: it rings already
}
void Bell::hush() const {
  std::uint64_t count = 0;
  (void)!read(descriptor_, &count, sizeof count);
}

bool Throttle::may_say(Instant now) {
  if (!since_ || now - *since_ >= std::chrono::seconds(1)) {
    since_ = now;
    said_ = 0;
  }
  if (said_ < kPerSecond) {
    ++said_;
    return true;
  }
  ++hidden_;
  return false;
}

Loop::Implementation::Implementation(certs::Member& member, const Clock& clock, Machine& machine, Ports ports, LoopOptions options)
    : member_(member),
      clock_(clock),
      machine_(machine),
      ports_(ports),
      options_(options),
      self_{member.identity(), member.revocations().list(), member.revocations().record()},
      context_(make_context()),
      pool_(options.pool_threads, [this] { bell_.ring(); }),
      gate_(context_, [this](const Gate::Knock& knock) { return judge(knock); }),
      knocks_(knock_limits(options)),
      next_housekeeping_(clock.now()) {}

Loop::Implementation::~Implementation() {
  for (auto& [id, link] : links_) {
    if (link->bulk) link->bulk->break_all("shutdown", "the loop ends");
  }
}

// ---- The loop ----------------------------------------------------------------------------------------------------------------

void Loop::Implementation::run() {
  TOMOGRID_ASSERT(!running_);
  running_ = true;
  Entropy entropy;
  entropy.seed = certs::random_bytes<32>();
  inbox_.push_front(Entropy{entropy});
  if (ports_.journal != nullptr) inbox_.insert(inbox_.begin() + 1, Recovered{ports_.journal->recover().or_throw()});
  dispatch();
  for (;;) {
    if (stop_ && !leaving_) leave();
    if (leaving_ && (links_.empty() || clock_.now() >= leave_by_)) break;
    wait();
    run_posts();
    gate_.serve();
    serve_control_door();
    serve_lines();
    dispatch();
    for (Pool::Completion& completion : pool_.take()) completion();
    serve_bulk_door();
    pump();
    run_due();
    settle_round();
    if (clock_.now() >= next_housekeeping_) keep_house();
    dispatch();
    if (const auto deadline = machine_.next_deadline(); !leaving_ && deadline && *deadline <= clock_.now()) {
      dispatching_ = true;
      pass(machine_.advance(now()), false);
      dispatching_ = false;
      dispatch();
    }
  }
  running_ = false;
}

void Loop::Implementation::wait() {
  std::vector<zmq_pollitem_t> items;
  const auto add = [&](zmq::socket_t& socket, short events = ZMQ_POLLIN) { items.push_back({socket.handle(), 0, events, 0}); };
  add(gate_.socket());
  for (auto* door : {&control_door_, &bulk_door_}) {
    if (!*door) continue;
    add((*door)->socket());
    add((*door)->monitor());
  }
  bool retry = false;
  for (auto& [id, link] : links_) {
    if (link->line) {
      add(link->line->socket());
      add(link->line->monitor());
    } else {
      retry = retry || link->bulk_full;              // a ROUTER cannot say that one peer has room
    }
    if (link->bulk_line) {
      add(link->bulk_line->socket(), static_cast<short>(link->bulk_full ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN));
      add(link->bulk_line->monitor());
    }
  }
  items.push_back({nullptr, bell_.descriptor(), ZMQ_POLLIN, 0});
  const std::size_t first_watched = items.size();
  std::vector<int> descriptors;
  for (const auto& [descriptor, ready] : watched_) {
    items.push_back({nullptr, descriptor, ZMQ_POLLIN, 0});
    descriptors.push_back(descriptor);
  }

  Instant until = next_housekeeping_;
  if (leaving_) until = std::min(until, leave_by_);
  if (const auto deadline = machine_.next_deadline(); deadline && !leaving_) until = std::min(until, *deadline);
  if (!due_.empty()) until = std::min(until, due_.begin()->first);
  auto timeout = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.now()).count();
  if (retry) timeout = std::min<decltype(timeout)>(timeout, 1);
  if (!inbox_.empty() || stop_ != leaving_) timeout = 0;
  const int ready = zmq_poll(items.data(), static_cast<int>(items.size()), std::max<long>(timeout, 0));
  if (ready < 0 && zmq_errno() != EINTR) throw Failure(ErrorCode::Internal, std::string("cannot wait for sockets: ") + zmq_strerror(zmq_errno()));
  if (ready <= 0) return;
  if (items[first_watched - 1].revents != 0) bell_.hush();
  for (std::size_t i = 0; i < descriptors.size(); ++i) {
    if (items[first_watched + i].revents == 0) continue;
    const auto watched = watched_.find(descriptors[i]);
    if (watched == watched_.end()) continue;         // unwatched by one before it
    const auto callback = watched->second;           // copied: it may unwatch itself
    callback();
  }
}

void Loop::Implementation::run_posts() {
  std::vector<std::function<void()>> posts;
  {
    const std::lock_guard lock(posts_mutex_);
    posts.swap(posts_);
  }
  for (const auto& post : posts) post();
}

void Loop::Implementation::run_due() {
  while (!due_.empty() && due_.begin()->first <= clock_.now()) {
    const auto due = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    due();
  }
}

// ---- Events in, effects out -----------------------------------------------------------------------------------------------------

// Everything that came in is one pass: one transaction for all of its rows, then its effects in order.
void Loop::Implementation::dispatch() {
  if (dispatching_ || !running_) return;
  dispatching_ = true;
  while (!inbox_.empty() && !leaving_) {
    Effects effects;
    bool failure_only = true;
    for (std::size_t i = 0; i < kEventsPerPass && !inbox_.empty(); ++i) {
      const Event event = std::move(inbox_.front());
      inbox_.pop_front();
      failure_only = failure_only && std::holds_alternative<StorageFailed>(event);
      for (Effect& effect : machine_.handle(now(), event)) effects.push_back(std::move(effect));
    }
    pass(std::move(effects), failure_only);
  }
  if (leaving_) inbox_.clear();
  dispatching_ = false;
}

void Loop::Implementation::pass(Effects effects, bool after_failure) {
  std::vector<Row> rows;
  for (const Effect& effect : effects) {
    if (const auto* persist = std::get_if<Persist>(&effect)) rows.push_back(persist->row);
  }
  if (!rows.empty()) {
    TOMOGRID_ASSERT(ports_.journal != nullptr);
    if (auto committed = ports_.journal->commit(rows); !committed) {
      report(false, "journal.failed", {{"reason", committed.error().message}});
      if (!after_failure) tell(StorageFailed{committed.error()});     // told once: what it answers may fail as well
      return;
    }
  }
  perform(effects);
}

void Loop::Implementation::perform(Effects& effects) {
  struct Performer {
    Implementation& loop;
    Workers& workers() const {
      TOMOGRID_ASSERT(loop.ports_.workers != nullptr);
      return *loop.ports_.workers;
    }
    // Streams of a session that is gone: the machine will hear so, or has.
    Bulk* bulk(PeerId peer) const {
      Link* link = loop.find(peer);
      return link != nullptr && !link->over ? link->bulk.get() : nullptr;
    }
    void operator()(Connect& effect) const { loop.dial(effect); }
    void operator()(Send& effect) const {
      Link* link = loop.find(effect.peer);
      if (link != nullptr && !link->over) loop.say(*link, effect.message);
    }
    void operator()(ClosePeer& effect) const {
      if (Link* link = loop.find(effect.peer)) loop.end(*link, effect.code, effect.reason);
    }
    void operator()(Persist&) const {}
    void operator()(StartWorker& effect) const { workers().start(effect); }
    void operator()(TellWorker& effect) const { workers().tell(effect); }
    void operator()(StopWorker& effect) const { workers().stop(effect); }
    void operator()(PrepareScratch& effect) const { workers().prepare(effect); }
    void operator()(Wipe& effect) const { workers().wipe(effect); }
    void operator()(ReceiveStream& effect) const {
      if (Bulk* streams = bulk(effect.peer)) streams->receive_stream(effect);
    }
    void operator()(SendStream& effect) const {
      if (Bulk* streams = bulk(effect.peer)) streams->send_stream(effect);
    }
    void operator()(StopStream& effect) const {
      if (Bulk* streams = bulk(effect.peer)) streams->stop_stream(effect);
    }
    void operator()(Report& effect) const { loop.report(effect); }
  };
  for (Effect& effect : effects) std::visit(Performer{*this}, effect);
}

void Loop::Implementation::report(const Report& what) {
  if (ports_.reporter != nullptr) return ports_.reporter->report(what);
  std::string text;
  for (const auto& [name, value] : what.fields) text += (text.empty() ? "" : " ") + name + "=" + value;
  log::info(what.event, {{"what", text}});
}

void Loop::Implementation::report(bool audit, std::string event, std::vector<std::pair<std::string, std::string>> fields) {
  report(Report{audit, std::move(event), std::move(fields)});
}

// What strangers can cause in any number must not fill an audit log.
void Loop::Implementation::report_throttled(std::string event, std::vector<std::pair<std::string, std::string>> fields) {
  if (throttles_[event].may_say(clock_.now())) report(true, std::move(event), std::move(fields));
}

// ---- The public face --------------------------------------------------------------------------------------------------------------

Loop::Loop(certs::Member& member, const Clock& clock, Machine& machine, Ports ports, LoopOptions options)
    : implementation_(std::make_unique<Implementation>(member, clock, machine, ports, options)) {}
Loop::~Loop() = default;

Loop::Listening Loop::listen(const std::string& host, std::uint16_t control_port, std::uint16_t bulk_port, bool bulk) {
  Implementation& loop = *implementation_;
  TOMOGRID_ASSERT(!loop.control_door_);
  raise_descriptor_limit();
  GuardLimits limits;
  limits.hello_timeout = loop.options_.hello_timeout;
  limits.undelivered_max = loop.options_.undelivered_max;
  const certs::Identity& identity = loop.member_.identity();
  loop.control_door_.emplace(loop.context_, identity, loop.plan(Lane::Control), limits);
  loop.listening_.control_port = loop.control_door_->listen(host, control_port);
  if (bulk) {
    loop.bulk_door_.emplace(loop.context_, identity, loop.plan(Lane::Bulk), limits);
    loop.listening_.bulk_port = loop.bulk_door_->listen(host, bulk_port);
  }
  return loop.listening_;
}

void Loop::watch(int descriptor, std::function<void()> ready) { implementation_->watched_[descriptor] = std::move(ready); }
void Loop::unwatch(int descriptor) { implementation_->watched_.erase(descriptor); }
void Loop::after(std::chrono::milliseconds delay, std::function<void()> due) {
  implementation_->due_.emplace(implementation_->clock_.now() + delay, std::move(due));
}
void Loop::feed(const Event& event) {
  implementation_->tell(event);
  implementation_->dispatch();
}
void Loop::perform(const Effects& effects) {
  Implementation& loop = *implementation_;
  const bool nested = std::exchange(loop.dispatching_, true);
  loop.pass(effects, false);
  loop.dispatching_ = nested;
  loop.dispatch();
}
void Loop::post(std::function<void()> work) {
  {
    const std::lock_guard lock(implementation_->posts_mutex_);
    implementation_->posts_.push_back(std::move(work));
  }
  implementation_->bell_.ring();
}
void Loop::run() { implementation_->run(); }
void Loop::stop() {
  implementation_->stop_ = true;
  implementation_->bell_.ring();
}
Traffic Loop::traffic() const { return implementation_->traffic_; }

// ---- Signals ------------------------------------------------------------------------------------------------------------------------

namespace {

std::atomic<Loop*> signalled{nullptr};
struct sigaction before_interrupt, before_terminate;

void on_signal(int number) {
  if (Loop* loop = signalled.exchange(nullptr)) {
    loop->stop();
    return;
  }
  std::signal(number, SIG_DFL);                       // the second time: at once
  std::raise(number);
}

}  // namespace

StopOnSignal::StopOnSignal(Loop& loop) {
  TOMOGRID_ASSERT(signalled.exchange(&loop) == nullptr);
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, &before_interrupt);
  sigaction(SIGTERM, &action, &before_terminate);
}

StopOnSignal::~StopOnSignal() {
  sigaction(SIGINT, &before_interrupt, nullptr);
  sigaction(SIGTERM, &before_terminate, nullptr);
  signalled = nullptr;
}

}  // namespace tomogrid::wire
