// A node: admits jobs with the last word, has their workers run, and answers for their results.
//
// Pure state machine (wire/machine.h): no sockets, no files, no clock. Times of leases, patience and retention are
// counted on Now::instant; Now::wall only goes into records. The same machine runs in service and in simulations.
//
// A job:  Open -> accepted (journal) -> Queued -> Running -> Finished | Failed | Cancelled -> wiped, but remembered.
//   - accepted: scratch is held from here until it is wiped; cores and memory from admission until its worker exits.
//   - Queued without cores: in order of acceptance, nobody overtakes. A job whose opener is away and whose input is not
//     complete does not take cores.
//   - a service with streamed input starts when it has cores; others when all inputs are in too.
//   - a worker that dies by itself is started once more here (from its checkpoint when there is one); then the job has
//     Failed with Retry::Elsewhere.
//   - Finished stays until collected, or until `retention` ends. Failed and Cancelled are wiped at once.
//
// Tickets. A ticket holds capacity because the manager that signed it also told this node, on its own authenticated
// session (Reserve): the client's copy must be the same bytes. A client that is here before its manager's word is not
// refused. When the signature is that of a manager with a session here, or the client may open without a ticket, it is
// admitted by capacity at once, and the Reserve that follows finds the job and adds nothing; otherwise it waits
// `ticket_wait` for the manager. So a forged ticket gives nothing that its bearer could not have without one.
//
// The journal is written before anything is done (Persist). When it cannot be written the node reports
// "node.storage-failed", says goodbye to everyone and answers nothing more: the service ends, and a restart begins from
// what the journal says.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "certs/identity.h"
#include "job/service.h"
#include "node/ledger.h"
#include "node/records.h"
#include "registry/announcer.h"
#include "wire/interval_set.h"
#include "wire/machine.h"

namespace tomogrid::node {

struct NodeOptions {
  std::uint64_t boot = 0;  // of this start (Journal::next_boot)
  std::vector<std::string> labels;
  FlopRate rate_per_core;               // measured (calibrate.h)
  std::uint32_t cores_per_job_max = 0;  // 0: no cap
  certs::Quota per_member;              // what one member may have here at once; its certificate may say less
  std::size_t queue_max = 64;           // jobs without cores; full: refused
  std::size_t remembered_max = 10'000;  // wiped jobs whose key and outcome are kept
  std::uint32_t worker_deaths_max = 2;  // the last of these fails the job
  std::chrono::milliseconds retention = std::chrono::hours(24);              // of a result that nobody collects
  std::chrono::milliseconds ticket_wait = std::chrono::seconds(2);           // for the Reserve of a ticket
  std::chrono::milliseconds input_stall = std::chrono::minutes(2);           // without a byte: cores go to others
  std::chrono::milliseconds input_patience = std::chrono::hours(1);          // without a byte: Failed(timeout)
  std::chrono::milliseconds checkpoint_interval = std::chrono::seconds(30);  // how often a worker is asked for one
  std::chrono::milliseconds push_interval = std::chrono::milliseconds(100);  // least time between two progress messages
  std::vector<wire::Target> registries;  // configured; discovered ones join as they are seen
  std::string software;                  // version
};

class Node final : public wire::Machine {
 public:
  // `identity` outlives the node. Requires distinct services.
  Node(const certs::Identity& identity, std::vector<job::ServiceDescriptor> services, NodeOptions options);
  ~Node() override;

  // Where clients reach this node; known once its doors are open, before the first event.
  void set_routes(std::vector<wire::Route> routes);

  wire::Effects handle(const wire::Now& now, const wire::Event& event) override;
  wire::Effects advance(const wire::Now& now) override;
  std::optional<Instant> next_deadline() const override;

  // Says goodbye: withdraws from the registries. Workers end with the process; their jobs run again at the next start.
  wire::Effects withdraw(const wire::Now& now);

