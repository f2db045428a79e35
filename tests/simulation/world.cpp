#include "simulation/world.h"

#include <algorithm>
#include <stdexcept>

#include "certs/content_hash.h"
#include "job/service.h"

namespace tomogrid::simulation {

using namespace std::chrono_literals;

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

constexpr std::uint64_t kPiece = 32 * 1024;

wire::JobKey own_key(const Member& member, const job::JobId& id) { return {member.identity->member(), id}; }

}  // namespace

job::Digest worker_root(const std::string& output, const job::Parameters& parameters, const std::vector<job::StreamFact>& inputs) {
  std::string all = output + "\n" + job::canonical_text(parameters);
  std::vector<job::StreamFact> sorted = inputs;
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const job::StreamFact& input : sorted) all += "\n" + input.name + " " + to_hex(input.root);
  return certs::sha256(bytes_of(all));
}

World::World(std::uint64_t seed) : random_(seed), authority_("simulated") {}

Index World::add(const std::string& name, certs::Roles roles, std::function<std::unique_ptr<wire::Machine>(World&, Index)> make) {
  std::array<std::uint8_t, 32> seed{};
  for (auto& byte : seed) byte = static_cast<std::uint8_t>(random_());
  Member member;
  member.name = name;
  member.roles = roles;
  member.identity = certs::make_identity(authority_, name, roles, now().wall, certs::SecretKeys::from_seed(seed)).or_throw();
  member.chain = std::make_shared<const certs::CertificateChain>(member.identity->chain());
  member.make = std::move(make);
  members_.push_back(std::move(member));
  return members_.size() - 1;
}

Index World::index_of(const certs::MemberId& id) const {
  for (Index i = 0; i < members_.size(); ++i) {
    if (members_[i].identity->member() == id) return i;
  }
  throw std::runtime_error("no such member");
}

wire::Target World::target(Index who, certs::Role role) const {
  wire::Target target;
  target.host = "10.0.0." + std::to_string(who + 1);
  target.control_port = 4000;
  target.transport_key = members_[who].identity->transport_key();
  target.role = role;
  target.member = members_[who].identity->member();
  return target;
}

void World::at(Duration delay, std::function<void()> what) { queue_.push({now_ + delay, order_++, std::move(what)}); }

Duration World::latency() {
  const auto range = static_cast<std::uint64_t>((faults.latency_most - faults.latency_least).count()) + 1;
  return faults.latency_least + std::chrono::milliseconds(below(range)) + std::chrono::microseconds(below(1000));
}

void World::start(Index who) {
  Member& member = members_[who];
  ++member.life;
  member.machine = member.make(*this, who);
  wire::Entropy entropy;
  for (auto& byte : entropy.seed) byte = static_cast<std::uint8_t>(random_());
  feed(who, entropy);
  feed(who, wire::Recovered{recovered(who)});
  if (member.cores > 0) feed(who, wire::CapacityChanged{{member.cores, member.cores, gibibytes(64), gibibytes(64)}});
}

// The journal as it is on disk, and what the edge of a node finds in scratch.
std::vector<wire::Row> World::recovered(Index who) const {
  const Member& member = members_[who];
  std::vector<wire::Row> rows;
  for (const auto& [key, body] : member.disk) rows.push_back({key.first, key.second, body});
  if (member.cores == 0) return rows;
  std::map<wire::JobKey, node::ScratchFact> facts;
  for (const auto& [key, stored] : member.store) {
    node::ScratchFact& fact = facts[key.first];
    fact.key = key.first;
    const bool output = key.second.starts_with("out/");
    const std::string name = key.second.substr(key.second.find('/') + 1);
    if (output) {
      fact.outputs.push_back({name, Bytes(stored.length), *stored.root});
    } else {
      node::ScratchFact::Input input{name, stored.length, {}, stored.root};
      if (stored.have > 0) input.stored.push_back({0, stored.have});
      fact.inputs.push_back(input);
    }
  }
  for (const auto& [key, fact] : facts) rows.push_back(node::encode(fact));
  return rows;
}

