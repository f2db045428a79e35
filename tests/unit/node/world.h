// A node machine with an in-memory performer: peers are values, the journal a map, scratch a set, workers a set.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "certs/authority.h"
#include "node/node.h"

namespace tomogrid::node::test {

inline constexpr const char* kBatch = R"({"name": "recon.test", "version": 1, "command": ["worker"],
  "parameters": [{"name": "iterations", "type": "integer", "min": 1, "max": 99, "default": 10}],
  "inputs": [{"name": "scan.f32", "max_bytes": 1000000000}, {"name": "map.f32", "max_bytes": 1000000, "required": false}],
  "outputs": [{"name": "volume.f32", "max_bytes": 1000000}, {"name": "passport.json", "max_bytes": 1000, "required": false}]})";
inline constexpr const char* kStreamed =
    R"({"name": "qa.test", "version": 1, "command": ["worker"], "input": "streamed",
  "inputs": [{"name": "scan.f32", "max_bytes": 1000000000}], "outputs": [{"name": "report.json", "max_bytes": 1000000}]})";

inline job::JobId job_id(std::uint8_t number) {
  job::JobId id;
  id.bytes[0] = number;
  id.bytes[15] = 1;
  return id;
}

inline job::Digest digest(std::uint8_t number) {
  job::Digest value{};
  value[0] = number;
  return value;
}

// What every member of the tests' federation is; made once, because keys take time.
struct Members {
  certs::Authority authority{"testfed"};
  WallTime wall{1'800'000'000'000};
  std::unique_ptr<certs::Identity> node = make("node1", certs::Role::Node),
                                   other_node = make("node2", certs::Role::Node),
                                   registry = make("registry1", certs::Role::Registry),
                                   manager = make("manager1", certs::Role::Manager),
                                   alice = make("alice", certs::Role::Clinician),
                                   bob = make("bob", certs::Role::Researcher),
                                   dev = make("dev", certs::Role::Developer), admin = make("admin", certs::Role::Admin);
  std::unique_ptr<certs::Identity> make(const std::string& name, certs::Role role) {
    return certs::make_identity(authority, name, role, wall).or_throw();
  }
};
inline Members& members() {
  static Members all;
  return all;
}

class World {
 public:
  explicit World(NodeOptions options = {}) {
    now.instant = Instant(std::chrono::hours(1));
    now.wall = members().wall + std::chrono::minutes(1);
    options.boot = 7;
    options.rate_per_core = FlopRate(1e11);
    options_ = options;
    start();
    feed(wire::Recovered{});
    capacity(8, gibibytes(16), gibibytes(8));
  }

  // Another process on the same journal; `scratch` says what is still there.
  void restart(const std::vector<ScratchFact>& scratch) {
    ++options_.boot;
    workers.clear();
    running_.clear();
    start();
    wire::Recovered rows;
    for (const auto& [key, body] : journal) rows.rows.push_back({key.first, key.second, body});
    for (const ScratchFact& fact : scratch) rows.rows.push_back(encode(fact));
    feed(rows);
  }

  void capacity(std::uint32_t cores, Bytes memory, Bytes scratch) {
    feed(wire::CapacityChanged{{cores, cores, memory, scratch}});
  }

  wire::Peer connect(const certs::Identity& who, std::uint64_t dial = 0) {
    wire::Peer peer{next_peer_++,
                    who.member(),
                    who.name(),
                    who.roles(),
                    dial,
                    who.certificate().signing_key,
                    std::make_shared<const certs::CertificateChain>(who.chain())};
    feed(wire::PeerUp{peer});
    return peer;
  }
  void disconnect(const wire::Peer& peer) { feed(wire::PeerDown{peer, "gone"}); }

  void feed(const wire::Event& event) {
    if (const auto* exit = std::get_if<wire::WorkerExited>(&event)) {
      running_.erase(exit->job);
      workers.erase(exit->job);
    }
    perform(node->handle(now, event));
    settle();
  }
  void say(const wire::Peer& peer, wire::Message message) { feed(wire::Received{peer, std::move(message)}); }
  void pass(std::chrono::milliseconds time) {
    const Instant end = now.instant + time;
    const WallTime wall_end = now.wall + time;
    for (auto next = node->next_deadline(); next && *next <= end; next = node->next_deadline()) {
      if (*next > now.instant) {
        now.wall = now.wall + std::chrono::duration_cast<std::chrono::milliseconds>(*next - now.instant);
        now.instant = *next;
      }
      perform(node->advance(now));
    }
    now = {end, wall_end};
    settle();
  }

  wire::Open open(std::uint8_t number, std::uint64_t bytes = 1000, const std::string& service = "recon.test/1") const {
    wire::Open message;
    message.job = job_id(number);
    message.service = job::parse_service_name(service).value();
    message.needs = {1, 2, mebibytes(100), mebibytes(10), FlopCount(1e12), {}};
    message.inputs = {{"scan.f32", Bytes(bytes), {}}};
    return message;
  }
  wire::Ticket ticket(const certs::Identity& client, std::uint8_t number, std::uint32_t cores = 2) const {
    wire::Ticket body;
    body.id.bytes[0] = number;
    body.id.bytes[1] = 0xee;
    body.node = members().node->member();
    body.boot = options_.boot;
    body.client = client.member();
    body.job = job_id(number);
    body.service = {"recon.test", 1};
    body.grant = {cores, mebibytes(100), mebibytes(10)};
    body.issued = now.wall;
    return body;
  }
  static certs::Signed sign(const wire::Ticket& ticket, const certs::Identity& by = *members().manager) {
    return by.signed_record(certs::kinds::ticket, wire::encode_body(ticket));
  }