  // What the next advert says; for tests and status.
  wire::Advert advert(const wire::Now& now) const;
  const Ledger& ledger() const { return ledger_; }
  bool draining() const { return draining_; }
  // nullptr: no such job, or wiped long ago.
  const JobRecord* find(const wire::JobKey& key) const;

 private:
  struct Input {
    wire::IntervalSet available;
    wire::PeerId receiving = 0;  // whose stream fills it; 0: nobody's
  };
  enum class Stopping { No, Cancelled, Stalled, Failed };
  struct Job {
    JobRecord record;
    std::map<std::string, Input> inputs;
    bool granted = false;  // holds cores
    bool worker = false;   // started and not yet exited
    bool stalled = false;  // lost its cores for want of input: until its opener is heard of again
    Stopping stopping = Stopping::No;
    std::optional<job::JobFailure> worker_failure;  // in the worker's own words
    job::Progress progress;
    std::map<std::string, std::uint32_t> previews;  // name -> latest generation
    std::deque<wire::JobNotice> notices;            // for sessions that join later
    std::set<wire::PeerId> watchers;                // live sessions of the opener
    Instant last_input;
    Instant checkpoint_due;  // while its worker runs
    Instant pushed;          // last progress message
    bool push_due = false;
    std::optional<Instant> expires_at;
    bool wipe_asked = false;            // its Wipe is performed before the next advance(), which records it
    std::set<wire::PeerId> want_wiped;  // told when it is recorded
  };
  struct Reservation {
    certs::Signed ticket;
    wire::Ticket body;
    certs::MemberId manager;
    Instant ends;
  };
  struct WaitingOpen {
    wire::PeerId peer = 0;
    wire::Open open;
    Instant until;
  };
  struct Sending {
    wire::JobKey job;
    std::uint32_t generation = 0;
  };
  struct OpenRate {
    double tokens = 0;
    Instant at;
  };

  // admission.cpp
  void on_open(const wire::Peer& peer, const wire::Open& open, bool may_wait);
  void answer_existing(const wire::Peer& peer, const wire::Open& open, const JobRecord& record);
  std::optional<wire::OpenRefused> check_content(const wire::Open& open, JobRecord& record) const;
  std::optional<wire::OpenRefused> check_needs(const wire::Open& open, JobRecord& record) const;
  std::optional<wire::OpenRefused> check_ticket(const wire::Peer& peer, const wire::Open& open,
                                                wire::Ticket& ticket) const;
  std::optional<wire::OpenRefused> check_quota(const wire::Peer& peer, const JobRecord& record) const;
  void accept(const wire::Peer& peer, JobRecord record, std::optional<job::Grant> grant);
  void refuse(const wire::Peer& peer, const wire::OpenRefused& refusal);
  void on_reserve(const wire::Peer& peer, const wire::Reserve& reserve);
  void refuse_reservation(const wire::Peer& peer, const job::TicketId& ticket, const char* code,
                          const std::string& reason);
  void on_release(const wire::Peer& peer, const wire::Release& release);
  void end_reservation(job::TicketId ticket);  // by value: the caller's may be the key that goes
  void remember_ticket(const job::TicketId& ticket);
  certs::Quota quota(const wire::Peer& peer) const;
  bool signed_by_known_manager(const certs::Signed& ticket) const;
  bool take_open_token(const wire::Peer& peer);
  void retry_waiting_opens();
  void admit_from_queue();
  bool wants_cores(const Job& job) const;
  const job::ServiceDescriptor* service(const job::ServiceName& name) const;

