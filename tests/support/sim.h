// Members of a federation in one process: the real machines over a simulated network, clock and disk, repeatable from a
// seed.
//
// The second performer of wire/machine.h beside wire/loop.h. What it keeps of the real one: every message passes
// through its encoder and decoder; a session delivers in order, others overtake it; a cut link holds what is sent, and
// after the heartbeat timeout both ends hear PeerDown and it is lost; a crashed process refuses; Persist commits before
// anything else of the same call, or nothing is done and StorageFailed comes back. What it does not do by itself:
// streams, workers, scratch. Their effects go to `perform`, which a test of whole jobs sets.
//
// Time moves only in run_for() and run_until(). Instants begin at one hour, so that none is the epoch.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "certs/identity.h"
#include "wire/machine.h"

namespace tomogrid::test {

struct SimOptions {
  Duration latency_least = std::chrono::microseconds(100), latency_most = std::chrono::milliseconds(2);
  std::chrono::milliseconds heartbeat_timeout{1500};
  std::chrono::milliseconds connect_timeout{3000};
  std::size_t calls_at_one_instant_max = 100'000;  // more is a machine that never comes to rest
};

class Sim final {
 public:
  using Host = std::size_t;
  explicit Sim(std::uint64_t seed, SimOptions options = {});

  // A place on the network with one identity (which outlives the simulation) and one disk. Nothing runs there yet.
  Host add(const std::string& name, const certs::Identity& identity);
  // Starts `machine` there: Entropy, Recovered with what the disk holds, then whatever happens. It outlives its run.
  void start(Host host, wire::Machine& machine);
  // Ends it as kill -9 does: sessions reset where the link is whole.
  void crash(Host host);
  bool running(Host host) const { return hosts_.at(host).machine != nullptr; }
  // Whom to dial to reach it.
  wire::Target target(Host host, certs::Role role) const;
  wire::Route route(Host host) const;

  // The link between two, both ways.
  void cut(Host a, Host b) { cuts_.insert(pair_of(a, b)); }
  void mend(Host a, Host b);
  void isolate(Host host);
  void rejoin(Host host);
  // Ends every session between two at once, as a reset does.
  void reset(Host a, Host b);

  // Hands an event to a machine now, or performs what a direct call of it returned.
  void feed(Host host, const wire::Event& event);
  void perform_effects(Host host, const wire::Effects& effects);

  void run_for(Duration time) { run_until_instant(now_ + time); }
  // Until `reached`, looked at after every event; false when `limit` passes first.
  bool run_until(const std::function<bool()>& reached, Duration limit);
  wire::Now now() const {
    return {now_, WallTime{kWallAtStart} + std::chrono::duration_cast<std::chrono::milliseconds>(now_ - kStart)};
  }

  // While set, commits at this host fail.
  void fail_storage(Host host, bool on) { hosts_.at(host).storage_fails = on; }
  const std::map<std::pair<std::string, std::string>, std::string>& disk(Host host) const {
    return hosts_.at(host).disk;
  }
  // Bytes of messages that it has sent.
  std::uint64_t sent(Host host) const { return hosts_.at(host).sent; }

  // Called for every message that arrives, before its receiver has it; for assertions.
  std::function<void(Host from, Host to, const wire::Message&)> on_message;
  std::function<void(Host, const wire::Report&)> on_report;
  // Streams, workers, scratch. Unset: such an effect is an error of the test.
  std::function<void(Host, const wire::Effect&)> perform;
  std::mt19937_64& random() { return random_; }

  static constexpr Instant kStart{std::chrono::hours(1)};
  static constexpr std::int64_t kWallAtStart = 1'790'000'000'000;

 private:
  struct Place {
    std::string name;
    const certs::Identity* identity = nullptr;
    wire::Machine* machine = nullptr;
    std::uint64_t run = 0;  // of `machine`; events of an earlier run are not delivered
    std::map<std::pair<std::string, std::string>, std::string> disk;
    bool storage_fails = false;
    std::uint64_t sent = 0;
  };
  struct End {
    Host host = 0;
    std::uint64_t run = 0;
    wire::PeerId id = 0;                               // of the peer, as this end knows it
    wire::Peer peer;                                   // who is at the other end
    Instant last_arrival{};                            // of what was sent to this end: order is kept
    std::vector<std::pair<Instant, ByteString>> held;  // sent to this end while the link was cut
  };
  struct Session {
    End ends[2];
    std::optional<Instant> cut_since;
  };
  static std::pair<Host, Host> pair_of(Host a, Host b) { return {std::min(a, b), std::max(a, b)}; }
  bool whole(Host a, Host b) const { return !cuts_.contains(pair_of(a, b)); }
  Duration latency();
  void at(Instant when, std::function<void()> what) { queue_.emplace(std::pair(when, ++queued_), std::move(what)); }
  void run_until_instant(Instant end);
  bool step(Instant end);
  void connect(Host host, const wire::Connect& connect);
  void send(Host host, const wire::Send& send);
  void deliver(std::uint64_t session, int to, const ByteString& frame);
  void close(Host host, wire::PeerId peer, const std::string& code, const std::string& reason);
  void end_session(std::uint64_t session, const std::string& reason, Duration delay_a, Duration delay_b);
  void link_was_cut();

  SimOptions options_;
  std::mt19937_64 random_;
  Instant now_ = kStart;
  std::vector<Place> hosts_;
  std::set<std::pair<Host, Host>> cuts_;
  std::map<std::uint64_t, Session> sessions_;
  std::map<std::pair<Host, wire::PeerId>, std::uint64_t> by_peer_;
  std::uint64_t peers_ = 0, session_ids_ = 0, queued_ = 0, runs_ = 0;
  std::map<std::pair<Instant, std::uint64_t>, std::function<void()>> queue_;
};

}  // namespace tomogrid::test
