// What members ask about jobs: attach, cancel, fetch, collected, list, drain.
#include <algorithm>

#include "node/node.h"
#include "wire/messages/bounds.h"

namespace tomogrid::node {

void Node::refuse_job(const wire::Peer& peer, const job::JobId& id, std::string_view verb, const char* code,
                      const std::string& reason) {
  audit(&peer, verb, &id, std::string("refused: ") + code);
  send(peer.id, wire::JobRefused{id, code, reason});
}

std::optional<wire::JobKey> Node::anyones_job(const job::JobId& id) const {
  for (const auto& [key, job] : jobs_) {
    if (key.job == id) return key;
  }
  for (const auto& [key, record] : wiped_) {
    if (key.job == id) return key;
  }
  return std::nullopt;
}

const JobRecord* Node::own_job(const wire::Peer& peer, const job::JobId& id, certs::Verb verb) {
  if (const auto allowed = certs::require(peer.roles, verb); !allowed) {
    refuse_job(peer, id, to_string(verb), "role", allowed.error().message);
    return nullptr;
  }
  if (const JobRecord* record = find({peer.member, id})) return record;
  if (anyones_job(id))
    refuse_job(peer, id, to_string(verb), "owner", "the job is another member's");
  else
    refuse_job(peer, id, to_string(verb), "unknown", "this node knows no job " + job::short_text(id));
  return nullptr;
}

wire::JobStatus Node::status(const JobRecord& record) const {
  wire::JobStatus status;
  status.job = record.key.job;
  status.service = record.service;
  status.state = record.state;
  status.input_complete = record.input_complete();
  status.grant = record.grant;
  status.failure = record.failure;
  status.outputs = record.outputs;
  status.receipt = record.receipt;
  status.expires = record.expires;
  if (const auto live = jobs_.find(record.key); live != jobs_.end()) {
    const job::Progress& progress = live->second.progress;
    status.stage = progress.stage;
    status.fraction = progress.fraction;
    status.remaining = progress.remaining;
    status.step = progress.step;
    status.steps = progress.steps;
  }
  if (record.state == job::JobState::Finished) {
    status.fraction = 1;
    status.remaining = std::nullopt;
  }
  return status;
}

void Node::send_status(wire::PeerId peer, const JobRecord& record) {
  send(peer, status(record));
}

void Node::push_status(Job& job) {
  job.push_due = false;
  job.pushed = now_.instant;
  for (const wire::PeerId watcher : job.watchers) send_status(watcher, job.record);
}

void Node::push_progress(Job& job) {
  if (job.pushed + options_.push_interval <= now_.instant)
    push_status(job);
  else
    job.push_due = true;
}

// From now on this session hears of the job; first, all that it may have missed.
void Node::watch(const wire::Peer& peer, Job& job) {
  job.watchers.insert(peer.id);
  job.stalled = false;
  send_status(peer.id, job.record);
  for (const wire::JobNotice& notice : job.notices) send(peer.id, notice);
  if (job::is_terminal(job.record.state)) return;
  for (const auto& [name, generation] : job.previews) offer_preview(job, name, peer.id);
}

void Node::on_attach(const wire::Peer& peer, const wire::Attach& attach) {
  const JobRecord* record = own_job(peer, attach.job, certs::Verb::WatchOwnJob);
  if (record == nullptr) return;
  audit(&peer, "attach", &attach.job, "done");
  if (Job* job = find_job(record->key)) return watch(peer, *job);
  send_status(peer.id, *record);
}

void Node::on_cancel(const wire::Peer& peer, const wire::CancelJob& cancel) {
  std::optional<wire::JobKey> key;
  if (certs::may(peer.roles, certs::Verb::CancelAnyJob)) {
    key = anyones_job(cancel.job);
    if (!key)
      return refuse_job(peer, cancel.job, "cancel-any-job", "unknown",
                        "this node knows no job " + job::short_text(cancel.job));
  } else if (const JobRecord* own = own_job(peer, cancel.job, certs::Verb::CancelOwnJob)) {
    key = own->key;
  } else {
    return;
  }
  Job* job = find_job(*key);
  if (job != nullptr && !job::is_terminal(job->record.state)) {
    audit(&peer, "cancel-job", &cancel.job, "done");
    end(*job, job::JobState::Cancelled);
    if (job->watchers.contains(peer.id)) return;  // has been told
  }
  wire::JobStatus answer = status(*find(*key));
  if (key->client != peer.member) {  // an administrator reads no results
    answer.outputs.clear();
    answer.receipt.reset();
  }
  send(peer.id, std::move(answer));
}

void Node::on_fetch(const wire::Peer& peer, const wire::Fetch& fetch) {
  const JobRecord* record = own_job(peer, fetch.job, certs::Verb::CollectOwnJob);
  if (record == nullptr) return;
  Job* job = find_job(record->key);
  const auto refused = [&](const std::string& reason) { refuse_job(peer, fetch.job, "fetch", "state", reason); };
  if (job == nullptr || job->wipe_asked) return refused("the job has been wiped");
  if (const auto preview = job->previews.find(fetch.name); preview != job->previews.end()) {
    return offer_preview(*job, fetch.name, peer.id);
  }
  const auto& outputs = record->outputs;
  const bool output =
      std::any_of(outputs.begin(), outputs.end(), [&](const job::StreamFact& fact) { return fact.name == fetch.name; });
  if (!output && (record->checkpoint.empty() || fetch.name != record->checkpoint)) {
    return refused(record->state == job::JobState::Finished ? "the job has no output " + fetch.name
                                                            : "the job is " + std::string(to_string(record->state)));
  }
  audit(&peer, "fetch", &fetch.job, "done");
  send_stream(peer.id, *job, fetch.name, 0);
}

void Node::on_collected(const wire::Peer& peer, const wire::Collected& collected) {
  const JobRecord* record = own_job(peer, collected.job, certs::Verb::CollectOwnJob);
  if (record == nullptr) return;
  Job* job = find_job(record->key);
  if (job == nullptr) return send(peer.id, wire::Wiped{collected.job});
  if (!job::is_terminal(record->state)) {
    return refuse_job(peer, collected.job, "collected", "state", "the job is " + std::string(to_string(record->state)));
  }
  job->want_wiped.insert(peer.id);
  if (job->record.collected) return;  // said twice: on its way
  audit(&peer, "collected", &collected.job, "done");
  job->record.collected = true;
  persist(job->record);
  if (!job->wipe_asked && !job->worker) ask_wipe(*job);
}

// Newest first, without receipts: the list has to fit one message.
void Node::on_list(const wire::Peer& peer) {
  const bool all = certs::may(peer.roles, certs::Verb::ListAllJobs);
  if (!all) {
    if (const auto allowed = certs::require(peer.roles, certs::Verb::ListOwnJobs); !allowed) {
      return refuse_job(peer, {}, "list-jobs", "role", allowed.error().message);
    }
  }
  std::vector<const JobRecord*> records;
  const auto take_in = [&](const JobRecord& record) {
    if (all || record.key.client == peer.member) records.push_back(&record);
  };
  for (const auto& [key, job] : jobs_) take_in(job.record);
  for (const auto& [key, record] : wiped_) take_in(record);
  std::sort(records.begin(), records.end(), [](const JobRecord* a, const JobRecord* b) { return a->order > b->order; });
  constexpr std::size_t kListed = 64;  // of at most about 700 bytes each
  records.resize(std::min(records.size(), kListed));
  wire::JobList list;
  for (const JobRecord* record : records) {
    wire::JobStatus item = status(*record);
    item.outputs.clear();
    item.receipt.reset();
    list.jobs.push_back(std::move(item));
  }
  send(peer.id, std::move(list));
}

void Node::on_drain(const wire::Peer& peer, const wire::Drain& drain) {
  if (const auto allowed = certs::require(peer.roles, certs::Verb::Drain); !allowed) {
    return refuse_job(peer, {}, "drain", "role", allowed.error().message);
  }
  audit(&peer, drain.on ? "drain" : "undrain", nullptr, "done");
  draining_ = drain.on;
  emit(wire::Persist{{kNodeTable, "drain", draining_ ? "on" : ""}});
  const auto left = std::count_if(jobs_.begin(), jobs_.end(),
                                  [](const auto& item) { return !job::is_terminal(item.second.record.state); });
  send(peer.id, wire::Drained{draining_, static_cast<std::uint32_t>(left)});
}

void Node::drop_peer(const wire::Peer& gone) {
  peers_.erase(gone.id);
  for (auto& [key, job] : jobs_) {
    job.watchers.erase(gone.id);
    job.want_wiped.erase(gone.id);
    for (auto& [name, input] : job.inputs) {
      if (input.receiving == gone.id) input.receiving = 0;
    }
  }
  for (auto it = sending_.begin(); it != sending_.end();) {
    it = it->first.first == gone.id ? sending_.erase(it) : std::next(it);
  }
}

}  // namespace tomogrid::node