void World::crash(Index who) {
  Member& member = members_[who];
  if (!member.machine) return;
  member.machine.reset();
  member.workers.clear();
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    if (!sessions_[i].open) continue;
    for (int side = 0; side < 2; ++side) {
      if (sessions_[i].side[side] == who) close(i, "connection reset", side);
    }
  }
}

void World::call(Index who, const std::function<wire::Effects(wire::Machine&, const wire::Now&)>& what) {
  Member& member = members_[who];
  if (!member.machine) return;
  const wire::Effects effects = what(*member.machine, now());
  perform(who, effects);
}

void World::feed(Index who, const wire::Event& event) {
  call(who, [&](wire::Machine& machine, const wire::Now& at) { return machine.handle(at, event); });
}

void World::run(Duration limit, const std::function<bool()>& done) {
  const Instant end = now_ + limit;
  while (!done()) {
    Instant next = queue_.empty() ? end : queue_.top().at;
    std::optional<Index> due;
    for (Index i = 0; i < members_.size(); ++i) {
      if (!members_[i].machine) continue;
      const auto deadline = members_[i].machine->next_deadline();
      if (deadline && std::max(*deadline, now_) < next) {
        next = std::max(*deadline, now_);
        due = i;
      }
    }
    if (next >= end) {
      now_ = end;
      return;
    }
    now_ = next;
    if (due) {
      const auto before = members_[*due].machine->next_deadline();
      call(*due, [](wire::Machine& machine, const wire::Now& at) { return machine.advance(at); });
      const auto after = members_[*due].machine ? members_[*due].machine->next_deadline() : std::nullopt;
      if (after && *after <= now_ && after == before) {
        throw std::runtime_error(members_[*due].name + ": advance() leaves its deadline where it is");
      }
      continue;
    }
    const Timed timed = queue_.top();
    queue_.pop();
    timed.what();
  }
}

void World::perform(Index who, const wire::Effects& effects) {
  Member& member = members_[who];
  const std::uint64_t life = member.life;
  if (member.after_call) member.after_call(*this, who);
  if (!member.machine) return;
  const bool writes = std::any_of(effects.begin(), effects.end(), [](const wire::Effect& e) { return std::holds_alternative<wire::Persist>(e); });
  if (writes && chance(faults.storage_failure)) {
    ++commits_failed;
    return feed(who, wire::StorageFailed{{ErrorCode::Storage, "simulated: no space left"}});
  }
  for (const wire::Effect& effect : effects) {
    if (const auto* persist = std::get_if<wire::Persist>(&effect)) {
      const auto key = std::make_pair(persist->row.table, persist->row.key);
      if (persist->row.body.empty()) member.disk.erase(key);
      else member.disk[key] = persist->row.body;
    }
  }
  for (const wire::Effect& effect : effects) {
    if (member.life != life || !member.machine) return;
    std::visit(Overloaded{
                   [&](const wire::Connect& e) { connect(who, e); },
                   [&](const wire::Send& e) { send(who, e.peer, e.message); },
                   [&](const wire::ClosePeer& e) {
                     if (const auto found = session_of(who, e.peer)) close(found->first, e.code + ": " + e.reason);
                   },
                   [](const wire::Persist&) {},
                   [&](const wire::StartWorker& e) { start_worker(who, e); },
                   [&](const wire::TellWorker& e) {
                     if (const auto* complete = std::get_if<job::InputComplete>(&e.line)) member.inputs_told[e.job].insert(complete->name);
                   },
                   [&](const wire::StopWorker& e) {
                     const auto found = member.workers.find(e.job);
                     if (found == member.workers.end()) return;
                     at(50ms, [this, who, job = e.job, run = found->second] { exit_worker(who, job, run, -15); });
                   },
                   [&](const wire::PrepareScratch& e) {
                     for (const job::StreamFact& input : e.inputs) {
                       member.store.try_emplace({e.job, "in/" + input.name}, Stored{input.length.count(), std::nullopt, 0, {}});
                     }
                   },
                   [&](const wire::Wipe& e) {
                     std::erase_if(member.store, [&](const auto& entry) { return entry.first.first == e.job; });
                   },
                   [&](const wire::ReceiveStream& e) { accept_stream(who, e); },
                   [&](const wire::SendStream& e) { begin_stream(who, e); },
                   [&](const wire::StopStream& e) { stop_stream(who, e.peer, e.key, e.code); },
                   [&](const wire::Report& e) {
                     std::string line = member.name + " " + e.event;
                     for (const auto& [name, value] : e.fields) line += " " + name + "=" + value;
                     reports.push_back(line);
                     if (reports.size() > 2000) reports.erase(reports.begin(), reports.begin() + 1000);
                   },
               },
               effect);
  }
}

