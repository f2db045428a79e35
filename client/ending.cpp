// How a job ends: the winner told, second runs cancelled, failures recorded.
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

void Client::end(Task& task, std::optional<Error> error, bool resumable) {
  task.ended = true;
  task.placing = false;
  updates_.push_back(Ended{task.record.id, std::move(error), resumable});
}

}  // namespace tomogrid::client
