#include "support/sim.h"

#include <algorithm>

#include "certs/certificate.h"

namespace tomogrid::test {

using namespace std::chrono_literals;

Sim::Sim(std::uint64_t seed, SimOptions options) : options_(options), random_(seed) {}

Sim::Host Sim::add(const std::string& name, const certs::Identity& identity) {
  Place place;
  place.name = name;
  place.identity = &identity;
  hosts_.push_back(std::move(place));
  return hosts_.size() - 1;
}

void Sim::start(Host host, wire::Machine& machine) {
  Place& place = hosts_.at(host);
  if (place.machine != nullptr) throw std::logic_error(place.name + " runs already");
  place.machine = &machine;
  place.run = ++runs_;
  wire::Entropy entropy;
  for (auto& byte : entropy.seed) byte = static_cast<std::uint8_t>(random_());
  feed(host, entropy);
  wire::Recovered recovered;
  for (const auto& [key, body] : place.disk) recovered.rows.push_back({key.first, key.second, body});
  feed(host, recovered);
}

void Sim::crash(Host host) {
  hosts_.at(host).machine = nullptr;
  std::vector<std::uint64_t> ended;
  for (const auto& [id, session] : sessions_) {
    if (session.ends[0].host == host || session.ends[1].host == host) ended.push_back(id);
  }
  for (const std::uint64_t id : ended) {
    const Session& session = sessions_.at(id);
    const Duration delay =
        whole(session.ends[0].host, session.ends[1].host) ? latency() : Duration(options_.heartbeat_timeout);
    end_session(id, "connection reset", delay, delay);
  }
}

wire::Target Sim::target(Host host, certs::Role role) const {
  wire::Target target;
  target.host = hosts_.at(host).name;
  target.control_port = static_cast<std::uint16_t>(1000 + host);
  target.transport_key = hosts_.at(host).identity->transport_key();
  target.role = role;
  return target;
}

wire::Route Sim::route(Host host) const {
  return {"direct", hosts_.at(host).name, static_cast<std::uint16_t>(1000 + host)};
}

Duration Sim::latency() {
  return std::uniform_int_distribution<Duration::rep>(options_.latency_least.count(),
                                                      options_.latency_most.count())(random_) *
         1ns;
}

// ---- links
// -----------------------------------------------------------------------------------------------------------

void Sim::isolate(Host host) {
  for (Host other = 0; other < hosts_.size(); ++other) {
    if (other != host) cut(host, other);
  }
}

void Sim::rejoin(Host host) {
  for (Host other = 0; other < hosts_.size(); ++other) {
    if (other != host) mend(host, other);
  }
}

void Sim::mend(Host a, Host b) {
  if (cuts_.erase(pair_of(a, b)) == 0) return;
  for (auto& [id, session] : sessions_) {
    if (pair_of(session.ends[0].host, session.ends[1].host) != pair_of(a, b)) continue;
    session.cut_since.reset();
    for (int to = 0; to < 2; ++to) {
      for (auto& [when, frame] : std::exchange(session.ends[to].held, {})) {
        session.ends[to].last_arrival = std::max(session.ends[to].last_arrival, now_ + latency());
        at(session.ends[to].last_arrival, [this, id = id, to, frame = std::move(frame)] { deliver(id, to, frame); });
      }
    }
  }
}

void Sim::reset(Host a, Host b) {
  std::vector<std::uint64_t> ended;
  for (const auto& [id, session] : sessions_) {
    if (pair_of(session.ends[0].host, session.ends[1].host) == pair_of(a, b)) ended.push_back(id);
  }
  for (const std::uint64_t id : ended) end_session(id, "connection reset", latency(), latency());
}

// Sessions over a cut link end when their heartbeats are missed.
void Sim::link_was_cut() {
  for (auto& [id, session] : sessions_) {
    if (session.cut_since || whole(session.ends[0].host, session.ends[1].host)) continue;
    session.cut_since = now_;
    at(now_ + options_.heartbeat_timeout, [this, id = id, since = now_] {
      const auto found = sessions_.find(id);
      if (found != sessions_.end() && found->second.cut_since == since) end_session(id, "no heartbeat", 0ns, latency());
    });
  }
}

// ---- sessions
// --------------------------------------------------------------------------------------------------------

void Sim::connect(Host host, const wire::Connect& connect) {
  const wire::Target& target = connect.target;
  Host other = 0;
  while (other < hosts_.size() && (hosts_[other].name != target.host || 1000 + other != target.control_port)) ++other;
  const auto fail = [this, host, run = hosts_[host].run, dial = connect.dial](Duration after, const std::string& why) {
    at(now_ + after, [this, host, run, dial, why] {
      if (hosts_[host].run == run) feed(host, wire::ConnectFailed{dial, Error{ErrorCode::Unreachable, why}});
    });
  };
  if (other == hosts_.size()) return fail(latency(), "no such address");
  if (!whole(host, other)) return fail(options_.connect_timeout, "no answer");
  // Two round trips: greet and hello each way.
  at(now_ + latency() + latency() + latency() + latency(),
     [this, host, other, target, dial = connect.dial, run = hosts_[host].run, fail] {
       if (hosts_[host].run != run || hosts_[host].machine == nullptr) return;
       if (!whole(host, other)) return fail(options_.connect_timeout, "no answer");
       if (hosts_[other].machine == nullptr) return fail(0ns, "connection refused");
       const certs::Identity& there = *hosts_[other].identity;
       if (there.transport_key() != target.transport_key) return fail(0ns, "another key answers there");
       if (!there.roles().contains(target.role)) return fail(0ns, "the certificate lacks the role");
       if (target.member && *target.member != there.member()) return fail(0ns, "another member answers there");
       const std::uint64_t id = ++session_ids_;
       Session& session = sessions_[id];
       const auto end = [this](Host at_host, Host peer_host, std::uint64_t dialled) {
         const certs::Identity& who = *hosts_[peer_host].identity;
         End made;
         made.host = at_host;
         made.run = hosts_[at_host].run;
         made.id = ++peers_;
         made.peer.id = made.id;
         made.peer.member = who.member();
         made.peer.name = who.name();
         made.peer.roles = who.roles();
         made.peer.dial = dialled;
         made.peer.signing_key = who.certificate().signing_key;
         made.peer.chain = std::make_shared<const certs::CertificateChain>(who.chain());
         return made;
       };
       session.ends[0] = end(host, other, dial);
       session.ends[1] = end(other, host, 0);
       by_peer_[{host, session.ends[0].id}] = id;
       by_peer_[{other, session.ends[1].id}] = id;
       const wire::Peer server_sees = session.ends[1].peer, client_sees = session.ends[0].peer;
       feed(other, wire::PeerUp{server_sees});
       if (hosts_[host].run == run) feed(host, wire::PeerUp{client_sees});
     });
}

void Sim::send(Host host, const wire::Send& send) {
  const auto found = by_peer_.find({host, send.peer});
  if (found == by_peer_.end()) return;  // the peer is gone: PeerDown says so
  Session& session = sessions_.at(found->second);
  const int to = session.ends[0].host == host && session.ends[0].id == send.peer ? 1 : 0;
  if (!wire::fits(send.message))
    throw std::logic_error(std::string(wire::name_of(send.message)) + " does not fit a frame");
  ByteString frame = wire::encode(send.message);
  hosts_[host].sent += frame.size();
  End& end = session.ends[to];
  if (!whole(session.ends[0].host, session.ends[1].host)) {
    end.held.emplace_back(now_, std::move(frame));
    return;
  }
  end.last_arrival = std::max(end.last_arrival, now_ + latency());
  at(end.last_arrival, [this, id = found->second, to, frame = std::move(frame)] { deliver(id, to, frame); });
}

void Sim::deliver(std::uint64_t id, int to, const ByteString& frame) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  End& end = found->second.ends[to];
  const Host from = found->second.ends[1 - to].host;
  if (!whole(end.host, from)) {  // cut while it was under way: sent again after mending
    end.held.emplace_back(now_, frame);
    return;
  }
  auto message = wire::decode(frame);
  if (!message) throw std::logic_error("a message of ours is refused: " + message.error().message);
  if (on_message) on_message(from, end.host, *message);
  const Host host = end.host;
  const wire::Peer peer = end.peer;
  feed(host, wire::Received{peer, *std::move(message)});
}