// ---- Sessions --------------------------------------------------------------------------------------------------------
wire::Peer World::peer_at(const Session& session, int side) const {
  const Member& other = members_[session.side[1 - side]];
  wire::Peer peer;
  peer.id = session.peer[side];
  peer.member = other.identity->member();
  peer.name = other.name;
  peer.roles = other.roles;
  peer.dial = side == 0 ? session.dial : 0;
  peer.signing_key = other.identity->certificate().signing_key;
  peer.chain = other.chain;
  return peer;
}

void World::connect(Index who, const wire::Connect& effect) {
  const std::uint64_t life = members_[who].life;
  const auto failed = [this, who, life, dial = effect.dial](const std::string& why, Duration after) {
    at(after, [this, who, life, dial, why] {
      if (members_[who].life == life) feed(who, wire::ConnectFailed{dial, {ErrorCode::Unreachable, why}});
    });
  };
  std::optional<Index> callee;
  for (Index i = 0; i < members_.size(); ++i) {
    if (members_[i].identity->transport_key() == effect.target.transport_key) callee = i;
  }
  if (!callee || !members_[*callee].machine) return failed("connection refused", latency());
  if (cuts_.contains({std::min(who, *callee), std::max(who, *callee)})) return failed("no answer", 3s);
  if (!members_[*callee].roles.contains(effect.target.role)) return failed("wrong role", latency());
  Session session{};
  session.side[0] = who;
  session.side[1] = *callee;
  session.life[0] = life;
  session.life[1] = members_[*callee].life;
  session.peer[0] = next_peer_++;
  session.peer[1] = next_peer_++;
  session.dial = effect.dial;
  sessions_.push_back(session);
  const std::size_t number = sessions_.size() - 1;
  peers_[{who, session.peer[0]}] = {number, 0};
  peers_[{*callee, session.peer[1]}] = {number, 1};
  for (int side : {1, 0}) {   // the server knows the client first: its welcome is what tells the client
    const Duration wait = side == 1 ? latency() : latency() + faults.latency_most;
    sessions_[number].last[side] = std::max(sessions_[number].last[side], now_ + wait);
    at(sessions_[number].last[side] - now_, [this, number, side] {
      Session& s = sessions_[number];
      if (!s.open || !alive(s, side)) return;
      s.up[side] = true;
      feed(s.side[side], wire::PeerUp{peer_at(s, side)});
    });
  }
}

std::optional<std::pair<std::size_t, int>> World::session_of(Index who, wire::PeerId peer) const {
  const auto found = peers_.find({who, peer});
  if (found == peers_.end() || !sessions_[found->second.first].open) return std::nullopt;
  return found->second;
}

void World::send(Index who, wire::PeerId peer, wire::Message message) {
  const auto found = session_of(who, peer);
  if (!found) return;
  if (chance(faults.break_chance)) return close(found->first, "simulated break");
  const ByteString frame = wire::encode(message);
  if (frame.size() > wire::kControlMessageLimit) throw std::runtime_error("message too large for the door: " + std::string(wire::name_of(message)));
  const int to = 1 - found->second;
  deliver(found->first, to, [this, number = found->first, to, frame] {
    Session& s = sessions_[number];
    auto decoded = wire::decode(frame);
    if (!decoded) throw std::runtime_error("own message refused: " + decoded.error().message);
    ++messages_delivered;
    if (const auto* abort = std::get_if<wire::StreamAbort>(&*decoded)) {
      return end_stream(abort->number, abort->code);
    }
    feed(s.side[to], wire::Received{peer_at(s, to), *std::move(decoded)});
  });
}

