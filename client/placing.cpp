// Which node: a manager's answer, this client's own when there is none, or the user's.
#include <algorithm>

#include "client/client.h"
#include "client/state.h"
#include "manager/placement.h"

namespace tomogrid::client {

using wire::Now;

namespace {

constexpr std::size_t kDecisionsKept = 16;

std::optional<wire::Target> target_of(const wire::Advert& advert) {
  for (const wire::Route& route : advert.routes) {
    if (route.kind == "direct")
      return wire::Target{route.host, route.control_port, advert.transport_key, certs::Role::Node, advert.node};
  }
  return std::nullopt;
}

void keep(Record& record, KeptDecision decision) {
  if (record.decisions.size() >= kDecisionsKept) record.decisions.erase(record.decisions.begin());
  record.decisions.push_back(std::move(decision));
}

ByteString chain_of(const wire::Peer& peer) {
  return peer.chain ? certs::encode(*peer.chain) : ByteString{};
}

// What a manager's answer must be: about this question, to us, in its own words.
Result<std::pair<wire::Ticket, wire::Advert>> check_placed(const wire::Peer& peer, const wire::Placed& placed,
                                                           const wire::Place& asked, const certs::MemberId& me) {
  const auto wrong = [&peer](const std::string& what) {
    return Error{ErrorCode::Unverified, "manager " + peer.name + " answered with " + what};
  };
  for (const auto& [record, kind] :
       {std::pair{&placed.ticket, certs::kinds::ticket}, std::pair{&placed.decision, certs::kinds::decision}}) {
    if (auto good = certs::verify(*record, kind, peer.signing_key); !good)
      return wrong("a " + std::string(kind) + " it did not sign");
  }
  const auto ticket = wire::decode_ticket(placed.ticket.body);
  const auto decision = wire::decode_decision(placed.decision.body);
  const auto advert = registry::open_advert(placed.advert);
  if (!ticket || !decision || !advert) return wrong("a record that cannot be read");
  if (ticket->client != me || ticket->job != asked.job || ticket->service != asked.service)
    return wrong("a ticket for another job");
  if (ticket->node != advert->node || decision->winner != ticket->node)
    return wrong("a ticket for another node than it chose");
  if (decision->place != asked) return wrong("a decision about another request");
  return std::pair{*ticket, *advert};
}

}  // namespace

void Client::begin_placing(const Now& now, Task& task) {
  task.placing = true;
  task.placing_since = now.instant;
  task.manager.reset();
  task.managers_failed.clear();
  // A node where a run of this id is over would only answer that it is over; a ticket is bound to its job's id.
  task.next_job = task.record.id;
  for (const Attempt& attempt : task.record.attempts) {
    if (attempt.state == AttemptState::Over && attempt.job == task.next_job) task.next_job = ids_.make<job::JobId>();
  }
}

void Client::stop_placing(Task& task) {
  task.placing = false;
  if (task.manager) {
    if (const wire::Peer* peer = peer_of(*task.manager))
      effects_.push_back(wire::Send{peer->id, wire::CancelPlace{task.request}});
  }
  task.manager.reset();
  task.answer_due.reset();
}

void Client::step_placing(const Now& now, Task& task) {
  std::erase_if(task.excluded, [&now](const auto& entry) { return entry.second <= now.instant; });
  if (task.place_at && now.instant < *task.place_at) return;
  task.place_at.reset();
  if (task.attempts_here >= options_.attempts_max) {
    return fail(now, task,
                {ErrorCode::JobFailed,
                 "gave up after " + std::to_string(task.attempts_here) + " attempts; the last: " + task.last_reason});
  }
  if (task.pin) return open_pinned(now, task);
  if (task.manager) {
    const bool silent = task.answer_due && now.instant >= *task.answer_due;
    if (const wire::Peer* peer = peer_of(*task.manager); peer != nullptr && !silent) {
      const auto& asked = task.asked.excluded;
      const bool stale =
          std::any_of(asked.begin(), asked.end(), [&task](const auto& node) { return !task.excluded.contains(node); });
      if (!stale) return;
      effects_.push_back(
          wire::Send{peer->id, wire::CancelPlace{task.request}});  // a node that failed may be tried again
    }
    if (silent) task.managers_failed.insert(*task.manager);
    task.manager.reset();
    task.answer_due.reset();
  }
  std::string why = "no manager is configured";
  for (const wire::Target& manager : options_.managers) {
    const LinkKey& key = manager.transport_key;
    if (task.managers_failed.contains(key)) continue;
    links_.want(now, manager, effects_);
    if (peer_of(key) != nullptr) return place_by_manager(now, task, key);
    if (failures_of(key) == 0) return;  // the first dial is under way
    why = "manager at " + manager.host + ":" + std::to_string(manager.control_port) + ": " + why_not(key);
  }
  for (const wire::Target& manager : options_.managers) {
    if (const Error* no = refused(manager.transport_key))
      return give_up(now, task, {no->code, "no session with the manager: " + no->message});
  }
  place_here(now, task, why);
}

void Client::place_by_manager(const Now& now, Task& task, const LinkKey& manager) {
  task.manager = manager;
  task.request = ids_.make<job::RequestId>();
  task.answer_due = now.instant + options_.answer;
  wire::Place place{task.request, task.next_job, task.record.service, task.record.needs, {}};
  for (const auto& [node, until] : task.excluded) {
    if (place.excluded.size() < wire::kExcludedMax) place.excluded.push_back(node);
  }
  effects_.push_back(wire::Send{peer_of(manager)->id, place});
  task.asked = std::move(place);
}

// Without a manager: the same decision over the adverts that registries tell, signed by this client, and no ticket.
void Client::place_here(const Now& now, Task& task, const std::string& why_no_manager) {
  if (watcher_.nodes().empty()) {
    if (now.instant - task.placing_since < options_.find) return;
    const std::string registries = watcher_.registries_known() == 0 ? "no registry is known"
                                   : watcher_.registries_up() == 0  ? "no registry can be reached"
                                                                    : "no node is listed";
    return give_up(now, task,
                   {ErrorCode::Unreachable, registries + ", and " + why_no_manager +
                                                "; is the federation up? A node can be asked directly with --node"});
  }
  if (!watcher_.complete() && now.instant - task.placing_since < options_.listen) {
    task.place_at = task.placing_since + options_.listen;  // an incomplete listing is no reason to take the first node
    return;
  }
  if (!std::exchange(task.told_local, true)) say(task, why_no_manager + "; this client places the job by itself");
  wire::Place place{ids_.make<job::RequestId>(), task.next_job, task.record.service, task.record.needs, {}};
  for (const auto& [node, until] : task.excluded) {
    if (place.excluded.size() < wire::kExcludedMax) place.excluded.push_back(node);
  }
  const manager::Decision decision =
      manager::place({place, identity_.member(), identity_.member(), now}, watcher_.nodes());
  if (decision.outcome == manager::Decision::Outcome::Placed) {
    keep(task.record, {identity_.signed_record(certs::kinds::decision, wire::encode_body(decision.record)), {}});
    const wire::Advert& advert = decision.winner->advert;
    if (const auto target = target_of(advert)) {
      return begin_attempt(
          now, task,
          {task.next_job, advert.node, advert.name, *target, std::nullopt, AttemptState::Opening, "", now.wall});
    }
    task.excluded[advert.node] = now.instant + options_.lost_pause;
  } else if (decision.outcome == manager::Decision::Outcome::Unplaceable && task.excluded.empty()) {
    keep(task.record, {identity_.signed_record(certs::kinds::decision, wire::encode_body(decision.record)), {}});
    return fail(now, task, {ErrorCode::Unplaceable, "no node can run this: " + decision.reason});
  } else {
    updates_.push_back(InQueue{task.record.id, 0, std::nullopt, decision.reason});
  }
  task.place_at = now.instant + options_.look_again;
}

void Client::open_pinned(const Now& now, Task& task) {
  const auto target = resolve(*task.pin);
  if (target)
    return begin_attempt(now, task,
                         {task.next_job, target->member.value_or(certs::MemberId{}), task.pin->name, *target,
                          std::nullopt, AttemptState::Opening, "", now.wall});
  if (now.instant - task.placing_since < options_.find) return;
  give_up(now, task,
          {ErrorCode::Unreachable, "nobody tells where node " + task.pin->name +
                                       " is: no registry that can be reached lists it, and it has not been used "
                                       "before; give its address, HOST:PORT,KEY, instead of the name"});
}

// What a registry says now; else what the user configured or what the journal remembers.
std::optional<wire::Target> Client::resolve(const NodePin& pin) const {
  if (pin.target) return pin.target;
  for (const registry::NodeView& node : watcher_.nodes()) {
    if (node.advert.name == pin.name) return target_of(node.advert);
  }
  const auto known = known_nodes_.find(pin.name);
  if (known == known_nodes_.end()) return std::nullopt;
  return known->second.target;
}

// A node that was restarted may listen elsewhere: what it says of itself now, or where it was reached last, is newer
// than what an attempt remembers.
void Client::follow(Attempt& attempt) const {
  if (const registry::NodeView* node = watcher_.find(attempt.node);
      node != nullptr && node->advert.transport_key == attempt.target.transport_key) {
    if (const auto target = target_of(node->advert)) attempt.target = *target;
    return;
  }
  for (const auto& [name, known] : known_nodes_) {
    if (known.target.transport_key != attempt.target.transport_key) continue;
    attempt.target.host = known.target.host;
    attempt.target.control_port = known.target.control_port;
  }
}

void Client::on(const Now&, const wire::Peer& peer, const wire::Waiting& message) {
  for (auto& [id, task] : tasks_) {
    if (!task->placing || !task->manager || task->request != message.request || links_.key_of(peer.id) != task->manager)
      continue;
    task->answer_due.reset();  // a subscription now: it speaks when something changes
    updates_.push_back(InQueue{id, message.position, message.earliest, message.reason});
  }
}

void Client::on(const Now& now, const wire::Peer& peer, const wire::Placed& message) {
  for (auto& [id, task] : tasks_) {
    if (!task->placing || !task->manager || task->request != message.request || links_.key_of(peer.id) != task->manager)
      continue;
    const auto checked = check_placed(peer, message, task->asked, identity_.member());
    const auto target = checked ? target_of(checked->second) : std::nullopt;
    if (!target) {
      say(*task,
          checked ? "node " + checked->second.name + " tells no address that can be dialled" : checked.error().message);
      task->managers_failed.insert(*task->manager);
      task->manager.reset();
      return;
    }
    keep(task->record, {message.decision, chain_of(peer)});
    begin_attempt(now, *task,
                  {task->next_job, checked->first.node, checked->second.name, *target, message.ticket,
                   AttemptState::Opening, "", now.wall});
    return;
  }
}

void Client::on(const Now& now, const wire::Peer& peer, const wire::Unplaceable& message) {
  for (auto& [id, task] : tasks_) {
    if (!task->placing || !task->manager || task->request != message.request || links_.key_of(peer.id) != task->manager)
      continue;
    task->manager.reset();
    task->answer_due.reset();
    if (certs::verify(message.decision, certs::kinds::decision, peer.signing_key))
      keep(task->record, {message.decision, chain_of(peer)});
    if (!task->excluded.empty()) {  // nothing but the nodes that just failed: those again, after a pause
      task->excluded.clear();
      task->place_at = now.instant + options_.refused_pause;
      ++task->attempts_here;
      return;
    }
    return fail(now, *task, {ErrorCode::Unplaceable, "no node can run this: " + message.reason});
  }
}

void Client::begin_attempt(const Now& now, Task& task, Attempt attempt) {
  task.placing = false;
  task.manager.reset();
  task.answer_due.reset();
  for (std::size_t i = 0; i < task.runs.size(); ++i) {
    const Attempt& earlier = task.record.attempts[i];
    if (earlier.state == AttemptState::Over || earlier.target.transport_key != attempt.target.transport_key) continue;
    // It is still open there: go on with that one.
    task.record.attempts[i].target = attempt.target;
    if (task.runs[i].down_since) task.runs[i].down_since = now.instant;
    ++task.attempts_here;
    return step_run(now, task, i);
  }
  ++task.attempts_here;
  Run run;
  run.link = attempt.target.transport_key;
  run.down_since = now.instant;
  task.runs.push_back(std::move(run));
  task.record.attempts.push_back(std::move(attempt));
  step_run(now, task, task.runs.size() - 1);
}

}  // namespace tomogrid::client
