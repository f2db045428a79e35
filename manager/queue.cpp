// The manager's queue: who is next, and what each request is answered.
#include <algorithm>

#include "base/text.h"
#include "manager/manager.h"

namespace tomogrid::manager {

bool Manager::settled(const wire::Now& now) const {
  return complete_since_ && now.instant - *complete_since_ >= options_.settle;
}

std::size_t Manager::pending_of(const certs::MemberId& client) const {
  const auto begin = pending_.lower_bound({client, {}});
  const auto end =
      std::find_if(begin, pending_.end(), [&client](const auto& entry) { return entry.first.client != client; });
  return static_cast<std::size_t>(std::distance(begin, end));
}

// Who joins takes the turn that is on: waiting without a request earns nothing.
void Manager::enter_turns(const certs::MemberId& client) {
  if (turns_.contains(client)) return;
  const auto least =
      std::min_element(turns_.begin(), turns_.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const std::uint64_t turn = least == turns_.end() ? 0 : least->second;
  turns_[client] = turn;
}

void Manager::leave_turns(const certs::MemberId& client, bool placed) {
  if (pending_of(client) == 0) {
    turns_.erase(client);
  } else if (placed) {
    ++turns_.at(client);
  }
}

// Members take turns, one request each; within a turn by arrival.
std::vector<Manager::RequestKey> Manager::fair_order() const {
  std::map<certs::MemberId, std::vector<std::uint64_t>> arrivals;
  for (const auto& [key, pending] : pending_) arrivals[key.client].push_back(pending.order);
  for (auto& [client, orders] : arrivals) std::sort(orders.begin(), orders.end());
  std::vector<std::pair<std::pair<std::uint64_t, std::uint64_t>, RequestKey>> ranked;
  ranked.reserve(pending_.size());
  for (const auto& [key, pending] : pending_) {
    const auto& orders = arrivals[key.client];
    const auto turn = std::lower_bound(orders.begin(), orders.end(), pending.order) - orders.begin();
    ranked.push_back({{turns_.at(key.client) + static_cast<std::uint64_t>(turn), pending.order}, key});
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<RequestKey> order;
  order.reserve(ranked.size());
  for (const auto& [rank, key] : ranked) order.push_back(key);
  return order;
}

void Manager::run_queue(const wire::Now& now) {
  pass_wanted_ = false;
  uncommitted_.clear();
  Closed closed = closed_;
  // What has failed in this pass fails again: holds only grow and nodes only close within it.
  std::vector<std::pair<const wire::Place*, std::string>> failed;
  std::uint32_t position = 0;
  for (const RequestKey& key : fair_order()) {
    Pending& pending = pending_.at(key);
    if (pending.peer == 0) {  // keeps its place while it is away
      ++position;
      continue;
    }
    const auto same = std::find_if(failed.begin(), failed.end(), [&pending](const auto& other) {
      const wire::Place& place = *other.first;
      return place.service == pending.place.service && place.needs == pending.place.needs &&
             place.excluded == pending.place.excluded;
    });
    const bool known =
        same != failed.end() && !pending.over_limit && held_by(key.client) < options_.held_per_member_max;
    const std::string reason = known ? same->second : try_to_answer(now, key, closed);
    if (reason.empty()) continue;
    ++position;
    if (!known && failed.size() < 16 && held_by(key.client) < options_.held_per_member_max)
      failed.emplace_back(&pending.place, reason);
    if (now.instant - pending.arrived >= options_.overtake) {
      for (const registry::NodeView& view : watcher_.nodes()) {
        if (could_ever(pending.place, view.advert)) closed.emplace(view.advert.node, rejections::promised);
      }
    }
    tell(now, pending, position, reason);
  }
  pass_at_ = pending_.empty() ? now.instant : now.instant + options_.pass_interval;
  tell_at_ = pending_.empty() ? std::nullopt : std::optional<Instant>(now.instant + options_.tell);
}

// Answers a request if it can be answered now; otherwise says why it waits.
std::string Manager::try_to_answer(const wire::Now& now, const RequestKey& key, const Closed& closed) {
  const Pending& pending = pending_.at(key);
  if (pending.over_limit) {
    wire::DecisionRecord record;
    record.place = pending.place;
    record.client = key.client;
    record.decided_by = identity_.member();
    record.decided = now.wall;
    answer_unplaceable(now, key,
                       "this manager's queue is full for you; ask again when some of your requests are placed",
                       std::move(record));
    return "";
  }
  if (held_by(key.client) >= options_.held_per_member_max) {
    return "you hold " + std::to_string(options_.held_per_member_max) + " placements that are not used yet";
  }
  Decision decision =
      place(Asked{pending.place, key.client, identity_.member(), now}, watcher_.nodes(), holds_, closed);
  if (decision.outcome == Decision::Outcome::Placed) {
    answer_placed(now, key, std::move(decision));
    return "";
  }
  if (decision.outcome == Decision::Outcome::Unplaceable && settled(now)) {
    answer_unplaceable(now, key, decision.reason, std::move(decision.record));
    return "";
  }
  if (watcher_.nodes().empty() && !watcher_.complete()) return "no registry can be reached yet";
  return decision.reason;
}

void Manager::answer_placed(const wire::Now& now, const RequestKey& key, Decision decision) {
  auto entry = pending_.extract(key);
  Pending& pending = entry.mapped();
  const registry::NodeView& node = *decision.winner;

  wire::Ticket ticket;
  ticket.id = ids_.make<job::TicketId>();
  ticket.node = node.advert.node;
  ticket.boot = node.advert.boot;
  ticket.client = key.client;
  ticket.job = pending.place.job;
  ticket.service = pending.place.service;
  ticket.grant = decision.record.grant;
  ticket.issued = now.wall;
  ticket.ttl = options_.ticket_ttl;

  Placement placement;
  placement.place = pending.place;
  placement.answer.request = pending.place.request;
  placement.answer.advert = node.record;
  placement.answer.ticket = identity_.signed_record(certs::kinds::ticket, wire::encode_body(ticket));
  placement.answer.decision = sign(decision.record);
  // Many candidates and a long advert may exceed a frame: leave out the last ones, which did not win.
  while (decision.record.candidates.size() > 16 && !wire::fits(placement.answer)) {
    const std::size_t half = decision.record.candidates.size() / 2;
    decision.record.candidates_left_out += static_cast<std::uint32_t>(decision.record.candidates.size() - half);
    decision.record.candidates.resize(half);
    placement.answer.decision = sign(decision.record);
  }
  placement.ticket = ticket.id;
  placement.node = ticket.node;
  placement.boot = node.advert.boot;
  placement.sequence = node.advert.sequence;
  placement.grant = ticket.grant;
  placement.ends = now.instant + options_.ticket_ttl;

  effects_.push_back(
      wire::Persist{{"decision", job::to_string(key.request), to_hex(certs::encode(placement.answer.decision))}});
  effects_.push_back(wire::Report{true,
                                  "place",
                                  {{"member", certs::to_string(key.client)},
                                   {"job", job::to_string(pending.place.job)},
                                   {"outcome", "placed"},
                                   {"node", node.advert.name},
                                   {"cores", std::to_string(ticket.grant.cores)}}});
  if (const auto* session = session_with(ticket.node))
    effects_.push_back(wire::Send{session->id, wire::Reserve{placement.answer.ticket}});
  effects_.push_back(wire::Send{pending.peer, placement.answer});
  if (pending.told_position != 0) {  // it had to wait: what the next one may expect
    if (last_from_queue_) {
      const Seconds since = now.instant - *last_from_queue_;
      interval_ = interval_ ? *interval_ * 0.8 + since * 0.2 : since;
    }
    last_from_queue_ = now.instant;
  }
  hold(key, std::move(placement));
  leave_turns(key.client, true);
  uncommitted_.emplace_back(key, std::move(pending));
}

void Manager::answer_unplaceable(const wire::Now&, const RequestKey& key, const std::string& reason,
                                 wire::DecisionRecord record) {
  auto entry = pending_.extract(key);
  Pending& pending = entry.mapped();
  wire::Unplaceable answer{pending.place.request, reason, sign(record)};
  effects_.push_back(wire::Persist{{"decision", job::to_string(key.request), to_hex(certs::encode(answer.decision))}});
  effects_.push_back(wire::Report{true,
                                  "place",
                                  {{"member", certs::to_string(key.client)},
                                   {"job", job::to_string(pending.place.job)},
                                   {"outcome", "unplaceable: " + reason}}});
  effects_.push_back(wire::Send{pending.peer, std::move(answer)});
  leave_turns(key.client, false);
  uncommitted_.emplace_back(key, std::move(pending));
}

certs::Signed Manager::sign(const wire::DecisionRecord& record) {
  return identity_.signed_record(certs::kinds::decision, wire::encode_body(record));
}

// When something has changed, at most every `tell`; the first time at once.
void Manager::tell(const wire::Now& now, Pending& pending, std::uint32_t position, const std::string& reason) {
  const bool changed = pending.told_position != position || pending.told_reason != reason;
  if (!changed || (pending.told_position != 0 && now.instant < pending.told_at + options_.tell)) return;
  pending.told_position = position;
  pending.told_reason = reason;
  pending.told_at = now.instant;
  wire::Waiting waiting;
  waiting.request = pending.place.request;
  waiting.position = position;
  waiting.reason = reason;
  if (interval_) waiting.earliest = *interval_ * static_cast<double>(position);
  effects_.push_back(wire::Send{pending.peer, std::move(waiting)});
}

}  // namespace tomogrid::manager
