// The other performer: runs the real state machines of a whole federation over a seeded network, disk and set of workers.
//
// Time is simulated; nothing waits. One seed decides everything that chance decides, so a failure repeats. What it does to
// the machines: messages are delayed (each session keeps its order, as TCP does, sessions overtake each other), sessions
// break with what is under way lost, members are cut off from one another, processes die and come back with their
// journal and scratch, workers die, journals refuse to write. Every message passes the real encoder and decoder.
//
// Content is not simulated: a stream has a length and a root, and a worker's output has the root worker_root() of its inputs.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "certs/authority.h"
#include "node/records.h"
#include "wire/machine.h"

namespace tomogrid::simulation {

using Index = std::size_t;                     // a member of the world
using Random = std::mt19937_64;                // its output is fixed by the standard; distributions are our own

struct Faults {
  double break_chance = 0;                     // of a session, per message
  double worker_death = 0;                     // of a worker, per start
  double storage_failure = 0;                  // of a commit
  std::chrono::milliseconds latency_least{1}, latency_most{40};
};

struct Stored {
  std::uint64_t length = 0;
  std::optional<job::Digest> root;             // complete
  std::uint64_t have = 0;                      // stored from the start
  job::Digest coming{};                        // what an unfinished one is of
};

// What a worker makes of its inputs; what a client may accept.
job::Digest worker_root(const std::string& output, const job::Parameters& parameters, const std::vector<job::StreamFact>& inputs);
inline constexpr std::uint64_t kOutputLength = 100'000;

class World;

struct Member {
  std::string name;
  certs::Roles roles;
  std::unique_ptr<certs::Identity> identity;
  std::shared_ptr<const certs::CertificateChain> chain;
  std::function<std::unique_ptr<wire::Machine>(World&, Index)> make;
  std::unique_ptr<wire::Machine> machine;      // null: not running
  std::function<void(World&, Index)> after_call;   // reads what the machine has for its edge, before effects are performed
  std::uint64_t life = 0;                      // counts starts
  std::map<std::pair<std::string, std::string>, std::string> disk;              // journal
  std::map<std::pair<wire::JobKey, std::string>, Stored> store;                 // scratch of a node; inputs and spool of a client
  std::map<wire::JobKey, std::uint64_t> workers;                                // running: number of the run
  std::map<wire::JobKey, wire::StartWorker> orders;
  std::map<wire::JobKey, std::set<std::string>> inputs_told;
  std::uint32_t cores = 0;                     // of a node
};

class World {
 public:
  explicit World(std::uint64_t seed);

  // Adds a member; it starts with start(). Keys follow from the seed.
  Index add(const std::string& name, certs::Roles roles, std::function<std::unique_ptr<wire::Machine>(World&, Index)> make);
  void start(Index who);
  void crash(Index who);                       // the process is gone; journal and scratch stay
  void lose_scratch(Index who) { members_[who].store.clear(); }
  // Nothing passes between a and b until heal(); sessions notice after some seconds.
  void cut(Index a, Index b) { cuts_.insert({std::min(a, b), std::max(a, b)}); }
  void heal() { cuts_.clear(); }

  wire::Target target(Index who, certs::Role role) const;
  Member& member(Index who) { return members_[who]; }
  std::size_t size() const { return members_.size(); }
  Index index_of(const certs::MemberId& id) const;
  wire::Now now() const { return {now_, {1'700'000'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(now_.time_since_epoch()).count()}}; }
  Random& random() { return random_; }
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool chance(double probability) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability; }
  certs::Authority& authority() { return authority_; }

  void at(Duration delay, std::function<void()> what);
  // Runs until `limit` has passed or `done` holds.
  void run(Duration limit, const std::function<bool()>& done = [] { return false; });
  // Performs what a call on the machine from outside (submit, withdraw) answered.
  void perform(Index who, const wire::Effects& effects);
  void feed(Index who, const wire::Event& event);

  Faults faults;
  std::uint64_t messages_delivered = 0, sessions_broken = 0, workers_started = 0, commits_failed = 0;
  std::vector<std::string> reports;            // "name event field=value ...", the last 2000
  std::function<void(Index who, const wire::StartWorker&)> on_worker;   // invariants

 private:
  struct Session {
    Index side[2];                             // 0 dialled
    std::uint64_t life[2];
    wire::PeerId peer[2];                      // how that side calls the other
    bool up[2] = {false, false};               // that side has heard PeerUp and not PeerDown
    std::uint64_t dial = 0;
    bool open = true;
    Instant last[2] = {};                      // latest arrival scheduled to that side
    std::optional<Instant> cut_since;
  };
  struct Stream {
    std::size_t session;
    int sender;                                // side
    wire::StreamKey key;
    wire::JobKey sender_job, receiver_job;
    std::uint64_t length = 0;
    job::Digest root{};
    bool live = true;
  };
  struct Timed {
    Instant at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator>(const Timed& other) const { return std::tie(at, order) > std::tie(other.at, other.order); }
  };

  Duration latency();
  void call(Index who, const std::function<wire::Effects(wire::Machine&, const wire::Now&)>& what);
  void connect(Index who, const wire::Connect& connect);
  void send(Index who, wire::PeerId peer, wire::Message message);
  void deliver(std::size_t session, int to, std::function<void()> what);
  void close(std::size_t session, const std::string& reason, std::optional<int> silent_side = std::nullopt);
  std::optional<std::pair<std::size_t, int>> session_of(Index who, wire::PeerId peer) const;   // and the side of `who`
  wire::Peer peer_at(const Session& session, int side) const;
  bool cut_between(const Session& s) const { return cuts_.contains({std::min(s.side[0], s.side[1]), std::max(s.side[0], s.side[1])}); }
  bool alive(const Session& s, int side) const { return members_[s.side[side]].machine && members_[s.side[side]].life == s.life[side]; }
  void begin_stream(Index who, const wire::SendStream& effect);
  void accept_stream(Index who, const wire::ReceiveStream& effect);
  void advance_stream(std::uint32_t number);
  void end_stream(std::uint32_t number, const std::string& code);
  void stop_stream(Index who, wire::PeerId peer, const wire::StreamKey& key, const std::string& code);
  void start_worker(Index who, const wire::StartWorker& effect);
  void work(Index who, wire::JobKey job, std::uint64_t run, std::uint32_t step);
  void exit_worker(Index who, wire::JobKey job, std::uint64_t run, int status);
  std::vector<wire::Row> recovered(Index who) const;

  Random random_;
  Instant now_{};
  std::uint64_t order_ = 0, next_peer_ = 1, next_run_ = 1;
  certs::Authority authority_;
  std::deque<Member> members_;
  std::vector<Session> sessions_;
  std::map<std::pair<Index, wire::PeerId>, std::pair<std::size_t, int>> peers_;
  std::vector<Stream> streams_;                // by number
  std::priority_queue<Timed, std::vector<Timed>, std::greater<>> queue_;
  std::set<std::pair<Index, Index>> cuts_;
};

}  // namespace tomogrid::simulation
