// The federation as a user's program sees it: asks for a job to be done, and sees to it until the result is here,
// verified and delivered.
//
// Pure state machine (wire/machine.h): no sockets, no files, no clock. It performs nothing; what people should see and
// what the edge must do comes out of take_updates(), to be read after every call and BEFORE its effects are performed.
//
// A job:  placing -> attempt(s) -> verified -> delivered -> closed
//   placing   a manager picks the node. No manager reachable, but adverts seen: the same pure placement, here. A pinned
//             node needs neither: its address is given, remembered, or in an advert.
//   attempt   in the journal before it is opened. Cut off: the session is dialled again and the transfer resumes.
//             Longer than `patience` without the node: the next node, the old one staying open; the first receipt that
//             verifies wins, the others are cancelled when they can be reached, and an update says so. A refusal asks
//             again.
//   verified  signature, federation, job, client, node, service, parameters, hashes of all inputs as sent and of all
//             outputs as received agree with the receipt, and everything is on disk here.
//   delivered the edge says so (delivered()), after its own fsync and rename; only then is the node told (Collected).
//
// A node that could not be told in time that a result was collected, or that a job is not wanted, is told when this
// client next has a session with it; otherwise its own retention ends what it keeps.
//
// A job is known by the id of its record. Running the same request again finds the unfinished record of equal
// content (fingerprint() in record.h) and goes on with it.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "certs/identity.h"
#include "client/record.h"
#include "registry/dialer.h"
#include "registry/watcher.h"
#include "wire/ids.h"
#include "wire/machine.h"

