// A federation in memory around one Client machine: a manager, a registry and nodes that answer as protocol.md says, or
// misbehave on request. Messages travel in order and at once; time moves only when a test says so.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "certs/authority.h"
#include "certs/content_hash.h"
#include "client/client.h"
#include "job/service.h"
#include "manager/placement.h"

namespace tomogrid::client::testing {

inline constexpr WallTime kWall{1'764'000'000'000};

inline std::unique_ptr<certs::Identity> make_member(certs::Authority& authority, const std::string& name,
                                                    certs::Roles roles) {
  auto identity = certs::make_identity(authority, name, roles, kWall);
  if (!identity) throw std::runtime_error(identity.error().message);
  return *std::move(identity);
}

inline wire::Target target_of(const certs::Identity& identity, certs::Role role) {
  return {"127.0.0.1", 4000, identity.transport_key(), role, identity.member()};
}

// What a node does with a job, and how it misbehaves.
struct FakeNode {
  std::unique_ptr<certs::Identity> identity;
  bool up = true;      // accepts dials, holds sessions
  std::string refuse;  // code of OpenRefused; empty: accept
  job::Retry refuse_retry = job::Retry::Elsewhere;
  bool silent = false;       // never answers an open
  bool hold = false;         // do not finish by itself
  bool hold_inputs = false;  // streams never end
  std::optional<job::JobFailure> fail;
  std::optional<job::JobFailure> fail_once;
  std::function<void(wire::Receipt&)> alter_receipt;
  std::function<void(std::vector<job::StreamFact>&)> alter_outputs;  // both in status and in receipt
  bool receipt_by_other = false;                                     // signed with another node's key
  bool no_receipt = false;
  bool corrupt_transfer = false;  // outputs arrive with another hash
  std::string break_outputs;      // code of StreamBroken for every output
  std::string refuse_fetch;       // code of JobRefused
  std::function<void(const wire::Message&)> on_message;

  struct Job {
    wire::Open open;
    std::set<std::string> inputs;
    job::JobState state = job::JobState::Queued;
    bool wiped = false;
    std::optional<job::JobFailure> failure;
  };
  std::map<job::JobId, Job> jobs;
  std::vector<std::string> heard;  // names of messages
  std::size_t opens = 0, cancels = 0, collects = 0, attaches = 0;
};

class World {
 public:
  explicit World(std::size_t nodes = 2, ClientOptions options = {}) : options_(std::move(options)) {
    me = make_member(authority, "clinic", certs::Role::Clinician);
    manager = make_member(authority, "manager", certs::Role::Manager);
    registry = make_member(authority, "registry", certs::Role::Registry);
    for (std::size_t i = 0; i < nodes; ++i) {
      auto node = std::make_unique<FakeNode>();
      node->identity = make_member(authority, std::string(1, static_cast<char>('a' + i)), certs::Role::Node);
      all_nodes.push_back(std::move(node));
    }
    options_.managers = {target_of(*manager, certs::Role::Manager)};
    options_.registries = {target_of(*registry, certs::Role::Registry)};
    inputs = {{"projections.json", Bytes(100), certs::sha256(bytes_of("header"))},
              {"projections.f32", Bytes(4000), certs::sha256(bytes_of("data"))}};
  }

  ClientOptions& options() { return options_; }

  // A fresh client process over the journal as it is.
  void start() {
    sessions_.clear();
    queue_.clear();
    updates.clear();
    handled_ = 0;
    killed_ = false;
    client = std::make_unique<Client>(*me, options_);
    feed(wire::Entropy{{++seed_}});
    std::vector<wire::Row> rows;
    for (const auto& [key, body] : journal) rows.push_back({key.first, key.second, body});
    feed(wire::Recovered{rows});
  }

  JobRequest request() const {
    JobRequest request;
    request.service = {"recon.spect", 1};
    request.parameters = {{"iterations", std::int64_t{4}}};
    request.needs.scratch = Bytes(10000);
    request.inputs = inputs;
    request.outputs_required = {"volume.json", "volume.f32"};
    return request;
  }

  void submit(JobRequest wanted) {
    perform(client->submit(now, std::move(wanted)));
    settle();
  }
  void attach(const job::JobId& job) {
    perform(client->attach(now, job, false));
    settle();
  }
  void cancel(const job::JobId& job) {
    perform(client->cancel(now, job));
    settle();
  }
  void deliver(const job::JobId& job) {
    perform(client->delivered(now, job));
    settle();
  }
  void refetch(const job::JobId& job) {
    perform(client->refetch(now, job));
    settle();
  }
  void ask(const std::string& node, wire::Message question) {
    perform(client->ask(now, {node, std::nullopt}, std::move(question)));
    settle();
  }
  void feed(const wire::Event& event) {
    queue_.push_back(event);
    settle();
  }