  // The whole input of a job, as its loop would tell it.
  void send_input(const wire::Peer& peer, std::uint8_t number, std::uint64_t bytes = 1000, std::uint8_t root = 1) {
    const wire::StreamKey key{job_id(number), "scan.f32", 0};
    say(peer, wire::StreamOffer{key, number, bytes});
    feed(wire::RangeStored{peer.id, key, 0, bytes});
    feed(wire::StreamReceived{peer.id, key, bytes, digest(root)});
  }
  static wire::JobKey key(const certs::Identity& client, std::uint8_t number) {
    return {client.member(), job_id(number)};
  }
  void worker_succeeds(const wire::JobKey& key, const std::string& output = "volume.f32") {
    feed(wire::WorkerExited{key, 0, {{output, 64, digest(9)}}, digest(5)});
  }
  job::JobState state(const wire::JobKey& key) const { return node->find(key)->state; }

  // Messages of a kind that a session was sent, oldest first.
  template <class T>
  std::vector<T> sent(const wire::Peer& peer) const {
    std::vector<T> found;
    for (const auto& [to, message] : messages) {
      const T* item = std::get_if<T>(&message);
      if (to == peer.id && item != nullptr) found.push_back(*item);
    }
    return found;
  }
  template <class T>
  T last(const wire::Peer& peer) const {
    const auto all = sent<T>(peer);
    EXPECT_FALSE(all.empty()) << "no such message was sent";
    return all.empty() ? T{} : all.back();
  }
  template <class T>
  std::vector<T> effects_of() const {
    std::vector<T> found;
    for (const wire::Effect& effect : effects) {
      if (const T* item = std::get_if<T>(&effect)) found.push_back(*item);
    }
    return found;
  }
  void forget() {
    messages.clear();
    effects.clear();
  }
  std::vector<std::string> audited() const {
    std::vector<std::string> lines;
    for (const wire::Report& report : effects_of<wire::Report>()) {
      if (report.audit) lines.push_back(report.event + " " + report.fields.front().second);
    }
    return lines;
  }

  wire::Now now;
  std::unique_ptr<Node> node;
  wire::Effects effects;  // since forget()
  std::vector<std::pair<wire::PeerId, wire::Message>> messages;
  std::map<std::pair<std::string, std::string>, std::string> journal;
  std::set<wire::JobKey> workers;  // started and not ended

 private:
  void start() {
    node = std::make_unique<Node>(
        *members().node, std::vector{job::parse_service(kBatch).or_throw(), job::parse_service(kStreamed).or_throw()},
        options_);
    node->set_routes({{"direct", "127.0.0.1", 4100}});
  }
  void settle() {
    for (int rounds = 0; node->next_deadline() && *node->next_deadline() <= now.instant; ++rounds) {
      ASSERT_LT(rounds, 100) << "the machine asks for now again and again";
      perform(node->advance(now));
    }
  }
  // As wire/machine.h: all rows of a pass first; and what a row says is done may only follow what does it.
  void perform(wire::Effects pass) {
    for (const wire::Effect& effect : pass) {
      if (const auto* row = std::get_if<wire::Persist>(&effect)) {
        if (row->row.body.empty())
          journal.erase({row->row.table, row->row.key});
        else
          journal[{row->row.table, row->row.key}] = row->row.body;
        if (row->row.table == kJobTable && !row->row.body.empty()) {
          const JobRecord record = parse_job_record(row->row).or_throw();
          EXPECT_TRUE(!record.wiped || wiped_.contains(record.key)) << "said wiped before it was";
        }
      }
    }
    for (wire::Effect& effect : pass) {
      if (auto* send = std::get_if<wire::Send>(&effect)) {
        EXPECT_LE(wire::encode(send->message).size(), wire::kControlMessageLimit);
        EXPECT_TRUE(wire::decode(wire::encode(send->message)).has_value()) << wire::name_of(send->message);
        messages.emplace_back(send->peer, send->message);
      } else if (const auto* start = std::get_if<wire::StartWorker>(&effect)) {
        EXPECT_TRUE(running_.insert(start->job).second) << "a second worker for one job";
        workers.insert(start->job);
      } else if (const auto* wipe = std::get_if<wire::Wipe>(&effect)) {
        EXPECT_FALSE(running_.contains(wipe->job)) << "wiped under a worker";
        wiped_.insert(wipe->job);
      }
      effects.push_back(std::move(effect));
    }
  }
  NodeOptions options_;
  wire::PeerId next_peer_ = 1;
  std::set<wire::JobKey> wiped_, running_;
};

}  // namespace tomogrid::node::test