  // jobs.cpp
  void on_attach(const wire::Peer& peer, const wire::Attach& attach);
  void on_cancel(const wire::Peer& peer, const wire::CancelJob& cancel);
  void on_fetch(const wire::Peer& peer, const wire::Fetch& fetch);
  void on_collected(const wire::Peer& peer, const wire::Collected& collected);
  void on_list(const wire::Peer& peer);
  void on_drain(const wire::Peer& peer, const wire::Drain& drain);
  void refuse_job(const wire::Peer& peer, const job::JobId& id, std::string_view verb, const char* code,
                  const std::string& reason);
  // The job that `peer` names, if it is its own; refused otherwise (and audited).
  const JobRecord* own_job(const wire::Peer& peer, const job::JobId& id, certs::Verb verb);
  std::optional<wire::JobKey> anyones_job(const job::JobId& id) const;
  void watch(const wire::Peer& peer, Job& job);
  void send_status(wire::PeerId peer, const JobRecord& record);
  void push_status(Job& job);
  void push_progress(Job& job);
  wire::JobStatus status(const JobRecord& record) const;
  void drop_peer(const wire::Peer& peer);

  // running.cpp
  void on_offer(const wire::Peer& peer, const wire::StreamOffer& offer);
  void on_range(const wire::RangeStored& event);
  void on_input(const wire::StreamReceived& event);
  void on_stream_end(wire::PeerId peer, const wire::StreamKey& key, const std::string& code, bool sent);
  void start_if_ready(Job& job);
  void tell_inputs(const Job& job);
  void on_worker_line(const wire::WorkerSaid& event);
  void on_worker_exit(const wire::WorkerExited& event);
  void finish(Job& job, const wire::WorkerExited& event);
  void worker_died(Job& job, job::JobFailure failure);
  void fail(Job& job, job::JobFailure failure);
  void stop_worker(Job& job, Stopping why);
  void give_back_cores(Job& job);
  void end(Job& job, job::JobState state);
  void ask_wipe(Job& job);
  void record_wiped(Job& job);
  void remember(JobRecord record);
  void offer_preview(Job& job, const std::string& name, wire::PeerId peer);
  void send_stream(wire::PeerId peer, const Job& job, const std::string& name, std::uint32_t generation);

  // recovery.cpp
  void on_recovered(const wire::Recovered& recovered);
  void recover(JobRecord record, const ScratchFact* scratch);

  // node.cpp
  void on_message(const wire::Received& event);
  void run_pass();
  void announce();
  void persist(const JobRecord& record);
  void emit(wire::Effect effect) { out_.push_back(std::move(effect)); }
  void send(wire::PeerId peer, wire::Message message) { emit(wire::Send{peer, std::move(message)}); }
  void audit(const wire::Peer* peer, std::string_view verb, const job::JobId* job, const std::string& outcome);
  void report(const char* event, std::vector<std::pair<std::string, std::string>> fields);
  const wire::Peer* peer(wire::PeerId id) const;
  Job* find_job(const wire::JobKey& key);
  wire::Effects take() { return std::exchange(out_, {}); }

  const certs::Identity& identity_;
  const std::vector<job::ServiceDescriptor> services_;
  const NodeOptions options_;
  std::vector<wire::Route> routes_;
  std::unique_ptr<registry::Announcer> announcer_;

  wire::Now now_;           // of the call being handled
  wire::Effects out_;       // of the call being handled
  bool advancing_ = false;  // the call is advance(): a performer's pass of its own

  Ledger ledger_;
  bool have_capacity_ = false;
  bool draining_ = false;
  bool failed_ = false;  // the journal cannot be written
  std::uint64_t next_order_ = 1;
  std::map<wire::PeerId, wire::Peer> peers_;
  std::map<wire::JobKey, Job> jobs_;                   // not yet wiped
  std::map<wire::JobKey, JobRecord> wiped_;            // remembered
  std::map<std::uint64_t, wire::JobKey> wiped_order_;  // of acceptance, to forget the oldest
  std::map<job::TicketId, Reservation> reservations_;
  std::deque<std::pair<Instant, job::TicketId>> recent_tickets_;
  std::deque<WaitingOpen> waiting_opens_;
  std::map<certs::MemberId, OpenRate> open_rates_;
  std::map<std::pair<wire::PeerId, wire::StreamKey>, Sending> sending_;  // key without generation
  std::optional<wire::Advert> announced_;
};

}  // namespace tomogrid::node
