// A job's inputs, its worker, and how it ends.
#include <algorithm>

#include "base/text.h"
#include "node/node.h"
#include "wire/messages/bounds.h"

namespace tomogrid::node {

namespace {

constexpr std::size_t kNoticesKept = 16;
constexpr std::size_t kPreviewsMax = 16;      // names of previews that one job may have
constexpr std::size_t kRangesToldMax = 4096;  // told at a worker's start; the rest follows when the input is complete

wire::StreamKey output_key(const job::JobId& id, const std::string& name, std::uint32_t generation) {
  return {id, name, generation};
}

// A worker's word as a message may carry it.
std::string word(std::string text) {
  if (text.size() > wire::kWordLimit) text = printable(std::string_view(text).substr(0, wire::kWordLimit - 3));
  return text;
}

InputRecord* find_input(JobRecord& record, const std::string& name) {
  const auto found = std::find_if(record.inputs.begin(), record.inputs.end(),
                                  [&](const InputRecord& input) { return input.fact.name == name; });
  return found == record.inputs.end() ? nullptr : &*found;
}

}  // namespace

void Node::on_offer(const wire::Peer& peer, const wire::StreamOffer& offer) {
  const auto abort = [&](const char* code, const std::string& reason) {
    audit(&peer, "send-input", &offer.key.job, std::string("refused: ") + code);
    send(peer.id, wire::StreamAbort{offer.number, false, code, reason});
  };
  if (const auto allowed = certs::require(peer.roles, certs::Verb::OpenJob); !allowed)
    return abort("unknown", allowed.error().message);
  Job* job = find_job({peer.member, offer.key.job});
  if (job == nullptr) return abort("unknown", "you have no job " + job::short_text(offer.key.job) + " here");
  if (job::is_terminal(job->record.state))
    return abort("cancelled", "the job is " + std::string(to_string(job->record.state)));
  InputRecord* record = find_input(job->record, offer.key.name);
  if (record == nullptr || offer.key.generation != 0) return abort("unknown", "the job has no input " + offer.key.name);
  if (record->fact.length.count() != offer.length) {
    return abort("length", "input " + offer.key.name + " was declared with " +
                               std::to_string(record->fact.length.count()) + " bytes, " + std::to_string(offer.length) +
                               " offered");
  }
  Input& input = job->inputs[offer.key.name];
  if (input.receiving != 0 && input.receiving != peer.id) {
    emit(wire::StopStream{input.receiving, offer.key, "superseded"});  // the newer session knows what is current
  }
  input.receiving = peer.id;
  job->stalled = false;
  emit(wire::ReceiveStream{peer.id, offer.number, offer.key, job->record.key, offer.length});
}

void Node::on_range(const wire::RangeStored& event) {
  const wire::Peer* from = peer(event.peer);
  Job* job = from == nullptr ? nullptr : find_job({from->member, event.key.job});
  if (job == nullptr || job::is_terminal(job->record.state)) return;
  const auto input = job->inputs.find(event.key.name);
  if (input == job->inputs.end()) return;
  input->second.available.add(event.offset, event.offset + event.length);
  job->last_input = now_.instant;
  job->stalled = false;
  if (job->worker && job->stopping == Stopping::No) {
    emit(wire::TellWorker{job->record.key, job::InputAvailable{event.key.name, event.offset, event.length}});
  }
}

void Node::on_input(const wire::StreamReceived& event) {
  const wire::Peer* from = peer(event.peer);
  Job* job = from == nullptr ? nullptr : find_job({from->member, event.key.job});
  if (job == nullptr || job::is_terminal(job->record.state)) return;
  InputRecord* record = find_input(job->record, event.key.name);
  if (record == nullptr || record->fact.length.count() != event.length) return;
  Input& input = job->inputs[event.key.name];
  input.receiving = 0;
  input.available.add(0, event.length);
  job->last_input = now_.instant;
  if (record->complete) return;  // sent once more after a cut; the sink takes no other content
  record->fact.root = event.root;
  record->complete = true;
  persist(job->record);
  if (job->worker && job->stopping == Stopping::No) {
    emit(wire::TellWorker{job->record.key, job::InputComplete{event.key.name}});
  }
  push_status(*job);
  start_if_ready(*job);
}

// A stream of either direction is over: `sent`, or broken with `code`.
void Node::on_stream_end(wire::PeerId peer_id, const wire::StreamKey& key, const std::string& code, bool sent) {
  const auto flight = sending_.find({peer_id, output_key(key.job, key.name, 0)});
  if (flight != sending_.end() && flight->second.generation == key.generation) {
    const wire::JobKey owner = flight->second.job;
    sending_.erase(flight);
    Job* job = find_job(owner);
    const auto latest =
        job == nullptr ? std::map<std::string, std::uint32_t>::iterator{} : job->previews.find(key.name);
    if (job != nullptr && latest != job->previews.end() && latest->second > key.generation &&
        peers_.contains(peer_id)) {
      offer_preview(*job, key.name, peer_id);
    }
    return;
  }
  const wire::Peer* from = peer(peer_id);
  Job* job = from == nullptr ? nullptr : find_job({from->member, key.job});
  if (sent || job == nullptr) return;
  const auto input = job->inputs.find(key.name);
  if (input == job->inputs.end() || input->second.receiving != peer_id) return;
  input->second.receiving = 0;
  if (job::is_terminal(job->record.state)) return;
  if (code == "hash") {
    // What is stored is not what the client meant, and it cannot be said which part: nothing may be computed from it.
    fail(*job, {"hash", "input " + key.name + " does not agree with its hash", job::Retry::Here});
  } else if (code == "storage") {
    fail(*job, {"storage", "input " + key.name + " cannot be stored here", job::Retry::Elsewhere});
  }
}

void Node::start_if_ready(Job& job) {
  if (!job.granted || job.worker || job::is_terminal(job.record.state)) return;
  const job::ServiceDescriptor* descriptor = service(job.record.service);
  if (descriptor == nullptr) {
    return fail(job, {"service", "this node no longer has " + to_string(job.record.service), job::Retry::Elsewhere});
  }
  if (!descriptor->streamed_input && !job.record.input_complete()) return;
  wire::StartWorker start;
  start.job = job.record.key;
  start.order.job = job.record.key.job;
  start.order.service = job.record.service;
  start.order.parameters = job::parse_parameters(job.record.parameters).or_throw();  // our own text
  start.order.grant = job.record.grant;
  for (const InputRecord& input : job.record.inputs) start.order.inputs.push_back(input.fact);
  // A checkpoint of a worker that died is one more input; the launcher moves it into in/ and fills in its length.
  if (!job.record.checkpoint.empty()) start.order.inputs.push_back({job.record.checkpoint, Bytes(), {}});
  start.command = descriptor->command;
  start.ranks = descriptor->ranks;
  for (const job::StreamDescriptor& output : descriptor->outputs) start.outputs.push_back(output.name);
  job.record.state = job::JobState::Running;
  job.worker = true;
  job.stopping = Stopping::No;
  job.worker_failure.reset();
  job.progress = {};
  job.checkpoint_due = now_.instant + options_.checkpoint_interval;
  persist(job.record);
  emit(std::move(start));
  tell_inputs(job);
  report("job.started", {{"job", job::short_text(job.record.key.job)},
                         {"service", to_string(job.record.service)},
                         {"cores", std::to_string(job.record.grant.cores)}});
  push_status(job);
}

void Node::tell_inputs(const Job& job) {
  std::size_t told = 0;
  for (const InputRecord& record : job.record.inputs) {
    const std::string& name = record.fact.name;
    for (const auto& [begin, end] : job.inputs.at(name).available.ranges()) {
      if (++told > kRangesToldMax) break;
      emit(wire::TellWorker{job.record.key, job::InputAvailable{name, begin, end - begin}});
    }
    if (record.complete) emit(wire::TellWorker{job.record.key, job::InputComplete{name}});
  }
  if (!job.record.checkpoint.empty()) emit(wire::TellWorker{job.record.key, job::InputComplete{job.record.checkpoint}});
}

void Node::on_worker_line(const wire::WorkerSaid& event) {
  Job* job = find_job(event.job);
  if (job == nullptr || !job->worker || job->stopping != Stopping::No) return;
  if (const auto* progress = std::get_if<job::Progress>(&event.line)) {
    job->progress = *progress;
    job->progress.stage = word(job->progress.stage);
    push_progress(*job);
  } else if (const auto* preview = std::get_if<job::PreviewReady>(&event.line)) {
    if (job->previews.size() >= kPreviewsMax && !job->previews.contains(preview->name)) return;
    ++job->previews[preview->name];
    const wire::JobNotice caption{event.job.job, wire::kPreviewNotice,
                                  printable(std::string_view(preview->caption).substr(0, wire::kReasonLimit))};
    for (const wire::PeerId watcher : job->watchers) {
      if (!caption.message.empty()) send(watcher, caption);
      offer_preview(*job, preview->name, watcher);
    }
  } else if (const auto* checkpoint = std::get_if<job::CheckpointReady>(&event.line)) {
    // A checkpoint that the client sent stays what it is: an input that the receipt binds.
    if (job->record.checkpoint == checkpoint->name || job->inputs.contains(checkpoint->name)) return;
    job->record.checkpoint = checkpoint->name;
    persist(job->record);
  } else if (const auto* notice = std::get_if<job::Notice>(&event.line)) {
    wire::JobNotice told{event.job.job, word(notice->code), notice->message.substr(0, wire::kReasonLimit)};
    told.message = printable(told.message);
    for (const wire::PeerId watcher : job->watchers) send(watcher, told);
    job->notices.push_back(std::move(told));
    if (job->notices.size() > kNoticesKept) job->notices.pop_front();
  } else if (const auto* failed = std::get_if<job::WorkerFailed>(&event.line)) {
    job->worker_failure = failed->failure;
    job->worker_failure->code = word(job->worker_failure->code);
  }
}

void Node::on_worker_exit(const wire::WorkerExited& event) {
  Job* job = find_job(event.job);
  if (job == nullptr || !job->worker) return;
  job->worker = false;
  const Stopping why = std::exchange(job->stopping, Stopping::No);
  if (job::is_terminal(job->record.state)) {  // cancelled or failed while it ran
    give_back_cores(*job);
    if (!job->wipe_asked) ask_wipe(*job);
    return;
  }
  if (why == Stopping::Stalled) {
    job->record.state = job::JobState::Queued;
    give_back_cores(*job);
    persist(job->record);
    return push_status(*job);
  }
  if (event.status == 0 && !job->worker_failure) return finish(*job, event);
  if (job->worker_failure && job->worker_failure->retry != job::Retry::Here) return fail(*job, *job->worker_failure);
  job::JobFailure failure{"worker-died", "", job::Retry::Elsewhere};
  if (job->worker_failure)
    failure = {job->worker_failure->code, job->worker_failure->message, job::Retry::Elsewhere};
  else if (event.status < 0)
    failure.message = "the worker was ended by signal " + std::to_string(-event.status);
  else
    failure.message = "the worker ended with status " + std::to_string(event.status) + " and no word";
  worker_died(*job, std::move(failure));
}

void Node::worker_died(Job& job, job::JobFailure failure) {
  ++job.record.deaths;
  report("job.worker-died", {{"job", job::short_text(job.record.key.job)},
                             {"deaths", std::to_string(job.record.deaths)},
                             {"code", failure.code}});
  if (job.record.deaths >= options_.worker_deaths_max) return fail(job, std::move(failure));
  job.record.state = job::JobState::Queued;  // it keeps its cores
  start_if_ready(job);
}

// Success only when every declared output is there and within its limit; then, and only then, the receipt.
void Node::finish(Job& job, const wire::WorkerExited& event) {
  const job::ServiceDescriptor* descriptor = service(job.record.service);
  std::vector<job::StreamFact> outputs;
  for (const job::StreamDescriptor& declared : descriptor->outputs) {
    const auto fact = std::find_if(event.outputs.begin(), event.outputs.end(),
                                   [&](const wire::OutputFact& item) { return item.name == declared.name; });
    if (fact == event.outputs.end()) {
      if (!declared.required) continue;
      return worker_died(job,
                         {"output-missing", "the worker ended without output " + declared.name, job::Retry::Elsewhere});
    }
    if (fact->length > declared.limit.count()) {
      return fail(
          job, {"output-too-long", "output " + declared.name + " has " + human_bytes(fact->length), job::Retry::Never});
    }
    outputs.push_back({fact->name, Bytes(fact->length), fact->root});
  }
  if (!job.record.input_complete()) {
    return fail(job, {"input-incomplete", "the worker ended before its input was complete", job::Retry::Elsewhere});
  }
  wire::Receipt receipt;
  receipt.federation = identity_.federation();
  receipt.job = job.record.key.job;
  receipt.client = job.record.key.client;
  receipt.node = identity_.member();
  receipt.service = job.record.service;
  receipt.worker_build = event.worker_build;
  receipt.parameters = job.record.parameters;
  for (const InputRecord& input : job.record.inputs) receipt.inputs.push_back(input.fact);
  receipt.outputs = outputs;
  receipt.finished = now_.wall;
  job.record.outputs = std::move(outputs);
  job.record.receipt = identity_.signed_record(certs::kinds::receipt, wire::encode_body(receipt));
  end(job, job::JobState::Finished);
}

void Node::fail(Job& job, job::JobFailure failure) {
  failure.message = printable(std::string_view(failure.message).substr(0, wire::kReasonLimit));
  job.record.failure = std::move(failure);
  end(job, job::JobState::Failed);
}

void Node::stop_worker(Job& job, Stopping why) {
  if (job.stopping != Stopping::No) return;
  job.stopping = why;
  if (why == Stopping::Cancelled) emit(wire::TellWorker{job.record.key, job::Cancel{}});
  emit(wire::StopWorker{job.record.key});
}

void Node::give_back_cores(Job& job) {
  job.granted = false;
  ledger_.hold(job.record.key, {0, Bytes(), job.record.needs.scratch});
}

void Node::end(Job& job, job::JobState state) {
  job.record.state = state;
  job.record.ended = now_.wall;
  if (state == job::JobState::Finished) {
    job.record.expires = now_.wall + options_.retention;
    job.expires_at = now_.instant + options_.retention;
  }
  for (auto& [name, input] : job.inputs) {
    if (input.receiving != 0)
      emit(wire::StopStream{std::exchange(input.receiving, 0), {job.record.key.job, name, 0}, "cancelled"});
  }
  audit(nullptr, "job-ended", &job.record.key.job,
        std::string(to_string(state)) + (job.record.failure ? ": " + job.record.failure->code : ""));
  persist(job.record);
  if (job.worker) {
    stop_worker(job, state == job::JobState::Cancelled ? Stopping::Cancelled : Stopping::Failed);
  } else {
    give_back_cores(job);
    if (state != job::JobState::Finished) ask_wipe(job);
  }
  push_status(job);
}

// First half: the files go with this pass. That they are gone is recorded by a later one, which begins with advance():
// a performer may join the rows of several events into one transaction before any of their effects.
void Node::ask_wipe(Job& job) {
  for (auto it = sending_.begin(); it != sending_.end();) {
    if (it->second.job != job.record.key) {
      ++it;
      continue;
    }
    emit(wire::StopStream{it->first.first,
                          output_key(it->first.second.job, it->first.second.name, it->second.generation), "cancelled"});
    it = sending_.erase(it);
  }
  emit(wire::Wipe{job.record.key});
  job.wipe_asked = true;
}

void Node::record_wiped(Job& job) {
  job.record.wiped = true;
  job.record.expires = now_.wall;
  persist(job.record);
  audit(nullptr, "job-wiped", &job.record.key.job, "done");
  for (const wire::PeerId id : job.want_wiped) send(id, wire::Wiped{job.record.key.job});
  ledger_.release(job.record.key);
  const wire::JobKey key = job.record.key;
  remember(std::move(job.record));
  jobs_.erase(key);
}

void Node::remember(JobRecord record) {
  wiped_order_[record.order] = record.key;
  const wire::JobKey key = record.key;
  wiped_[key] = std::move(record);
  while (wiped_.size() > options_.remembered_max) {
    const auto oldest = wiped_order_.begin();
    emit(wire::Persist{{kJobTable, row_key(oldest->second), ""}});
    wiped_.erase(oldest->second);
    wiped_order_.erase(oldest);
  }
}

// One at a time per session and name: when it has been sent (or not), the latest follows, and those between are never
// sent.
void Node::offer_preview(Job& job, const std::string& name, wire::PeerId to) {
  const auto latest = job.previews.find(name);
  if (latest != job.previews.end()) send_stream(to, job, name, latest->second);
}

void Node::send_stream(wire::PeerId to, const Job& job, const std::string& name, std::uint32_t generation) {
  const auto [flight, fresh] =
      sending_.try_emplace({to, output_key(job.record.key.job, name, 0)}, Sending{job.record.key, generation});
  if (!fresh) return;
  emit(wire::SendStream{to, output_key(job.record.key.job, name, generation), job.record.key});
}

}  // namespace tomogrid::node