  // Runs time forward, waking the machine whenever it asks to be.
  void advance(std::chrono::milliseconds by) {
    const Instant end = now.instant + by;
    for (int at_once = 0;;) {
      const auto due = client->next_deadline();
      if (!due || *due > end) break;
      at_once = *due > now.instant ? 0 : at_once + 1;
      ASSERT_LT(at_once, 20) << "the machine asks to be woken for something it does not do";
      if (*due > now.instant) step_to(*due);
      perform(client->advance(now));
      settle();
    }
    step_to(end);
    perform(client->advance(now));
    settle();
  }

  // The node vanishes or comes back.
  void set_up(FakeNode& node, bool up) {
    node.up = up;
    if (up) return;
    drop(node.identity->transport_key(), "gone");
  }
  void drop(const certs::TransportPublicKey& key, const std::string& reason, const std::string& code = "lost") {
    for (auto it = sessions_.begin(); it != sessions_.end();) {
      if (it->second.key != key) {
        ++it;
        continue;
      }
      const wire::Peer peer = it->second.peer;
      it = sessions_.erase(it);
      queue_.push_back(wire::PeerDown{peer, reason, code});
    }
    settle();
  }
  void set_manager_up(bool up) {
    manager_up = up;
    if (!up) drop(manager->transport_key(), "gone");
  }
  void set_registry_up(bool up) {
    registry_up = up;
    if (!up) drop(registry->transport_key(), "gone");
  }
  // The node offers something by itself: a preview, say.
  void offer(FakeNode& node, const std::string& name, std::uint32_t generation, std::uint64_t length) {
    for (const auto& [id, session] : sessions_) {
      if (session.key != node.identity->transport_key()) continue;
      queue_.push_back(wire::Received{
          session.peer, wire::StreamOffer{{node.jobs.begin()->first, name, generation}, ++last_stream_, length}});
      break;
    }
    settle();
  }
  // Lets a held job of `node` come to its end.
  void finish(FakeNode& node) {
    node.hold = false;
    for (auto& [id, job] : node.jobs) run(node, id);
    settle();
  }
  // Every stream of inputs that was started is now stored by the node.
  void release_inputs(FakeNode& node) {
    node.hold_inputs = false;
    for (const auto& [peer, key] : std::exchange(node_inputs_, {})) finish_input(node, peer, key);
    settle();
  }

  template <class U>
  std::vector<U> all() const {
    std::vector<U> found;
    for (const Update& update : updates) {
      if (const auto* one = std::get_if<U>(&update)) found.push_back(*one);
    }
    return found;
  }
  bool said(const std::string& part) const {
    for (const Said& one : all<Said>()) {
      if (one.sentence.find(part) != std::string::npos) return true;
    }
    return false;
  }
  // What happened, for the message of a failed test.
  std::string story() const {
    std::string text;
    for (const Update& update : updates) {
      if (const auto* said = std::get_if<Said>(&update)) text += "said: " + said->sentence + "\n";
      if (const auto* queue = std::get_if<InQueue>(&update)) text += "queue: " + queue->reason + "\n";
      if (const auto* ended = std::get_if<Ended>(&update))
        text += "ended: " + (ended->error ? ended->error->message : "done") + "\n";
      if (const auto* open = std::get_if<AttemptOpened>(&update)) text += "opened at " + open->node + "\n";
    }
    for (const auto& node : all_nodes) {
      text += node->identity->name() + " heard";
      for (const std::string& name : node->heard) text += " " + name;
      text += "\n";
    }
    return text + std::to_string(places.size()) + " placements\n";
  }
  job::JobId job() const { return all<Started>().at(0).job; }
  const Record& record(const job::JobId& id) const { return client->records().at(id); }
  FakeNode& a() { return *all_nodes.at(0); }
  FakeNode& b() { return *all_nodes.at(1); }