// In order of sending per session and direction; held back while the two are cut off from each other.
void World::deliver(std::size_t number, int to, std::function<void()> what) {
  Session& session = sessions_[number];
  session.last[to] = std::max(session.last[to], now_ + latency());
  at(session.last[to] - now_, [this, number, to, what = std::move(what)]() mutable {
    Session& s = sessions_[number];
    if (!s.open || !alive(s, to)) return;
    if (cut_between(s)) {
      if (!s.cut_since) s.cut_since = now_;
      if (now_ - *s.cut_since > 1500ms) return close(number, "heartbeat timeout");
      return deliver(number, to, std::move(what));
    }
    s.cut_since.reset();
    what();
  });
}

void World::close(std::size_t number, const std::string& reason, std::optional<int> silent_side) {
  Session& session = sessions_[number];
  if (!session.open) return;
  session.open = false;
  ++sessions_broken;
  for (std::uint32_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].session == number && streams_[i].live) end_stream(i, "session");
  }
  for (int side = 0; side < 2; ++side) {
    if (side == silent_side || !alive(session, side)) continue;
    at(std::chrono::milliseconds(1 + below(20)), [this, number, side, reason] {
      Session& s = sessions_[number];
      if (!alive(s, side)) return;
      if (s.up[side]) feed(s.side[side], wire::PeerDown{peer_at(s, side), reason});
      else if (side == 0) feed(s.side[side], wire::ConnectFailed{s.dial, {ErrorCode::Unreachable, reason}});
      s.up[side] = false;
    });
  }
}

// ---- Streams ---------------------------------------------------------------------------------------------------------
void World::begin_stream(Index who, const wire::SendStream& effect) {
  const auto found = session_of(who, effect.peer);
  if (!found) return;
  const Member& member = members_[who];
  auto content = member.store.find({effect.job, "out/" + effect.key.name});
  if (content == member.store.end()) content = member.store.find({own_key(member, effect.key.job), "in/" + effect.key.name});
  if (content == member.store.end() || !content->second.root) {
    return at(1ms, [this, who, effect] { feed(who, wire::StreamBroken{effect.peer, effect.key, "unknown", "nothing is stored"}); });
  }
  Stream stream{found->first, found->second, effect.key, effect.job, {}, content->second.length, *content->second.root, true};
  streams_.push_back(stream);
  send(who, effect.peer, wire::StreamOffer{effect.key, static_cast<std::uint32_t>(streams_.size() - 1), stream.length});
}

void World::accept_stream(Index who, const wire::ReceiveStream& effect) {
  if (effect.number >= streams_.size()) throw std::runtime_error("an offer that nobody made was accepted");
  Stream& stream = streams_[effect.number];
  if (!stream.live) return;
  stream.receiver_job = effect.job;
  Member& member = members_[who];
  Stored& stored = member.store[{effect.job, "in/" + effect.key.name}];
  if (stored.length != stream.length || (stored.have > 0 && stored.coming != stream.root)) stored = {stream.length, std::nullopt, 0, {}};
  stored.coming = stream.root;
  stored.root.reset();
  at(latency(), [this, number = effect.number] { advance_stream(number); });
}

void World::advance_stream(std::uint32_t number) {
  Stream& stream = streams_[number];
  if (!stream.live) return;
  const Session& session = sessions_[stream.session];
  const int receiver = 1 - stream.sender;
  const Index who = session.side[receiver];
  if (!session.open || !alive(session, receiver)) return end_stream(number, "session");
  if (cut_between(session)) return at(100ms, [this, number] { advance_stream(number); });
  const auto found = members_[who].store.find({stream.receiver_job, "in/" + stream.key.name});
  if (found == members_[who].store.end()) return end_stream(number, "storage");
  Stored& stored = found->second;
  if (stored.have < stream.length) {
    const std::uint64_t piece = std::min(kPiece, stream.length - stored.have);
    stored.have += piece;
    at(std::chrono::milliseconds(1 + below(8)), [this, number] { advance_stream(number); });
    if (chance(faults.break_chance)) return close(stream.session, "simulated break");
    return feed(who, wire::RangeStored{session.peer[receiver], stream.key, stored.have - piece, piece});
  }
  stored.root = stream.root;
  stream.live = false;
  const std::size_t session_number = stream.session;
  const wire::StreamKey key = stream.key;
  const std::uint64_t length = stream.length;
  const job::Digest root = stream.root;
  const int sender = stream.sender;
  deliver(session_number, sender, [this, session_number, sender, key, length, root] {
    const Session& s = sessions_[session_number];
    feed(s.side[sender], wire::StreamSent{s.peer[sender], key, length, root});
  });
  feed(who, wire::StreamReceived{session.peer[receiver], key, length, root});
}