void Sim::close(Host host, wire::PeerId peer, const std::string& code, const std::string& reason) {
  const auto found = by_peer_.find({host, peer});
  if (found == by_peer_.end()) return;
  const std::uint64_t id = found->second;
  const bool first = sessions_.at(id).ends[0].host == host && sessions_.at(id).ends[0].id == peer;
  // What was said before the bye arrives before it.
  const Session& session = sessions_.at(id);
  const Instant last = session.ends[first ? 1 : 0].last_arrival;
  const Duration delay = std::max<Duration>(latency(), last - now_ + 1ns);
  at(now_ + delay, [this, id, code, reason] {
    if (sessions_.contains(id)) end_session(id, code + ": " + reason, 0ns, 0ns);
  });
}

void Sim::end_session(std::uint64_t id, const std::string& reason, Duration delay_a, Duration delay_b) {
  const Session session = std::move(sessions_.at(id));
  sessions_.erase(id);
  const Duration delays[2] = {delay_a, delay_b};
  for (int i = 0; i < 2; ++i) {
    const End& end = session.ends[i];
    by_peer_.erase({end.host, end.id});
    at(now_ + delays[i], [this, host = end.host, run = end.run, peer = end.peer, reason] {
      if (hosts_[host].run == run) feed(host, wire::PeerDown{peer, reason});
    });
  }
}

