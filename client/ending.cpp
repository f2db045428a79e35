// How a job ends: the winner told, second runs cancelled, failures recorded.
#include <algorithm>

#include "client/client.h"
#include "client/state.h"

namespace tomogrid::client {

using wire::Now;

void Client::win(const Now& now, Task& task, std::size_t index) {
  const Run& run = task.runs[index];
  const wire::Peer* peer = peer_of(run.link);
  task.record.state = RecordState::Verified;
  task.record.winner = index;
  task.record.outputs = run.finished->outputs;
  task.record.receipt = KeptReceipt{*run.finished->receipt, {}};
  if (peer != nullptr && peer->chain) task.record.receipt->chain = certs::encode(*peer->chain);
  task.placing = false;
  (void)now;
  save(task.record);
}

void Client::fail(const Now& now, Task& task, Error error) {
  if (task.record.state != RecordState::Cancelled) task.record.state = RecordState::Failed;
  task.record.reason = error.message;
  task.placing = false;
  task.final_error = std::move(error);
  task.closing_deadline = now.instant + options_.farewell;
  save(task.record);
}

void Client::give_up(const Now&, Task& task, Error error) {
  save(task.record);
  end(task, std::move(error), true);
}

// Tells everyone who still has something of this job that it is over; as far as they can be reached before the
// deadline.
void Client::step_closing(const Now& now, Task& task) {
  bool pending = false;
  std::string unreached;
  for (std::size_t i = 0; i < task.runs.size(); ++i) {
    Run& run = task.runs[i];
    const Attempt& attempt = task.record.attempts[i];
    const bool winner = task.record.winner == i && task.record.state == RecordState::Closed;
    if (attempt.state == AttemptState::Over || (winner && run.wiped)) continue;
    pending = true;
    unreached += (unreached.empty() ? "" : ", ") + name_of(task, i);
    links_.want(now, attempt.target, effects_);
    const wire::Peer* peer = peer_of(run.link);
    if (peer == nullptr) continue;
    if (run.session != peer->id) {
      run.session = peer->id;
      run.cancel_sent = run.collected_sent = false;
    }
    if (winner && !std::exchange(run.collected_sent, true)) {
      effects_.push_back(wire::Send{peer->id, wire::Collected{attempt.job}});
    } else if (!winner && !std::exchange(run.cancel_sent, true)) {
      if (task.record.state == RecordState::Closed) say(task, "cancelling the second run at node " + name_of(task, i));
      effects_.push_back(wire::Send{peer->id, wire::CancelJob{attempt.job}});
    }
  }
  if (pending && now.instant < *task.closing_deadline) return;
  if (pending)
    say(task, "no word from node " + unreached + ": what it has of the job is wiped when its retention ends");
  end(task, task.final_error, false);
}

namespace {

// What a node has not acknowledged yet of a job that is over here.
bool owed(const Record& record, const Attempt& attempt) {
  return record.state != RecordState::Unfinished && record.state != RecordState::Verified &&
         attempt.state == AttemptState::Accepted;
}

}  // namespace

// Both messages may be repeated: the node answers alike. Tasks under way speak for themselves.
void Client::settle_debts(const wire::Peer& peer) {
  constexpr std::size_t kAtOnce = 64;
  std::size_t told = 0;
  for (const auto& [id, record] : records_) {
    if (task_of(id) != nullptr) continue;
    for (std::size_t i = 0; i < record.attempts.size(); ++i) {
      const Attempt& attempt = record.attempts[i];
      if (attempt.node != peer.member || !owed(record, attempt)) continue;
      if (++told > kAtOnce) return;
      if (record.state == RecordState::Closed && record.winner == i) {
        effects_.push_back(wire::Send{peer.id, wire::Collected{attempt.job}});
      } else {
        effects_.push_back(wire::Send{peer.id, wire::CancelJob{attempt.job}});
      }
    }
  }
}

// The answer to one of these: wiped, unknown there, or over.
void Client::settle(const wire::Peer& peer, const job::JobId& stream_job, const wire::Message& answer) {
  const auto* status = std::get_if<wire::JobStatus>(&answer);
  const bool gone = std::holds_alternative<wire::Wiped>(answer) || std::holds_alternative<wire::JobRefused>(answer);
  if (!gone && (status == nullptr || !job::is_terminal(status->state))) return;
  const auto is_it = [&](const Attempt& attempt) { return attempt.job == stream_job && attempt.node == peer.member; };
  for (const auto& [id, record] : records_) {
    const auto found = std::find_if(record.attempts.begin(), record.attempts.end(), is_it);
    if (found == record.attempts.end() || !owed(record, *found)) continue;
    if (status != nullptr && status->state == job::JobState::Finished) {
      effects_.push_back(wire::Send{peer.id, wire::Collected{stream_job}});  // too late to cancel: let it be wiped
      return;
    }
    Task* task = task_of(id);
    Record told = task != nullptr ? task->record : record;
    Attempt& attempt = *std::find_if(told.attempts.begin(), told.attempts.end(), is_it);
    attempt.state = AttemptState::Over;
    attempt.reason =
        told.state == RecordState::Closed ? "collected, and wiped there" : "not needed, and the node knows";
    if (task != nullptr) task->record = told;
    return save(told);
  }
}

void Client::end(Task& task, std::optional<Error> error, bool resumable) {
  task.ended = true;
  task.placing = false;
  updates_.push_back(Ended{task.record.id, std::move(error), resumable});
}

}  // namespace tomogrid::client