  certs::Authority authority{"test"};
  std::unique_ptr<certs::Identity> me, manager, registry;
  std::vector<std::unique_ptr<FakeNode>> all_nodes;
  bool manager_up = true, registry_up = true;
  std::set<certs::TransportPublicKey> refusing;  // they answer a dial with no
  bool manager_silent = false;
  std::function<void(wire::Placed&)> alter_placed;
  std::vector<job::StreamFact> inputs;
  std::unique_ptr<Client> client;
  wire::Now now{Instant(std::chrono::hours(1)), kWall};
  std::map<std::pair<std::string, std::string>, std::string> journal;
  bool journal_fails = false;
  // Something that happens before the client handles its n-th event of this process.
  std::size_t accident_at = SIZE_MAX;
  std::function<void()> accident;
  std::size_t handled() const { return handled_; }
  // kill -9 of the client: nothing more is handled until start().
  void kill_client() {
    killed_ = true;
    queue_.clear();
  }
  bool killed() const { return killed_; }
  std::vector<Update> updates;
  std::vector<wire::Place> places;
  std::vector<wire::StreamKey> accepted;  // by ReceiveStream
  std::vector<std::string> stopped;       // codes of StopStream
  std::vector<std::string> order;         // "persist", "open": what happened first

 private:
  struct Peered {
    wire::Peer peer;
    certs::TransportPublicKey key;
  };

  void step_to(Instant to) {
    now.wall = now.wall + std::chrono::duration_cast<std::chrono::milliseconds>(to - now.instant);
    now.instant = to;
  }

  void settle() {
    for (int i = 0; i < 10'000 && !queue_.empty(); ++i) {
      if (handled_++ == accident_at && accident) {
        accident();
        if (killed_) return;
      }
      if (queue_.empty()) break;
      const wire::Event event = queue_.front();
      queue_.pop_front();
      perform(client->handle(now, event));
    }
    ASSERT_TRUE(queue_.empty()) << "messages without end";
  }

  void perform(const wire::Effects& effects) {
    for (Update& update : client->take_updates()) updates.push_back(std::move(update));
    for (const wire::Effect& effect : effects) {
      if (const auto* persist = std::get_if<wire::Persist>(&effect)) {
        if (journal_fails) {
          queue_.push_back(wire::StorageFailed{{ErrorCode::Storage, "disk full"}});
          return;
        }
        order.push_back("persist " + persist->row.table);
        if (persist->row.body.empty()) {
          journal.erase({persist->row.table, persist->row.key});
        } else {
          journal[{persist->row.table, persist->row.key}] = persist->row.body;
        }
      }
    }
    for (const wire::Effect& effect : effects) std::visit([this](const auto& one) { carry_out(one); }, effect);
  }

  FakeNode* node_of(const certs::TransportPublicKey& key) {
    for (auto& node : all_nodes) {
      if (node->identity->transport_key() == key) return node.get();
    }
    return nullptr;
  }

  template <class Other>
  void carry_out(const Other&) {}
  void carry_out(const wire::StopStream& stop) { stopped.push_back(stop.code); }

  void carry_out(const wire::Connect& connect) {
    const certs::Identity* who = nullptr;
    bool up = false;
    if (connect.target.transport_key == manager->transport_key()) who = manager.get(), up = manager_up;
    if (connect.target.transport_key == registry->transport_key()) who = registry.get(), up = registry_up;
    if (FakeNode* node = node_of(connect.target.transport_key)) who = node->identity.get(), up = node->up;
    if (refusing.contains(connect.target.transport_key)) {
      queue_.push_back(wire::ConnectFailed{connect.dial, {ErrorCode::Refused, "your certificate was revoked"}});
      return;
    }
    if (who == nullptr || !up) {
      queue_.push_back(wire::ConnectFailed{connect.dial, {ErrorCode::Unreachable, "nobody answers"}});
      return;
    }
    wire::Peer peer{++last_peer_,
                    who->member(),
                    who->name(),
                    who->roles(),
                    connect.dial,
                    who->certificate().signing_key,
                    std::make_shared<const certs::CertificateChain>(who->chain())};
    sessions_[peer.id] = {peer, connect.target.transport_key};
    queue_.push_back(wire::PeerUp{peer});
  }

  void carry_out(const wire::ClosePeer& close) {
    const auto found = sessions_.find(close.peer);
    if (found == sessions_.end()) return;
    queue_.push_back(wire::PeerDown{found->second.peer, close.reason, "done"});
    sessions_.erase(found);
  }

  void carry_out(const wire::Send& send) {
    const auto found = sessions_.find(send.peer);
    if (found == sessions_.end()) return;
    const wire::Peer peer = found->second.peer;
    if (found->second.key == manager->transport_key()) return manager_hears(peer, send.message);
    if (found->second.key == registry->transport_key()) return registry_hears(peer, send.message);
    FakeNode& node = *node_of(found->second.key);
    node.heard.push_back(std::string(wire::name_of(send.message)));
    order.push_back(std::string(wire::name_of(send.message)));
    if (node.on_message) node.on_message(send.message);
    if (sessions_.contains(send.peer)) node_hears(node, peer, send.message);
  }

