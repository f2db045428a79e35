#include "client/session.h"

#include <sys/signalfd.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "certs/secret.h"
#include "registry/discovery.h"
#include "wire/loop.h"

namespace tomogrid::client {

namespace {

// Lets the edge see each update before the loop performs the effects that go with it.
class Overheard final : public wire::Machine {
 public:
  Overheard(Client& client, std::function<void()> updates) : client_(client), updates_(std::move(updates)) {}
  wire::Effects handle(const wire::Now& now, const wire::Event& event) override {
    return with(client_.handle(now, event));
  }
  wire::Effects advance(const wire::Now& now) override { return with(client_.advance(now)); }
  std::optional<Instant> next_deadline() const override { return client_.next_deadline(); }

 private:
  wire::Effects with(wire::Effects effects) {
    updates_();
    return effects;
  }
  Client& client_;
  std::function<void()> updates_;
};

// SIGINT and SIGTERM as a descriptor, for this process and every thread it starts later.
class Signals final {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    descriptor_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor_ < 0) throw Failure(ErrorCode::Internal, "cannot watch for signals");
  }
  ~Signals() { ::close(descriptor_); }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int descriptor() const { return descriptor_; }
  std::optional<int> next() const {
    signalfd_siginfo info{};
    if (::read(descriptor_, &info, sizeof info) != sizeof info) return std::nullopt;
    return static_cast<int>(info.ssi_signo);
  }

 private:
  int descriptor_ = -1;
};

ClientOptions options_of(const Settings& settings) {
  ClientOptions options;
  options.managers = settings.managers;
  options.registries = settings.registries;
  options.nodes = settings.nodes;
  return options;
}

}  // namespace

struct Session::Implementation {
  Implementation(Session& session, const Arguments& arguments)
      : hardened((certs::harden_process(), true)),
        settings(read_settings(arguments)),
        member(load_member(arguments, settings)),
        journal(settings.folder / "client"),
        streams(settings.folder / "client" / "spool"),
        client(member->identity(), options_of(settings)),
        overheard(client, [this, &session] { pass_on(session); }),
        loop(*member, clock, overheard, wire::Ports{&journal, &streams, nullptr, nullptr}) {
    if (!settings.discovery) return;
    discovery.emplace([this](const wire::Suggestion& suggestion) { loop.feed(wire::Discovered{suggestion}); },
                      member->identity().transport_key());
    discovery->browse(certs::Role::Registry);
    loop.watch(discovery->descriptor(), [this] { discovery->dispatch(); });
  }

  void pass_on(Session& session) {
    for (const Update& update : client.take_updates()) {
      if (session.on_update) session.on_update(update);
    }
  }

  const bool hardened;  // before the keys are read, and before threads start
  Signals signals;
  SystemClock clock;
  Settings settings;
  std::unique_ptr<certs::Member> member;
  Journal journal;
  Streams streams;
  Client client;
  Overheard overheard;
  wire::Loop loop;
  std::optional<registry::Discovery> discovery;
};

Session::Session(const Arguments& arguments) : implementation_(std::make_unique<Implementation>(*this, arguments)) {
  Implementation& in = *implementation_;
  in.loop.watch(in.signals.descriptor(), [this] {
    while (const auto signal = implementation_->signals.next()) {
      if (on_interrupt) on_interrupt(*signal == SIGINT);
    }
  });
}

Session::~Session() = default;

const certs::Identity& Session::identity() const {
  return implementation_->member->identity();
}
const Settings& Session::settings() const {
  return implementation_->settings;
}
Journal& Session::journal() {
  return implementation_->journal;
}
Streams& Session::streams() {
  return implementation_->streams;
}
const Client& Session::client() const {
  return implementation_->client;
}

void Session::listen_to_terminal(bool on) {
  if (!on) return implementation_->loop.unwatch(STDIN_FILENO);
  implementation_->loop.watch(STDIN_FILENO, [this] {
    char text[256];
    const ssize_t n = ::read(STDIN_FILENO, text, sizeof text);
    if (n <= 0) return implementation_->loop.unwatch(STDIN_FILENO);
    if (on_line) on_line(std::string(text, static_cast<std::size_t>(n)));
  });
}

void Session::act(std::function<wire::Effects(Client&, const wire::Now&)> action) {
  implementation_->loop.post([this, action = std::move(action)] {
    Implementation& in = *implementation_;
    const wire::Effects effects = action(in.client, {in.clock.now(), in.clock.wall()});
    in.pass_on(*this);
    in.loop.perform(effects);
  });
}

void Session::after(std::chrono::milliseconds delay, std::function<void()> due) {
  implementation_->loop.after(delay, std::move(due));
}
void Session::run() {
  implementation_->loop.run();
}
void Session::stop() {
  implementation_->loop.stop();
}

}  // namespace tomogrid::client
