// One node running one job, as the client sees it: open, send, watch, fetch, check.
#include <algorithm>

#include "client/client.h"
#include "client/receipt.h"
#include "client/state.h"

namespace tomogrid::client {

using wire::Now;

namespace {

constexpr std::uint64_t kPreviewLimit = 64 << 20;
constexpr unsigned kSessionsRefused = 3;  // nodes that will not speak with us: then it is not them

ErrorCode code_of_refusal(const std::string& code) {
  if (code == "conflict") return ErrorCode::Conflict;
  if (code == "parameters") return ErrorCode::Usage;
  if (code == "input") return ErrorCode::BadInput;
  return ErrorCode::Refused;
}

const job::StreamFact* find(const std::vector<job::StreamFact>& facts, const std::string& name) {
  const auto found = std::find_if(facts.begin(), facts.end(), [&name](const auto& fact) { return fact.name == name; });
  return found != facts.end() ? &*found : nullptr;
}

Duration pause_after(unsigned failures) {
  return std::chrono::milliseconds(200) * (1U << std::min(failures, 5U));
}

}  // namespace

void Client::step_run(const Now& now, Task& task, std::size_t index) {
  Run& run = task.runs[index];
  Attempt& attempt = task.record.attempts[index];
  if (peer_of(run.link) == nullptr) follow(attempt);
  links_.want(now, attempt.target, effects_);
  const wire::Peer* peer = peer_of(run.link);
  if (peer == nullptr) {
    if (!run.down_since) {
      run.down_since = now.instant;
      run.answer_due.reset();
      run.retry_at.reset();
      say(task, "the link to node " + name_of(task, index) + " is cut; dialling again");
    }
    if (const Error* no = refused(run.link)) {
      const Error error{no->code, "node " + name_of(task, index) + ": no session: " + no->message};
      if (task.pin || ++task.sessions_refused >= kSessionsRefused) return give_up(now, task, error);
      return end_attempt(now, task, index, "no session: " + no->message, options_.lost_pause);
    }
    if (!run.ever_opened && !task.pin && failures_of(run.link) > 0) {
      end_attempt(now, task, index, "cannot be reached: " + why_not(run.link), options_.lost_pause);
    }
    return;
  }
  if (run.session != peer->id) {
    if (run.session != 0 && attempt.state == AttemptState::Accepted)
      say(task, "node " + name_of(task, index) + " is reached again");
    run.session = peer->id;
    run.down_since.reset();
    run.offered = run.fetching = false;
    return open(now, task, index, *peer);
  }
  if (run.answer_due && now.instant >= *run.answer_due) {
    run.answer_due.reset();
    if (++run.unanswered >= 3) return end_attempt(now, task, index, "does not answer", options_.lost_pause);
    effects_.push_back(wire::ClosePeer{peer->id, "silent", "no answer to an open"});
  }
  if (run.retry_at && now.instant >= *run.retry_at) {
    run.retry_at.reset();
    if (run.again.empty()) return open(now, task, index, *peer);
    for (const std::string& name : std::exchange(run.again, {})) {
      if (find(task.record.inputs, name) != nullptr) {
        effects_.push_back(wire::SendStream{peer->id, {attempt.job, name, 0}, {identity_.member(), attempt.job}});
      } else {
        effects_.push_back(wire::Send{peer->id, wire::Fetch{attempt.job, name}});
      }
    }
  }
}

void Client::open(const Now& now, Task& task, std::size_t index, const wire::Peer& peer) {
  Run& run = task.runs[index];
  Attempt& attempt = task.record.attempts[index];
  attempt.node = peer.member;
  attempt.node_name = peer.name;
  remember_node(now, peer, attempt.target);
  save(task.record);  // before the open is sent: no run is ever unseen
  updates_.push_back(AttemptOpened{task.record.id, attempt.job, attempt.node_name});
  run.ever_opened = true;
  run.offered = run.fetching = false;
  run.again.clear();
  run.answer_due = now.instant + options_.answer;
  if (!task.has_inputs) {
    effects_.push_back(wire::Send{peer.id, wire::Attach{attempt.job}});
    return;
  }
  wire::Open message{attempt.job, attempt.ticket, task.record.service, task.record.parameters, task.record.needs, {}};
  for (const job::StreamFact& input : task.record.inputs) message.inputs.push_back({input.name, input.length, {}});
  effects_.push_back(wire::Send{peer.id, std::move(message)});
}

void Client::on(const Now& now, Task& task, std::size_t index, const wire::Peer&, const wire::OpenRefused& message) {
  if (task.record.attempts[index].state == AttemptState::Over || task.closing_deadline) return;
  const std::string why = message.reason.empty() ? message.code : message.reason;
  const bool never_ran = task.record.attempts[index].state == AttemptState::Opening;
  if (message.retry == job::Retry::Never) {
    const std::string node = name_of(task, index);
    end_attempt(now, task, index, why, Duration::zero());
    return fail(now, task,
                {code_of_refusal(message.code), "node " + node + " refused the job (" + message.code + "): " + why});
  }
  const bool busy = message.code == "capacity" || message.code == "ticket" || message.code == "quota";
  const Duration pause = message.retry == job::Retry::Here ? Duration::zero()
                         : busy                            ? Duration(options_.refused_pause)
                                                           : Duration(options_.lost_pause);
  end_attempt(now, task, index, "refused: " + why, pause);
  if (never_ran) {  // nothing of it is left anywhere: a node that is busy for a day must not fill the journal
    task.record.attempts.erase(task.record.attempts.begin() + static_cast<std::ptrdiff_t>(index));
    task.runs.erase(task.runs.begin() + static_cast<std::ptrdiff_t>(index));
    save(task.record);
  }
  // Busy is never an error, however often it is heard: only attempts that began count towards the bound.
  if (busy && task.attempts_here > 0) --task.attempts_here;
  if (task.pin && !busy && message.code != "replayed") {
    return fail(now, task,
                {ErrorCode::Refused, "node " + task.pin->name + " refused the job (" + message.code + "): " + why});
  }
}

void Client::on(const Now& now, Task& task, std::size_t index, const wire::Peer& peer,
                const wire::JobRefused& message) {
  Run& run = task.runs[index];
  if (task.record.attempts[index].state == AttemptState::Over) return;
  if (task.closing_deadline) {  // it has nothing of ours any more
    run.wiped = true;
    if (task.record.winner != index) end_attempt(now, task, index, "the node does not have it", Duration::zero());
    return;
  }
  if (message.code == "state" && run.fetching) {  // not ready for this yet: ask what it is doing
    run.again.clear();
    run.retry_at = now.instant + pause_after(++run.broken_streams);
    if (run.broken_streams <= options_.fetches_max) return;
  }
  (void)peer;
  end_attempt(now, task, index,
              "it no longer has the job (" + (message.reason.empty() ? message.code : message.reason) + ")",
              options_.refused_pause);
}

void Client::on(const Now& now, Task& task, std::size_t index, const wire::Peer& peer, const wire::JobStatus& status) {
  Run& run = task.runs[index];
  Attempt& attempt = task.record.attempts[index];
  run.answer_due.reset();
  run.unanswered = 0;
  if (attempt.state == AttemptState::Over) return;
  if (task.closing_deadline) {
    if (task.record.winner == index) return;
    if (status.state == job::JobState::Finished && !run.collected_sent) {  // too late to cancel: let it be wiped
      run.collected_sent = true;
      effects_.push_back(wire::Send{peer.id, wire::Collected{attempt.job}});
    }
    if (job::is_terminal(status.state)) end_attempt(now, task, index, "not needed any more", Duration::zero());
    return;
  }
  if (attempt.state == AttemptState::Opening) {
    attempt.state = AttemptState::Accepted;
    save(task.record);
  }
  updates_.push_back(StatusChanged{task.record.id, name_of(task, index), status});
  const std::string node = name_of(task, index);
  switch (status.state) {
    case job::JobState::Queued:
    case job::JobState::Running:
      if (status.input_complete || run.offered) return;
      if (!task.has_inputs) {
        return give_up(now, task,
                       {ErrorCode::NotFound, "node " + node +
                                                 " waits for the rest of the scan: run the command that began the job "
                                                 "again, it goes on where it was cut"});
      }
      run.offered = true;
      for (const job::StreamFact& input : task.record.inputs) {
        if (run.inputs_done.contains(input.name)) continue;
        effects_.push_back(wire::SendStream{peer.id, {attempt.job, input.name, 0}, {identity_.member(), attempt.job}});
      }
      return;
    case job::JobState::Finished:
      return on_finished(now, task, index, peer, status);
    case job::JobState::Failed: {
      const job::JobFailure failure =
          status.failure.value_or(job::JobFailure{"unknown", "no reason given", job::Retry::Never});
      const std::string why = failure.code + ": " + failure.message;
      end_attempt(now, task, index, "failed: " + why,
                  failure.retry == job::Retry::Here ? Duration::zero() : Duration(options_.lost_pause));
      if (failure.retry == job::Retry::Never) {
        const ErrorCode code = failure.code == "bad-input" ? ErrorCode::BadInput : ErrorCode::JobFailed;
        fail(now, task, {code, "the job failed at node " + node + ": " + why});
      }
      return;
    }
    case job::JobState::Cancelled:
      end_attempt(now, task, index, "cancelled at the node", Duration::zero());
      task.record.state = RecordState::Cancelled;
      return fail(now, task, {ErrorCode::Cancelled, "the job was cancelled at node " + node});
  }
}

void Client::on_finished(const Now& now, Task& task, std::size_t index, const wire::Peer& peer,
                         const wire::JobStatus& status) {
  Run& run = task.runs[index];
  const Attempt& attempt = task.record.attempts[index];
  if (!run.finished) {
    if (!status.receipt)
      return end_attempt(now, task, index, "it says finished without a receipt", options_.lost_pause);
    const Expected expected{
        identity_.federation(), attempt.job,        identity_.member(),          peer.member, task.record.service,
        task.record.parameters, task.record.inputs, task.record.outputs_required};
    const auto receipt = check_receipt(*status.receipt, peer.signing_key, expected, status.outputs);
    if (!receipt) return end_attempt(now, task, index, receipt.error().message, options_.lost_pause);
    run.finished = status;
  }
  if (!run.fetching) fetch(now, task, index, peer);
}

void Client::fetch(const Now& now, Task& task, std::size_t index, const wire::Peer& peer) {
  Run& run = task.runs[index];
  run.fetching = true;
  for (const job::StreamFact& output : run.finished->outputs) {
    if (run.outputs_done[output.name]) continue;
    effects_.push_back(wire::Send{peer.id, wire::Fetch{task.record.attempts[index].job, output.name}});
  }
  if (run.finished->outputs.empty()) win(now, task, index);
}

void Client::on(const Now& now, Task& task, std::size_t index, const wire::Peer& peer, const wire::StreamOffer& offer) {
  Run& run = task.runs[index];
  const Attempt& attempt = task.record.attempts[index];
  const auto accept = [&] {
    effects_.push_back(
        wire::ReceiveStream{peer.id, offer.number, offer.key, {identity_.member(), attempt.job}, offer.length});
  };
  const auto refuse = [&](const std::string& code) { effects_.push_back(wire::StopStream{peer.id, offer.key, code}); };
  if (task.closing_deadline || attempt.state == AttemptState::Over) return refuse("cancelled");
  if (run.finished) {
    if (const job::StreamFact* output = find(run.finished->outputs, offer.key.name);
        output && offer.key.generation == 0) {
      if (offer.length == output->length.count()) return accept();
      refuse("length");
      return end_attempt(now, task, index,
                         "it offers " + std::to_string(offer.length) + " bytes of " + output->name +
                             " where its receipt says " + std::to_string(output->length.count()),
                         options_.lost_pause);
    }
  }
  const bool is_output =
      find(task.record.inputs, offer.key.name) != nullptr ||
      std::count(task.record.outputs_required.begin(), task.record.outputs_required.end(), offer.key.name) != 0;
  if (task.previews && !is_output && job::is_name(offer.key.name) && offer.length <= kPreviewLimit) return accept();
  refuse("cancelled");
}

void Client::received(const Now& now, Task& task, std::size_t index, const wire::StreamReceived& event) {
  Run& run = task.runs[index];
  if (task.closing_deadline || task.record.attempts[index].state == AttemptState::Over) return;
  const job::StreamFact* output = run.finished ? find(run.finished->outputs, event.key.name) : nullptr;
  if (output == nullptr || event.key.generation != 0) {
    if (task.previews) updates_.push_back(PreviewStored{task.record.id, event.key});
    return;
  }
  if (event.length != output->length.count() || event.root != output->root) {
    return end_attempt(now, task, index,
                       "output " + output->name + " as received is not what its receipt says; it is not used",
                       options_.lost_pause);
  }
  run.outputs_done[output->name] = true;
  const auto& outputs = run.finished->outputs;
  if (std::all_of(outputs.begin(), outputs.end(), [&run](const auto& one) { return run.outputs_done[one.name]; }))
    win(now, task, index);
}

void Client::sent(const Now& now, Task& task, std::size_t index, const wire::StreamSent& event) {
  const job::StreamFact* input = find(task.record.inputs, event.key.name);
  if (input == nullptr) return;
  if (event.root != input->root || event.length != input->length.count()) {
    return fail(now, task, {ErrorCode::Internal, "input " + input->name + " changed while it was sent"});
  }
  task.runs[index].inputs_done.insert(event.key.name);
}

void Client::broken(const Now& now, Task& task, std::size_t index, const wire::StreamBroken& event) {
  Run& run = task.runs[index];
  if (task.closing_deadline || task.record.attempts[index].state == AttemptState::Over) return;
  const bool output = run.finished && find(run.finished->outputs, event.key.name) != nullptr;
  const bool input = find(task.record.inputs, event.key.name) != nullptr;
  if (!output && !input) return;                                                    // a preview: the next one will come
  if (peer_of(run.link) == nullptr || peer_of(run.link)->id != event.peer) return;  // resumed on the next session
  if (output && event.code == "storage") {
    return give_up(now, task,
                   {ErrorCode::Storage, "cannot store the result: " + event.reason +
                                            "; make room and run the command again, the node keeps it"});
  }
  if (event.code == "session") {  // the link was cut, which is nobody's fault: the next session resumes
    if (++run.cuts <= options_.cuts_max) return;
    return end_attempt(now, task, index, "the link to it was cut " + std::to_string(run.cuts) + " times",
                       options_.lost_pause);
  }
  if (++run.broken_streams > options_.fetches_max) {
    return end_attempt(now, task, index, "the transfer of " + event.key.name + " broke too often: " + event.reason,
                       options_.lost_pause);
  }
  if (output && event.code == "hash") updates_.push_back(StreamSpoiled{event.key});
  run.again.insert(event.key.name);
  run.retry_at = now.instant + pause_after(run.broken_streams);
}

void Client::end_attempt(const Now& now, Task& task, std::size_t index, const std::string& reason, Duration pause) {
  Attempt& attempt = task.record.attempts[index];
  Run& run = task.runs[index];
  attempt.state = AttemptState::Over;
  attempt.reason = reason;
  run.answer_due.reset();
  run.retry_at.reset();
  task.last_reason = "node " + name_of(task, index) + ": " + reason;
  save(task.record);
  if (task.closing_deadline) return;
  say(task, task.last_reason);
  if (pause > Duration::zero()) task.excluded[attempt.node] = now.instant + pause;
  if (task.pin)
    task.place_at =
        now.instant + std::max<Duration>(pause > Duration::zero() ? Duration(options_.refused_pause) : pause,
                                         std::chrono::milliseconds(200));
}

}  // namespace tomogrid::client