  void carry_out(const wire::SendStream& stream) {
    const auto found = sessions_.find(stream.peer);
    if (found == sessions_.end()) return;
    FakeNode& node = *node_of(found->second.key);
    order.push_back("stream " + stream.key.name);
    if (node.hold_inputs) {
      node_inputs_.emplace_back(stream.peer, stream.key);
    } else {
      finish_input(node, stream.peer, stream.key);
    }
  }

  void finish_input(FakeNode& node, wire::PeerId peer, const wire::StreamKey& key) {
    const auto found = sessions_.find(peer);
    if (found == sessions_.end()) return;
    for (const job::StreamFact& input : inputs) {
      if (input.name == key.name) queue_.push_back(wire::StreamSent{peer, key, input.length.count(), input.root});
    }
    node.jobs.at(key.job).inputs.insert(key.name);
    if (node.jobs.at(key.job).inputs.size() == inputs.size()) run(node, key.job);
  }

  void carry_out(const wire::ReceiveStream& stream) {
    const auto found = sessions_.find(stream.peer);
    if (found == sessions_.end()) return;
    FakeNode& node = *node_of(found->second.key);
    accepted.push_back(stream.key);
    if (!node.break_outputs.empty()) {
      queue_.push_back(wire::StreamBroken{stream.peer, stream.key, node.break_outputs, "broken on purpose"});
      return;
    }
    for (const job::StreamFact& output : outputs_of(node)) {
      if (output.name != stream.key.name) continue;
      job::Digest root = output.root;
      if (node.corrupt_transfer) root[0] ^= 1;
      queue_.push_back(wire::StreamReceived{stream.peer, stream.key, stream.length, root});
    }
  }

  std::vector<job::StreamFact> outputs_of(const FakeNode& node) const {
    std::vector<job::StreamFact> outputs{{"volume.json", Bytes(80), certs::sha256(bytes_of("geometry"))},
                                         {"volume.f32", Bytes(2000), certs::sha256(bytes_of("voxels"))}};
    if (node.alter_outputs) node.alter_outputs(outputs);
    return outputs;
  }

  void run(FakeNode& node, const job::JobId& id) {
    FakeNode::Job& job = node.jobs.at(id);
    if (job::is_terminal(job.state) || job.inputs.size() != inputs.size()) return;
    job.state = job::JobState::Running;
    push_status(node, id);
    if (node.hold) return;
    job.state = job::JobState::Finished;
    if (node.fail || node.fail_once) {
      job.state = job::JobState::Failed;
      job.failure = node.fail ? node.fail : std::exchange(node.fail_once, std::nullopt);
    }
    push_status(node, id);
  }

  wire::JobStatus status_of(FakeNode& node, const job::JobId& id) {
    const FakeNode::Job& job = node.jobs.at(id);
    wire::JobStatus status;
    status.job = id;
    status.service = job.open.service;
    status.state = job.state;
    status.input_complete = job.inputs.size() == inputs.size();
    status.failure = job.failure;
    if (job.state != job::JobState::Finished) return status;
    status.outputs = outputs_of(node);
    job::Parameters complete = job.open.parameters;
    complete.emplace("algorithm", "osem");
    wire::Receipt receipt{"test",
                          id,
                          me->member(),
                          node.identity->member(),
                          job.open.service,
                          {},
                          job::canonical_text(complete),
                          inputs,
                          status.outputs,
                          now.wall};
    if (node.alter_receipt) node.alter_receipt(receipt);
    const certs::Identity& signer = node.receipt_by_other ? *all_nodes.back()->identity : *node.identity;
    if (!node.no_receipt) status.receipt = signer.signed_record(certs::kinds::receipt, wire::encode_body(receipt));
    return status;
  }

  void push_status(FakeNode& node, const job::JobId& id) {
    for (const auto& [peer_id, session] : sessions_) {
      if (session.key == node.identity->transport_key())
        queue_.push_back(wire::Received{session.peer, status_of(node, id)});
    }
  }