void World::end_stream(std::uint32_t number, const std::string& code) {
  if (number >= streams_.size() || !streams_[number].live) return;
  streams_[number].live = false;
  for (int side = 0; side < 2; ++side) {
    at(1ms, [this, number, side, code] {
      const Stream& stream = streams_[number];
      const Session& s = sessions_[stream.session];
      if (alive(s, side)) feed(s.side[side], wire::StreamBroken{s.peer[side], stream.key, code, "simulated"});
    });
  }
}

void World::stop_stream(Index who, wire::PeerId peer, const wire::StreamKey& key, const std::string& code) {
  const auto found = session_of(who, peer);
  if (!found) return;
  for (std::uint32_t i = 0; i < streams_.size(); ++i) {
    if (streams_[i].live && streams_[i].session == found->first && streams_[i].key == key) end_stream(i, code);
  }
}

// ---- Workers ---------------------------------------------------------------------------------------------------------
void World::start_worker(Index who, const wire::StartWorker& effect) {
  Member& member = members_[who];
  ++workers_started;
  if (on_worker) on_worker(who, effect);
  const std::uint64_t run = next_run_++;
  member.workers[effect.job] = run;
  member.orders[effect.job] = effect;
  member.inputs_told[effect.job].clear();
  const bool dies = chance(faults.worker_death);
  at(std::chrono::milliseconds(20 + below(100)), [this, who, job = effect.job, run] { work(who, job, run, 0); });
  if (dies) at(std::chrono::milliseconds(50 + below(2000)), [this, who, job = effect.job, run] { exit_worker(who, job, run, -9); });
}

void World::work(Index who, wire::JobKey job, std::uint64_t run, std::uint32_t step) {
  Member& member = members_[who];
  const auto found = member.workers.find(job);
  if (!member.machine || found == member.workers.end() || found->second != run) return;
  constexpr std::uint32_t kSteps = 5;
  const job::WorkOrder& order = member.orders[job].order;
  const bool complete = std::all_of(order.inputs.begin(), order.inputs.end(), [&](const job::StreamFact& input) {
    const auto stored = member.store.find({job, "in/" + input.name});
    return stored != member.store.end() && stored->second.root.has_value();
  });
  if (complete) ++step;
  if (step > kSteps) return exit_worker(who, job, run, 0);
  at(std::chrono::milliseconds(50 + below(400)), [this, who, job, run, step] { work(who, job, run, step); });
  feed(who, wire::WorkerSaid{job, job::Progress{"iterate", step / 6.0, Seconds(1.0), step, kSteps}});
}

void World::exit_worker(Index who, wire::JobKey job, std::uint64_t run, int status) {
  Member& member = members_[who];
  const auto found = member.workers.find(job);
  if (!member.machine || found == member.workers.end() || found->second != run) return;
  member.workers.erase(found);
  wire::WorkerExited exited{job, status, {}, certs::sha256(bytes_of("worker"))};
  if (status == 0) {
    const wire::StartWorker& effect = member.orders[job];
    std::vector<job::StreamFact> inputs = effect.order.inputs;
    for (job::StreamFact& input : inputs) input.root = member.store.at({job, "in/" + input.name}).root.value();
    for (const std::string& name : effect.outputs) {
      const job::Digest root = worker_root(name, effect.order.parameters, inputs);
      member.store[{job, "out/" + name}] = {kOutputLength, root, kOutputLength, root};
      exited.outputs.push_back({name, kOutputLength, root});
    }
  }
  feed(who, exited);
}

}  // namespace tomogrid::simulation
