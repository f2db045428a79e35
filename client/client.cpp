#include "client/client.h"

#include <algorithm>

#include "client/state.h"

namespace tomogrid::client {

using wire::Now;

namespace {

// Of a list of optional deadlines the earliest.
void earliest(std::optional<Instant>& least, const std::optional<Instant>& other) {
  if (other && (!least || *other < *least)) least = other;
}

// Goodbyes after which the same session would be refused again (docs/protocol.md, "Session").
bool is_refusal(const std::string& code) {
  return code == "revoked" || code == "certificate" || code == "federation" || code == "role" || code == "clock" ||
         code == "version";
}

}  // namespace

Client::Client(const certs::Identity& identity, ClientOptions options)
    : identity_(identity), options_(std::move(options)), links_(kClientDial), watcher_(options_.registries) {
  for (const KnownNode& node : options_.nodes) known_nodes_[node.name] = node;
}

Client::~Client() = default;

// ---- what the edge asks

wire::Effects Client::submit(const Now& now, JobRequest request) {
  if (!recovered_) {
    waiting_requests_.push_back(std::move(request));
    return {};
  }
  begin(now, std::move(request));
  return finish(now);
}

wire::Effects Client::attach(const Now& now, job::JobId job, bool previews) {
  if (!recovered_) {
    waiting_attaches_.emplace_back(job, previews);
    return {};
  }
  const auto found = records_.find(job);
  if (found == records_.end()) {
    updates_.push_back(Ended{
        job,
        Error{ErrorCode::NotFound, "no job " + job::short_text(job) + " in this member's journal; see tomogrid jobs"},
        false});
    return {};
  }
  const Record& record = found->second;
  if (record.state == RecordState::Failed || record.state == RecordState::Cancelled) {
    updates_.push_back(Ended{job,
                             Error{record.state == RecordState::Failed ? ErrorCode::JobFailed : ErrorCode::Cancelled,
                                   "job " + job::short_text(job) + " is over: " + record.reason},
                             false});
    return {};
  }
  if (record.state == RecordState::Closed) {
    updates_.push_back(
        Ended{job,
              Error{ErrorCode::NotFound,
                    "job " + job::short_text(job) + " has been delivered before; run the command again for a new one"},
              false});
    return {};
  }
  start_task(now, record, true).previews = previews;
  return finish(now);
}

wire::Effects Client::cancel(const Now& now, job::JobId job) {
  if (!recovered_) {
    waiting_cancels_.push_back(job);
    return {};
  }
  Task* task = task_of(job);
  if (task == nullptr) {
    const auto found = records_.find(job);
    if (found == records_.end()) return attach(now, job, false);  // says that it is unknown
    if (found->second.state != RecordState::Unfinished && found->second.state != RecordState::Verified) {
      return attach(now, job, false);  // says how it ended
    }
    task = &start_task(now, found->second, true);
    task->announced = true;  // a cancelled result is not delivered
  }
  if (task->placing) stop_placing(*task);
  task->record.state = RecordState::Cancelled;
  task->record.reason = "cancelled by the user";
  task->final_error = Error{ErrorCode::Cancelled, "job " + job::short_text(job) + " is cancelled"};
  save(task->record);
  task->closing_deadline = now.instant + options_.farewell;
  return finish(now);
}

wire::Effects Client::delivered(const Now& now, job::JobId job) {
  Task* task = task_of(job);
  if (task == nullptr || task->record.state != RecordState::Verified) return {};
  task->record.state = RecordState::Closed;
  save(task->record);
  task->closing_deadline = now.instant + options_.farewell;
  return finish(now);
}

wire::Effects Client::refetch(const Now& now, job::JobId job) {
  Task* task = task_of(job);
  if (task == nullptr || task->record.state != RecordState::Verified) return {};
  task->record.state = RecordState::Unfinished;
  task->record.winner.reset();
  task->record.receipt.reset();
  task->record.outputs.clear();
  task->announced = false;
  save(task->record);
  return finish(now);
}

wire::Effects Client::ask(const Now& now, NodePin node, wire::Message message) {
  auto question = std::make_unique<Question>();
  question->node = std::move(node);
  question->message = std::move(message);
  question->deadline = now.instant + options_.find;
  questions_.push_back(std::move(question));
  return finish(now);
}

std::vector<Update> Client::take_updates() {
  return std::exchange(updates_, {});
}

// ---- beginning

void Client::begin(const Now& now, JobRequest request) {
  const job::Digest wanted = fingerprint(request.service, request.parameters, request.inputs);
  if (!request.fresh) {
    for (const auto& [id, record] : records_) {
      const bool unfinished = record.state == RecordState::Unfinished || record.state == RecordState::Verified;
      if (!unfinished || fingerprint(record.service, record.parameters, record.inputs) != wanted || task_of(id))
        continue;
      Task& task = start_task(now, record, true);
      task.has_inputs = true;
      task.previews = request.previews;
      task.pin = request.node;
      return;
    }
  }
  Record record;
  record.id = ids_.make<job::JobId>();
  record.service = request.service;
  record.parameters = std::move(request.parameters);
  record.needs = std::move(request.needs);
  record.inputs = std::move(request.inputs);
  record.outputs_required = std::move(request.outputs_required);
  record.created = now.wall;
  save(record);
  Task& task = start_task(now, record, false);
  task.has_inputs = true;
  task.previews = request.previews;
  task.pin = std::move(request.node);
}

Client::Task& Client::start_task(const Now& now, const Record& record, bool resumed) {
  auto& slot = tasks_[record.id];
  slot = std::make_unique<Task>();
  Task& task = *slot;
  task.record = record;
  updates_.push_back(Started{record.id, record.service, resumed});
  for (const Attempt& attempt : record.attempts) {
    Run run;
    run.link = attempt.target.transport_key;
    run.down_since = now.instant;
    run.ever_opened = true;  // it may run there: the journal cannot tell whether the open was sent
    task.runs.push_back(std::move(run));
    if (attempt.state == AttemptState::Over) continue;
    updates_.push_back(AttemptOpened{record.id, attempt.job, attempt.node_name});
  }
  if (resumed && record.state == RecordState::Unfinished) {
    const auto open = std::count_if(record.attempts.begin(), record.attempts.end(),
                                    [](const Attempt& attempt) { return attempt.state != AttemptState::Over; });
    say(task, open == 0
                  ? "going on with job " + job::short_text(record.id) + ", which no node has"
                  : "going on with job " + job::short_text(record.id) + " at " + record.attempts.back().node_name);
  }
  return task;
}

// ---- events

wire::Effects Client::handle(const Now& now, const wire::Event& event) {
  if (const auto* entropy = std::get_if<wire::Entropy>(&event)) ids_.seed(entropy->seed);
  for (wire::Effect& effect : watcher_.handle(now, event)) effects_.push_back(std::move(effect));
  if (const auto* recovered = std::get_if<wire::Recovered>(&event)) {
    for (const wire::Row& row : recovered->rows) {
      if (row.table == "job") {
        if (auto record = decode_record(row.body)) records_[record->id] = *std::move(record);
      } else if (row.table == "node") {
        if (auto node = decode_known_node(row.body)) known_nodes_.try_emplace(node->name, *node);
      }
    }
    recovered_ = true;
    prune();
    for (JobRequest& request : std::exchange(waiting_requests_, {})) begin(now, std::move(request));
    for (const auto& [job, previews] : std::exchange(waiting_attaches_, {})) {
      for (wire::Effect& effect : attach(now, job, previews)) effects_.push_back(std::move(effect));
    }
    for (const job::JobId& job : std::exchange(waiting_cancels_, {})) {
      for (wire::Effect& effect : cancel(now, job)) effects_.push_back(std::move(effect));
    }
  } else if (const auto* up = std::get_if<wire::PeerUp>(&event)) {
    if (const auto key = links_.on(now, *up, effects_)) {
      refused_.erase(*key);
      settle_debts(up->peer);
    }
  } else if (const auto* down = std::get_if<wire::PeerDown>(&event)) {
    const auto key = links_.on(now, *down);
    if (key && is_refusal(down->code)) refused_[*key] = {ErrorCode::Refused, down->reason};
  } else if (const auto* failed = std::get_if<wire::ConnectFailed>(&event)) {
    const auto key = links_.on(now, *failed);
    // Refused: they will not have us. Unverified: their certificate does not hold; asking again changes neither.
    const ErrorCode code = failed->error.code;
    if (key && (code == ErrorCode::Refused || code == ErrorCode::Unverified))
      refused_[*key] = {ErrorCode::Refused, failed->error.message};
  } else if (const auto* received = std::get_if<wire::Received>(&event)) {
    on_message(now, *received);
  } else if (const auto* stream = std::get_if<wire::StreamReceived>(&event)) {
    on_stream(now, stream->key, stream->peer, event);
  } else if (const auto* sent = std::get_if<wire::StreamSent>(&event)) {
    on_stream(now, sent->key, sent->peer, event);
  } else if (const auto* broken = std::get_if<wire::StreamBroken>(&event)) {
    on_stream(now, broken->key, broken->peer, event);
  } else if (const auto* storage = std::get_if<wire::StorageFailed>(&event)) {
    // Nothing of the pass was done. What is not on disk is not begun: every job stops here, resumable from what is.
    for (auto& [id, task] : tasks_) {
      if (!task->ended)
        end(*task, Error{ErrorCode::Storage, "the client's journal cannot be written: " + storage->error.message},
            true);
    }
  }
  return finish(now);
}

wire::Effects Client::advance(const Now& now) {
  for (wire::Effect& effect : watcher_.advance(now)) effects_.push_back(std::move(effect));
  links_.advance(now, effects_);
  return finish(now);
}

// Every call ends here: each job looks at where it stands and does what is due.
wire::Effects Client::finish(const Now& now) {
  seen_ = now.instant;
  for (auto& [id, task] : tasks_) {
    if (!task->ended) step(now, *task);
  }
  step_questions(now);
  release_links();
  return std::exchange(effects_, {});
}

void Client::step(const Now& now, Task& task) {
  if (task.closing_deadline) return step_closing(now, task);
  if (task.record.state == RecordState::Verified) {
    if (!std::exchange(task.announced, true)) {
      const std::size_t winner = *task.record.winner;
      updates_.push_back(
          ResultVerified{task.record.id, task.record.attempts[winner].job, task.record, name_of(task, winner)});
    }
    return;
  }
  for (std::size_t i = 0; i < task.runs.size(); ++i) {
    if (task.record.attempts[i].state != AttemptState::Over) step_run(now, task, i);
    if (task.ended || task.record.state != RecordState::Unfinished) return;
  }
  const Duration patience = patience_of(task);
  bool hopeful = false, open = false;
  for (std::size_t i = 0; i < task.runs.size(); ++i) {
    if (task.record.attempts[i].state == AttemptState::Over) continue;
    open = true;
    const Run& run = task.runs[i];
    hopeful = hopeful || !run.down_since || now.instant - *run.down_since < patience;
  }
  if (hopeful) {
    if (task.placing) stop_placing(task);
    return;
  }
  if ((task.pin || !task.has_inputs) && open) {
    return give_up(now, task,
                   {ErrorCode::Unreachable, "node " + name_of(task, task.runs.size() - 1) + " cannot be reached (" +
                                                why_not(task.runs.back().link) + "); run the command again later" +
                                                (task.pin ? ", or without --node" : "")});
  }
  if (!task.has_inputs && !open) {
    return give_up(now, task,
                   {ErrorCode::NotFound, "no node has job " + job::short_text(task.record.id) +
                                             "; run the command that began it again, it will send the scan"});
  }
  if (!task.placing) {
    if (open && !task.record.attempts.empty()) {
      say(task, "node " + name_of(task, task.runs.size() - 1) + " cannot be reached; trying another");
      for (std::size_t i = 0; i < task.runs.size(); ++i) {
        if (task.record.attempts[i].state != AttemptState::Over)
          task.excluded[task.record.attempts[i].node] = now.instant + options_.lost_pause;
      }
    }
    begin_placing(now, task);
  }
  step_placing(now, task);
}

void Client::on_message(const Now& now, const wire::Received& received) {
  const auto link = links_.key_of(received.peer.id);
  if (!link) return;  // a registry's: the watcher has it
  const auto to_run = [this, &now, &received, &link](job::JobId job, const auto& message) {
    const auto [task, index] = run_of(*link, job);
    if (task != nullptr && !task->ended) return on(now, *task, index, received.peer, message);
    settle(received.peer, job, message);
  };
  const auto answer = [this, &received, &link]() {
    for (auto& question : questions_) {
      if (question->link == link && question->asked == received.peer.id) {
        updates_.push_back(Answered{received.peer.name, received.message, std::nullopt});
        question->asked = 0;
        question->deadline = Instant::min();  // done: step_questions() removes it
        return;
      }
    }
  };
  std::visit(
      [&](const auto& message) {
        using M = std::decay_t<decltype(message)>;
        if constexpr (std::is_same_v<M, wire::Waiting> || std::is_same_v<M, wire::Placed> ||
                      std::is_same_v<M, wire::Unplaceable>) {
          on(now, received.peer, message);
        } else if constexpr (std::is_same_v<M, wire::OpenRefused> || std::is_same_v<M, wire::JobStatus> ||
                             std::is_same_v<M, wire::JobRefused>) {
          if constexpr (std::is_same_v<M, wire::JobRefused>) {
            if (message.job == job::JobId{}) return answer();  // about no job: a question was refused
          }
          to_run(message.job, message);
        } else if constexpr (std::is_same_v<M, wire::StreamOffer>) {
          to_run(message.key.job, message);
        } else if constexpr (std::is_same_v<M, wire::JobNotice>) {
          const auto [task, index] = run_of(*link, message.job);
          if (task != nullptr) updates_.push_back(WorkerNotice{task->record.id, message.code, message.message});
        } else if constexpr (std::is_same_v<M, wire::Wiped>) {
          const auto [task, index] = run_of(*link, message.job);
          if (task != nullptr) task->runs[index].wiped = true;
          settle(received.peer, message.job, message);
        } else if constexpr (std::is_same_v<M, wire::JobList> || std::is_same_v<M, wire::Drained>) {
          answer();
        }
      },
      received.message);
}

void Client::on_stream(const Now& now, const wire::StreamKey& key, wire::PeerId peer, const wire::Event& event) {
  const auto link = links_.key_of(peer);
  if (!link) return;
  const auto [task, index] = run_of(*link, key.job);
  if (task == nullptr || task->ended) return;
  if (const auto* stored = std::get_if<wire::StreamReceived>(&event)) received(now, *task, index, *stored);
  if (const auto* all = std::get_if<wire::StreamSent>(&event)) sent(now, *task, index, *all);
  if (const auto* cut = std::get_if<wire::StreamBroken>(&event)) broken(now, *task, index, *cut);
}

void Client::step_questions(const Now& now) {
  for (auto& question : questions_) {
    if (question->asked != 0 || question->deadline == Instant::min()) continue;
    if (!question->link) {
      const auto target = resolve(question->node);
      if (!target) continue;
      question->link = target->transport_key;
      links_.want(now, *target, effects_);
    }
    if (const Error* error = refused(*question->link)) {
      updates_.push_back(Answered{question->node.name, std::nullopt, *error});
      question->deadline = Instant::min();
      continue;
    }
    if (const wire::Peer* peer = peer_of(*question->link)) {
      question->asked = peer->id;
      effects_.push_back(wire::Send{peer->id, question->message});
    }
  }
  while (!questions_.empty() && questions_.front()->deadline <= now.instant) {
    const Question& question = *questions_.front();
    if (question.deadline != Instant::min()) {
      std::string why = "no registry or address tells where node " + question.node.name + " is";
      if (question.link) {
        why = "node " + question.node.name + " did not answer: " + why_not(*question.link);
      }
      updates_.push_back(Answered{question.node.name, std::nullopt, Error{ErrorCode::Unreachable, why}});
    }
    questions_.pop_front();
  }
}

std::optional<Instant> Client::next_deadline() const {
  std::optional<Instant> next = watcher_.next_deadline();
  earliest(next, links_.next_deadline());
  for (const auto& [id, task] : tasks_) {
    if (task->ended) continue;
    earliest(next, task->closing_deadline);
    if (task->placing) {
      // Only what step_placing() will act on: a deadline that nobody takes away would wake the loop without end.
      if (task->place_at) {
        earliest(next, task->place_at);
      } else if (!task->manager) {
        earliest(next, task->placing_since + options_.find);
      } else {
        earliest(next, task->answer_due);
      }
      for (const auto& [node, until] : task->excluded) earliest(next, until);
    }
    if (task->record.state != RecordState::Unfinished) continue;
    for (std::size_t i = 0; i < task->runs.size(); ++i) {
      if (task->record.attempts[i].state == AttemptState::Over) continue;
      const Run& run = task->runs[i];
      earliest(next, run.answer_due);
      earliest(next, run.retry_at);
      if (run.down_since && !task->placing) {
        const Instant over = *run.down_since + patience_of(*task);
        if (over > seen_) earliest(next, over);  // passed before: another node has been found meanwhile
      }
    }
  }
  for (const auto& question : questions_) earliest(next, question->deadline);
  return next;
}

// ---- small things

void Client::save(const Record& record) {
  records_[record.id] = record;
  effects_.push_back(wire::Persist{row_of(record)});
}

void Client::remember_node(const Now& now, const wire::Peer& peer, const wire::Target& target) {
  KnownNode node{peer.name, target, now.wall};
  node.target.member = peer.member;
  const auto found = known_nodes_.find(peer.name);
  const bool same = found != known_nodes_.end() && found->second.target.host == target.host &&
                    found->second.target.control_port == target.control_port &&
                    found->second.target.transport_key == target.transport_key;
  known_nodes_[peer.name] = node;
  if (!same) effects_.push_back(wire::Persist{row_of(node)});
}

// With no other node to go to, patience is longer.
Duration Client::patience_of(const Task& task) const {
  return task.pin || !task.has_inputs ? options_.pinned_patience : options_.patience;
}

Client::Task* Client::task_of(job::JobId job) {
  const auto found = tasks_.find(job);
  return found != tasks_.end() && !found->second->ended ? found->second.get() : nullptr;
}

std::pair<Client::Task*, std::size_t> Client::run_of(const LinkKey& key, job::JobId stream_job) {
  for (auto& [id, task] : tasks_) {
    for (std::size_t i = 0; i < task->runs.size(); ++i) {
      if (task->runs[i].link == key && task->record.attempts[i].job == stream_job) return {task.get(), i};
    }
  }
  return {nullptr, 0};
}

std::string Client::name_of(const Task& task, std::size_t index) const {
  const Attempt& attempt = task.record.attempts[index];
  return attempt.node_name.empty() ? certs::short_text(attempt.node) : attempt.node_name;
}

// What is over is kept for `tomogrid jobs` and `explain`, but not without end.
void Client::prune() {
  std::vector<std::pair<WallTime, job::JobId>> over;
  for (const auto& [id, record] : records_) {
    if (record.state != RecordState::Unfinished && record.state != RecordState::Verified)
      over.emplace_back(record.created, id);
  }
  if (over.size() <= options_.remembered_max) return;
  std::sort(over.begin(), over.end());
  over.resize(over.size() - options_.remembered_max);
  for (const auto& [created, id] : over) {
    records_.erase(id);
    effects_.push_back(wire::Persist{{"job", job::to_string(id), ""}});
  }
}

// What nobody needs any more is said goodbye to; the rest is dialled again by itself.
void Client::release_links() {
  std::set<LinkKey> wanted;
  for (const auto& [id, task] : tasks_) {
    if (task->ended) continue;
    for (std::size_t i = 0; i < task->runs.size(); ++i) {
      if (task->record.attempts[i].state != AttemptState::Over) wanted.insert(task->runs[i].link);
    }
    if (!task->placing) continue;
    for (const wire::Target& manager : options_.managers) wanted.insert(manager.transport_key);
  }
  for (const auto& question : questions_) {
    if (question->link) wanted.insert(*question->link);
  }
  std::vector<LinkKey> unwanted;
  links_.for_each([&](const LinkKey& key, const registry::Dialer::Link&) {
    if (!wanted.contains(key)) unwanted.push_back(key);
  });
  for (const LinkKey& key : unwanted) links_.unwant(key, effects_);
}

const wire::Peer* Client::peer_of(const LinkKey& key) const {
  const registry::Dialer::Link* link = links_.find(key);
  return link != nullptr && link->peer ? &*link->peer : nullptr;
}

unsigned Client::failures_of(const LinkKey& key) const {
  const registry::Dialer::Link* link = links_.find(key);
  return link != nullptr ? link->failures : 0;
}

const Error* Client::refused(const LinkKey& key) const {
  const auto found = refused_.find(key);
  return found != refused_.end() ? &found->second : nullptr;
}

std::string Client::why_not(const LinkKey& key) const {
  const registry::Dialer::Link* link = links_.find(key);
  return link != nullptr && link->last_error ? link->last_error->message : "no answer yet";
}

void Client::say(const Task& task, std::string sentence) {
  updates_.push_back(Said{task.record.id, std::move(sentence)});
}

}  // namespace tomogrid::client