namespace tomogrid::client {

// A member is who holds its transport key: names and addresses change, and the certificate proves the rest.
using LinkKey = registry::Dialer::Key;
// The mark of this machine's dials (registry/dialer.h).
inline constexpr std::uint64_t kClientDial = std::uint64_t{1} << 62;

struct ClientOptions {
  std::vector<wire::Target> managers;                 // tried in this order
  std::vector<wire::Target> registries;               // all watched; discovered ones join
  std::vector<KnownNode> nodes;                       // configured; what the journal remembers and adverts say is newer
  std::chrono::milliseconds find{20'000};             // nobody reachable for so long: give up (the job stays resumable)
  std::chrono::milliseconds listen{1'500};            // without a manager: for a registry to have told all it knows
  std::chrono::milliseconds look_again{500};          // without a manager: between two looks while nothing is free
  std::chrono::milliseconds answer{15'000};           // a session without the answer that is due: begin it again
  std::chrono::milliseconds patience{6'000};          // a node out of reach for so long: try the next one
  std::chrono::milliseconds pinned_patience{60'000};  // the same when the user named the node: then give up
  std::chrono::milliseconds refused_pause{2'000};     // a node that had no room is not asked again for so long
  std::chrono::milliseconds lost_pause{30'000};       // nor one that failed or vanished
  std::chrono::milliseconds farewell{3'000};          // for the last words: Collected, Cancel
  std::size_t attempts_max = 16;
  std::size_t remembered_max = 1000;  // jobs that are over, in the journal
  std::size_t fetches_max = 6;        // broken transfers of results from one node
  std::size_t cuts_max = 1000;        // streams cut off with their session, at one node
};

// A node that the user named, by name or by address.
struct NodePin {
  std::string name;  // for people, and to look up when there is no target
  std::optional<wire::Target> target;
};

struct JobRequest {
  job::ServiceName service;
  job::Parameters parameters;  // as given
  job::Needs needs;
  std::vector<job::StreamFact> inputs;  // with roots; the stream store holds their content
  std::vector<std::string> outputs_required;
  std::optional<NodePin> node;
  bool fresh = false;     // do not go on with an unfinished job of equal content
  bool previews = false;  // store them as they come
};

// ---- Updates: what the edge hears
// The job has its id. `resumed`: a record was found. First of all updates of a job.
struct Started {
  job::JobId job;
  job::ServiceName service;
  bool resumed = false;
};
// Streams of `stream_job` (what the wire calls the job at one node) are those of `job`.
struct AttemptOpened {
  job::JobId job;
  job::JobId stream_job;
  std::string node;
};
// The queue: a manager's answer, or this client's own when it places by itself.
struct InQueue {
  job::JobId job;
  std::uint32_t position = 0;
  std::optional<Seconds> earliest;
  std::string reason;
};
struct StatusChanged {
  job::JobId job;
  std::string node;
  wire::JobStatus status;
};
struct WorkerNotice {
  job::JobId job;
  std::string code;
  std::string message;
};
// What the client did by itself, as a sentence: lost nodes, resumed transfers, second runs.
struct Said {
  job::JobId job;
  std::string sentence;
};
struct PreviewStored {
  job::JobId job;
  wire::StreamKey key;
};
// What is stored of this stream is not what its sender has: throw it away, it will be fetched anew.
struct StreamSpoiled {
  wire::StreamKey key;
};
// The result is here and verified: deliver it, then call delivered() (or leave it: the record stays verified).
struct ResultVerified {
  job::JobId job;
  job::JobId stream_job;
  Record record;
  std::string node;
};
// Nothing more will come for this job in this run. `error` empty: delivered and closed. `resumable`: asking again goes
// on.
struct Ended {
  job::JobId job;
  std::optional<Error> error;
  bool resumable = false;
};
// Answer to ask(): a node's message, or why there is none.
struct Answered {
  std::string node;
  std::optional<wire::Message> message;
  std::optional<Error> error;
};
using Update = std::variant<Started, AttemptOpened, InQueue, StatusChanged, WorkerNotice, Said, PreviewStored,
                            StreamSpoiled, ResultVerified, Ended, Answered>;

class Client final : public wire::Machine {
 public:
  // `identity` outlives the client.
  Client(const certs::Identity& identity, ClientOptions options);
  ~Client() override;

  // May be called before Recovered has come; then they begin with it. The Started update names the job.
  wire::Effects submit(const wire::Now& now, JobRequest request);
  // Goes on with a recorded job. Its inputs need not be here unless the node lacks them. Ended(NotFound) when unknown.
  wire::Effects attach(const wire::Now& now, job::JobId job, bool previews);
  // Cancels everywhere it may run, as far as it can be reached within `farewell`; Ended(Cancelled) says the rest.
  wire::Effects cancel(const wire::Now& now, job::JobId job);
  // The edge has put the verified result where the user wants it.
  wire::Effects delivered(const wire::Now& now, job::JobId job);
  // The edge has lost verified outputs (spool gone): fetch them again.
  wire::Effects refetch(const wire::Now& now, job::JobId job);
  // One question to one node (Drain, ListJobs), answered by one Answered.
  wire::Effects ask(const wire::Now& now, NodePin node, wire::Message question);

  wire::Effects handle(const wire::Now& now, const wire::Event& event) override;
  wire::Effects advance(const wire::Now& now) override;
  std::optional<Instant> next_deadline() const override;

  std::vector<Update> take_updates();
  const registry::Watcher& watcher() const { return watcher_; }
  // Records as recovered and since changed; by id.
  const std::map<job::JobId, Record>& records() const { return records_; }

 private:
  struct Run;   // one attempt in this process
  struct Task;  // one job in this process
  struct Question;

  // client.cpp
  void step(const wire::Now& now, Task& task);
  void begin(const wire::Now& now, JobRequest request);
  Task& start_task(const wire::Now& now, const Record& record, bool resumed);
  void on_message(const wire::Now& now, const wire::Received& received);
  void on_stream(const wire::Now& now, const wire::StreamKey& key, wire::PeerId peer, const wire::Event& event);
  void step_questions(const wire::Now& now);
  wire::Effects finish(const wire::Now& now);
  void save(const Record& record);
  void release_links();
  void settle_debts(const wire::Peer& peer);
  void settle(const wire::Peer& peer, const job::JobId& stream_job, const wire::Message& answer);
  void prune();
  void remember_node(const wire::Now& now, const wire::Peer& peer, const wire::Target& target);
  // placing.cpp
  void begin_placing(const wire::Now& now, Task& task);
  void stop_placing(Task& task);
  void step_placing(const wire::Now& now, Task& task);
  void place_by_manager(const wire::Now& now, Task& task, const LinkKey& manager);
  void place_here(const wire::Now& now, Task& task, const std::string& why_no_manager);
  void open_pinned(const wire::Now& now, Task& task);
  std::optional<wire::Target> resolve(const NodePin& pin) const;
  void follow(Attempt& attempt) const;
  void on(const wire::Now& now, const wire::Peer& peer, const wire::Waiting& message);
  void on(const wire::Now& now, const wire::Peer& peer, const wire::Placed& message);
  void on(const wire::Now& now, const wire::Peer& peer, const wire::Unplaceable& message);
  void begin_attempt(const wire::Now& now, Task& task, Attempt attempt);
  // attempts.cpp
  void step_run(const wire::Now& now, Task& task, std::size_t index);
  void open(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer);
  void on(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer,
          const wire::OpenRefused& message);
  void on(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer, const wire::JobStatus& message);
  void on(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer, const wire::JobRefused& message);
  void on(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer,
          const wire::StreamOffer& message);
  void on_finished(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer,
                   const wire::JobStatus& status);
  void fetch(const wire::Now& now, Task& task, std::size_t index, const wire::Peer& peer);
  void received(const wire::Now& now, Task& task, std::size_t index, const wire::StreamReceived& event);
  void sent(const wire::Now& now, Task& task, std::size_t index, const wire::StreamSent& event);
  void broken(const wire::Now& now, Task& task, std::size_t index, const wire::StreamBroken& event);
  // Over for good; the node is not asked again before `pause` is over.
  void end_attempt(const wire::Now& now, Task& task, std::size_t index, const std::string& reason, Duration pause);
  // ending.cpp
  void win(const wire::Now& now, Task& task, std::size_t index);
  void step_closing(const wire::Now& now, Task& task);
  void fail(const wire::Now& now, Task& task, Error error);     // for good
  void give_up(const wire::Now& now, Task& task, Error error);  // for this run
  void end(Task& task, std::optional<Error> error, bool resumable);

  Duration patience_of(const Task& task) const;
  Task* task_of(job::JobId job);
  std::pair<Task*, std::size_t> run_of(const LinkKey& key, job::JobId stream_job);
  const wire::Peer* peer_of(const LinkKey& key) const;  // null: no session now
  unsigned failures_of(const LinkKey& key) const;       // dials in a row that failed
  std::string why_not(const LinkKey& key) const;        // why the last one did
  const Error* refused(const LinkKey& key) const;       // they answered, and the answer was no
  std::string name_of(const Task& task, std::size_t index) const;
  void say(const Task& task, std::string sentence);

  const certs::Identity& identity_;
  ClientOptions options_;
  wire::IdSource ids_;
  registry::Dialer links_;
  registry::Watcher watcher_;
  std::map<LinkKey, Error> refused_;  // who will not speak with us, and why
  bool recovered_ = false;
  Instant seen_{};                            // of the last call
  std::vector<JobRequest> waiting_requests_;  // until Recovered
  std::vector<std::pair<job::JobId, bool>> waiting_attaches_;
  std::vector<job::JobId> waiting_cancels_;
  std::map<job::JobId, Record> records_;
  std::map<std::string, KnownNode> known_nodes_;
  std::map<job::JobId, std::unique_ptr<Task>> tasks_;
  std::deque<std::unique_ptr<Question>> questions_;
  wire::Effects effects_;  // of the call under way
  std::vector<Update> updates_;
};

}  // namespace tomogrid::client