  void node_hears(FakeNode& node, const wire::Peer& peer, const wire::Message& message) {
    const auto answer = [&](wire::Message reply) { queue_.push_back(wire::Received{peer, std::move(reply)}); };
    if (const auto* open = std::get_if<wire::Open>(&message)) {
      ++node.opens;
      if (node.silent) return;
      if (!node.refuse.empty())
        return answer(wire::OpenRefused{open->job, node.refuse, "on purpose", node.refuse_retry});
      node.jobs.try_emplace(open->job).first->second.open = *open;
      answer(status_of(node, open->job));
    } else if (const auto* attach = std::get_if<wire::Attach>(&message)) {
      ++node.attaches;
      if (!node.jobs.contains(attach->job)) return answer(wire::JobRefused{attach->job, "unknown", ""});
      answer(status_of(node, attach->job));
    } else if (const auto* fetch = std::get_if<wire::Fetch>(&message)) {
      if (!node.refuse_fetch.empty()) return answer(wire::JobRefused{fetch->job, node.refuse_fetch, "on purpose"});
      for (const job::StreamFact& output : outputs_of(node)) {
        if (output.name == fetch->name)
          answer(wire::StreamOffer{{fetch->job, fetch->name, 0}, ++last_stream_, output.length.count()});
      }
    } else if (const auto* cancel = std::get_if<wire::CancelJob>(&message)) {
      ++node.cancels;
      if (!node.jobs.contains(cancel->job)) return answer(wire::JobRefused{cancel->job, "unknown", ""});
      auto& job = node.jobs.at(cancel->job);
      if (!job::is_terminal(job.state)) job.state = job::JobState::Cancelled;
      answer(status_of(node, cancel->job));
    } else if (const auto* collected = std::get_if<wire::Collected>(&message)) {
      ++node.collects;
      node.jobs.at(collected->job).wiped = true;
      answer(wire::Wiped{collected->job});
    } else if (const auto* drain = std::get_if<wire::Drain>(&message)) {
      answer(wire::Drained{drain->on, 0});
    }
  }

  certs::Signed advert_of(const FakeNode& node) const {
    wire::Advert advert;
    advert.node = node.identity->member();
    advert.signing_key = node.identity->certificate().signing_key;
    advert.name = node.identity->name();
    advert.boot = 1;
    advert.sequence = 1;
    advert.transport_key = node.identity->transport_key();
    advert.routes = {{"direct", "127.0.0.1", 4000}};
    advert.services = {{"recon.spect", 1}};
    // Earlier nodes are larger, so that tests know which one is taken.
    advert.cores_total = advert.cores_free = node.identity->name() == "a" ? 8 : node.identity->name() == "b" ? 4 : 2;
    advert.rate_per_core = FlopRate(1e9);
    advert.memory_free = advert.scratch_free = gibibytes(8);
    advert.issued = now.wall;
    return node.identity->signed_record(certs::kinds::advert, wire::encode_body(advert));
  }

  void registry_hears(const wire::Peer& peer, const wire::Message& message) {
    if (!std::holds_alternative<wire::Watch>(message)) return;
    wire::Snapshot snapshot;
    for (const auto& node : all_nodes) {
      if (node->up) snapshot.listings.push_back({advert_of(*node), std::chrono::milliseconds(60'000)});
    }
    queue_.push_back(wire::Received{peer, snapshot});
  }

  void manager_hears(const wire::Peer& peer, const wire::Message& message) {
    const auto* place = std::get_if<wire::Place>(&message);
    if (place == nullptr) return;
    places.push_back(*place);
    if (manager_silent) return;
    for (const auto& node : all_nodes) {
      if (std::count(place->excluded.begin(), place->excluded.end(), node->identity->member()) != 0) continue;
      wire::Placed placed;
      placed.request = place->request;
      placed.advert = advert_of(*node);
      wire::Ticket ticket;
      ticket.id.bytes[0] = ++last_ticket_;
      ticket.node = node->identity->member();
      ticket.client = me->member();
      ticket.job = place->job;
      ticket.service = place->service;
      ticket.issued = now.wall;
      placed.ticket = manager->signed_record(certs::kinds::ticket, wire::encode_body(ticket));
      wire::DecisionRecord decision;
      decision.place = *place;
      decision.client = me->member();
      decision.decided_by = manager->member();
      decision.decided = now.wall;
      decision.winner = node->identity->member();
      placed.decision = manager->signed_record(certs::kinds::decision, wire::encode_body(decision));
      if (alter_placed) alter_placed(placed);
      queue_.push_back(wire::Received{peer, placed});
      return;
    }
    queue_.push_back(wire::Received{peer, wire::Waiting{place->request, 1, std::nullopt, "all nodes are excluded"}});
  }

  ClientOptions options_;
  std::deque<wire::Event> queue_;
  std::map<wire::PeerId, Peered> sessions_;
  std::vector<std::pair<wire::PeerId, wire::StreamKey>> node_inputs_;
  wire::PeerId last_peer_ = 0;
  std::uint32_t last_stream_ = 0;
  std::uint8_t last_ticket_ = 0, seed_ = 0;
  std::size_t handled_ = 0;
  bool killed_ = false;
};

}  // namespace tomogrid::client::testing