// ---- performing
// ------------------------------------------------------------------------------------------------------

void Sim::feed(Host host, const wire::Event& event) {
  if (hosts_.at(host).machine == nullptr) return;
  perform_effects(host, hosts_[host].machine->handle(now(), event));
}

void Sim::perform_effects(Host host, const wire::Effects& effects) {
  Place& place = hosts_.at(host);
  const bool persists = std::any_of(effects.begin(), effects.end(),
                                    [](const wire::Effect& e) { return std::holds_alternative<wire::Persist>(e); });
  if (persists && place.storage_fails)
    return feed(host, wire::StorageFailed{Error{ErrorCode::Storage, "the simulated disk is full"}});
  for (const wire::Effect& effect : effects) {
    const auto* persist = std::get_if<wire::Persist>(&effect);
    if (persist == nullptr) continue;
    const auto key = std::pair(persist->row.table, persist->row.key);
    if (persist->row.body.empty()) {
      place.disk.erase(key);
    } else {
      place.disk[key] = persist->row.body;
    }
  }
  for (const wire::Effect& effect : effects) {
    if (const auto* wanted = std::get_if<wire::Connect>(&effect)) {
      connect(host, *wanted);
    } else if (const auto* message = std::get_if<wire::Send>(&effect)) {
      send(host, *message);
    } else if (const auto* bye = std::get_if<wire::ClosePeer>(&effect)) {
      close(host, bye->peer, bye->code, bye->reason);
    } else if (const auto* report = std::get_if<wire::Report>(&effect)) {
      if (on_report) on_report(host, *report);
    } else if (!std::holds_alternative<wire::Persist>(effect)) {
      if (!perform) throw std::logic_error("this simulation performs no streams and no workers");
      perform(host, effect);
    }
  }
}

// ---- time
// ------------------------------------------------------------------------------------------------------------

// One event or one advance() of one machine at the earliest instant up to `end`; false when there is none.
bool Sim::step(Instant end) {
  link_was_cut();
  std::optional<Instant> earliest;
  Host due = hosts_.size();
  for (Host host = 0; host < hosts_.size(); ++host) {
    if (hosts_[host].machine == nullptr) continue;
    const auto deadline = hosts_[host].machine->next_deadline();
    if (deadline && (!earliest || *deadline < *earliest)) {
      earliest = *deadline;
      due = host;
    }
  }
  // What happens comes before what is merely due at the same instant.
  if (!queue_.empty() && (!earliest || queue_.begin()->first.first <= std::max(*earliest, now_))) {
    if (queue_.begin()->first.first > end) return false;
    now_ = std::max(now_, queue_.begin()->first.first);
    const auto what = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    what();
    return true;
  }
  if (!earliest || *earliest > end) return false;
  now_ = std::max(now_, *earliest);
  perform_effects(due, hosts_[due].machine->advance(now()));
  return true;
}

void Sim::run_until_instant(Instant end) {
  Instant at_instant = now_;
  std::size_t calls = 0;
  while (step(end)) {
    calls = now_ == at_instant ? calls + 1 : 0;
    at_instant = now_;
    if (calls > options_.calls_at_one_instant_max) throw std::logic_error("the machines do not come to rest");
  }
  now_ = std::max(now_, end);
}

bool Sim::run_until(const std::function<bool()>& reached, Duration limit) {
  const Instant end = now_ + limit;
  Instant at_instant = now_;
  std::size_t calls = 0;
  while (!reached()) {
    if (!step(end)) {
      now_ = std::max(now_, end);
      return reached();
    }
    calls = now_ == at_instant ? calls + 1 : 0;
    at_instant = now_;
    if (calls > options_.calls_at_one_instant_max) throw std::logic_error("the machines do not come to rest");
  }
  return true;
}

}  // namespace tomogrid::test
