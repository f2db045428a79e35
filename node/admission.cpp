// Who gets in: Open, Reserve, Release and the queue.
#include <algorithm>
#include <cmath>
#include <set>

#include "base/text.h"
#include "node/node.h"
#include "wire/messages/bounds.h"

namespace tomogrid::node {

namespace {

// A manager's clock and ours may differ a little; a ticket that nobody told us about is not worth more care.
constexpr std::chrono::milliseconds kTicketGrace = std::chrono::seconds(60);
constexpr std::chrono::milliseconds kTicketLifeMax = std::chrono::seconds(60);
constexpr std::size_t kWaitingOpensMax = 256;
constexpr std::size_t kReservationsMax = 1024;
constexpr std::uint64_t kSizeMax = std::uint64_t{1} << 60;

std::uint64_t total_length(const std::vector<InputRecord>& inputs) {
  std::uint64_t total = 0;
  for (const InputRecord& input : inputs) total += input.fact.length.count();  // each within its descriptor's limit
  return total;
}

bool same_content(const JobRecord& record, const JobRecord& other) {
  return record.service == other.service && record.parameters == other.parameters &&
         std::equal(record.inputs.begin(), record.inputs.end(), other.inputs.begin(), other.inputs.end(),
                    [](const InputRecord& a, const InputRecord& b) {
                      return a.fact.name == b.fact.name && a.fact.length == b.fact.length;
                    });
}

std::string grant_text(const job::Grant& grant) {
  return std::to_string(grant.cores) + " cores, " + human_bytes(grant.memory.count()) + " memory, " +
         human_bytes(grant.scratch.count()) + " scratch";
}

}  // namespace

const job::ServiceDescriptor* Node::service(const job::ServiceName& name) const {
  const auto found = std::find_if(services_.begin(), services_.end(),
                                  [&](const job::ServiceDescriptor& service) { return service.service == name; });
  return found == services_.end() ? nullptr : &*found;
}

void Node::refuse(const wire::Peer& peer, const wire::OpenRefused& refusal) {
  audit(&peer, "open-job", &refusal.job, "refused: " + refusal.code);
  send(peer.id, refusal);
}

// The order of the checks is part of the protocol: what exists is answered before anything can expire or be used up.
void Node::on_open(const wire::Peer& peer, const wire::Open& open, bool may_wait) {
  if (const auto allowed = certs::require(peer.roles, certs::Verb::OpenJob); !allowed) {
    return refuse(peer, {open.job, "role", allowed.error().message, job::Retry::Never});
  }
  const wire::JobKey key{peer.member, open.job};
  JobRecord record;
  record.key = key;
  const auto content = check_content(open, record);
  if (const JobRecord* existing = find(key)) {
    if (content && content->code == "service") return refuse(peer, *content);
    if (content || !same_content(*existing, record)) {
      return refuse(peer, {open.job, "conflict",
                           "this job was opened before with another service, parameters or inputs", job::Retry::Never});
    }
    return answer_existing(peer, open, *existing);
  }
  if (may_wait && !take_open_token(peer)) {
    return refuse(peer, {open.job, "quota",
                         "more than " + std::to_string(quota(peer).opens_per_minute) +
                             " jobs opened in a minute; wait and try again",
                         job::Retry::Here});
  }
  if (content) return refuse(peer, *content);
  if (const auto needs = check_needs(open, record)) return refuse(peer, *needs);
  if (draining_) return refuse(peer, {open.job, "draining", "this node takes no more jobs", job::Retry::Elsewhere});

  std::optional<job::Grant> grant;
  if (open.ticket) {
    wire::Ticket ticket;
    if (const auto bad = check_ticket(peer, open, ticket)) return refuse(peer, *bad);
    record.managed = true;
    record.ticket = ticket.id;
    if (const auto held = reservations_.find(ticket.id); held != reservations_.end()) {
      grant = held->second.body.grant;
      grant->scratch = Bytes(std::max(grant->scratch.count(), total_length(record.inputs)));
      record.needs.scratch = grant->scratch;
    } else if (!certs::may(peer.roles, certs::Verb::OpenDirect) && !signed_by_known_manager(*open.ticket)) {
      if (may_wait && waiting_opens_.size() < kWaitingOpensMax) {
        waiting_opens_.push_back({peer.id, open, now_.instant + options_.ticket_wait});
        return;
      }
      return refuse(peer, {open.job, "ticket", "no manager has told this node of the ticket", job::Retry::Elsewhere});
    }
  } else if (const auto allowed = certs::require(peer.roles, certs::Verb::OpenDirect); !allowed) {
    return refuse(peer, {open.job, "role", allowed.error().message, job::Retry::Never});
  }
  if (const auto over = check_quota(peer, record)) return refuse(peer, *over);
  if (grant) {
    // The reservation turns into the job's hold; only what it asks beyond has to fit.
    const Reservation reservation = reservations_.at(record.ticket);
    end_reservation(record.ticket);
    if (!ledger_.fits(*grant) && grant->scratch > reservation.body.grant.scratch) {
      return refuse(peer, {open.job, "capacity",
                           "inputs of " + human_bytes(grant->scratch.count()) + ", " +
                               human_bytes(reservation.body.grant.scratch.count()) + " reserved",
                           job::Retry::Elsewhere});
    }
    return accept(peer, std::move(record), grant);
  }
  const bool somebody_waits =
      std::any_of(jobs_.begin(), jobs_.end(), [&](const auto& item) { return wants_cores(item.second); });
  if (!somebody_waits) grant = ledger_.fit(record.needs, options_.cores_per_job_max);
  if (!grant) {
    const wire::Capacity free = ledger_.free();
    const std::string have = std::to_string(free.cores_free) + " cores, " + human_bytes(free.memory_free.count()) +
                             " memory, " + human_bytes(free.scratch_free.count()) + " scratch free";
    const std::string asked =
        "at least " + grant_text({record.needs.cores_min, record.needs.memory, record.needs.scratch});
    if (!ledger_.could_ever_fit(record.needs, options_.cores_per_job_max)) {
      return refuse(peer,
                    {open.job, "capacity", asked + " asked, more than this node has: " + have, job::Retry::Elsewhere});
    }
    const auto queued = std::count_if(jobs_.begin(), jobs_.end(), [](const auto& item) {
      return !item.second.granted && !job::is_terminal(item.second.record.state);
    });
    const bool room =
        static_cast<std::size_t>(queued) < options_.queue_max && ledger_.fits({0, Bytes(), record.needs.scratch});
    if (open.ticket || !room) {
      return refuse(peer, {open.job, "capacity", asked + " asked, " + have, job::Retry::Elsewhere});
    }
  }
  accept(peer, std::move(record), grant);
}

void Node::answer_existing(const wire::Peer& peer, const wire::Open& open, const JobRecord& record) {
  if (!record.managed && open.ticket) {
    // Opened directly before, now through a manager: its reservation is not needed.
    if (const auto ticket = wire::decode_ticket(open.ticket->body); ticket && ticket->job == open.job) {
      if (const auto held = reservations_.find(ticket->id);
          held != reservations_.end() && held->second.body.client == peer.member) {
        end_reservation(ticket->id);
      }
    }
  }
  audit(&peer, "open-job", &open.job, "again");
  if (Job* job = find_job(record.key)) return watch(peer, *job);
  send_status(peer.id, record);
}

// Fills in what the job will be from what was asked; or says what is wrong with it.
std::optional<wire::OpenRefused> Node::check_content(const wire::Open& open, JobRecord& record) const {
  const auto bad = [&](const char* code, const std::string& reason, job::Retry retry) {
    return wire::OpenRefused{open.job, code, reason, retry};
  };
  const job::ServiceDescriptor* descriptor = service(open.service);
  if (descriptor == nullptr) {
    return bad("service", "this node does not have " + to_string(open.service), job::Retry::Elsewhere);
  }
  record.service = open.service;
  auto parameters = job::complete_parameters(*descriptor, open.parameters);
  if (!parameters) return bad("parameters", parameters.error().message, job::Retry::Never);
  record.parameters = job::canonical_text(*parameters);

  std::set<std::string> given;
  for (const job::StreamFact& input : open.inputs) {
    const auto described = std::find_if(descriptor->inputs.begin(), descriptor->inputs.end(),
                                        [&](const job::StreamDescriptor& item) { return item.name == input.name; });
    if (described == descriptor->inputs.end()) {
      return bad("input", to_string(open.service) + " has no input " + printable(input.name), job::Retry::Never);
    }
    if (!given.insert(input.name).second)
      return bad("input", "input " + input.name + " is given twice", job::Retry::Never);
    if (input.length > described->limit || input.length.count() > kSizeMax) {
      return bad("input",
                 "input " + input.name + " has " + human_bytes(input.length.count()) + ", " +
                     human_bytes(described->limit.count()) + " allowed",
                 job::Retry::Never);
    }
    record.inputs.push_back({{input.name, input.length, {}}, false});
  }
  for (const job::StreamDescriptor& item : descriptor->inputs) {
    if (item.required && !given.contains(item.name))
      return bad("input", "input " + item.name + " is missing", job::Retry::Never);
  }
  std::sort(record.inputs.begin(), record.inputs.end(),
            [](const InputRecord& a, const InputRecord& b) { return a.fact.name < b.fact.name; });
  return std::nullopt;
}

std::optional<wire::OpenRefused> Node::check_needs(const wire::Open& open, JobRecord& record) const {
  const auto bad = [&](const char* code, const std::string& reason, job::Retry retry) {
    return wire::OpenRefused{open.job, code, reason, retry};
  };
  const job::ServiceDescriptor* descriptor = service(open.service);
  record.needs = open.needs;
  if (std::max(record.needs.memory, record.needs.scratch).count() > kSizeMax) {
    return bad("capacity", human_bytes(std::max(record.needs.memory, record.needs.scratch).count()) + " asked",
               job::Retry::Elsewhere);
  }
  record.needs.cores_min = std::max(record.needs.cores_min, 1U);
  record.needs.memory = std::max(record.needs.memory, descriptor->memory_least);
  record.needs.scratch = std::max(record.needs.scratch, Bytes(total_length(record.inputs)));
  if (!(std::isfinite(record.needs.work.count()) && record.needs.work.count() >= 0)) record.needs.work = FlopCount();
  if (record.needs.cores_max != 0 && record.needs.cores_max < record.needs.cores_min) {
    return bad("parameters",
               "at most " + std::to_string(record.needs.cores_max) + " cores asked, but at least " +
                   std::to_string(record.needs.cores_min),
               job::Retry::Never);
  }
  for (const std::string& label : record.needs.labels) {
    if (std::find(options_.labels.begin(), options_.labels.end(), label) == options_.labels.end()) {
      return bad("capacity", "this node has no label " + printable(label), job::Retry::Elsewhere);
    }
  }
  return std::nullopt;
}

std::optional<wire::OpenRefused> Node::check_ticket(const wire::Peer& peer, const wire::Open& open,
                                                    wire::Ticket& ticket) const {
  const auto bad = [&](const char* code, const std::string& reason) {
    return wire::OpenRefused{open.job, code, reason, job::Retry::Elsewhere};
  };
  auto decoded = open.ticket->kind == certs::kinds::ticket
                     ? wire::decode_ticket(open.ticket->body)
                     : Result<wire::Ticket>(Error{ErrorCode::BadInput, "the record is not a ticket"});
  if (!decoded) return bad("ticket", decoded.error().message);
  ticket = *std::move(decoded);
  if (ticket.node != identity_.member()) return bad("ticket", "the ticket is for another node");
  if (ticket.client != peer.member) return bad("ticket", "the ticket is another member's");
  if (ticket.job != open.job) return bad("replayed", "the ticket is for another job");
  if (ticket.service != open.service) return bad("ticket", "the ticket is for " + to_string(ticket.service));
  if (const auto held = reservations_.find(ticket.id); held != reservations_.end()) {
    if (held->second.ticket != *open.ticket)
      return bad("ticket", "the ticket differs from what its manager told this node");
    return std::nullopt;
  }
  if (ticket.issued + std::min(ticket.ttl, kTicketLifeMax) + kTicketGrace < now_.wall) {
    return bad("ticket", "the ticket has expired; ask a manager again");
  }
  return std::nullopt;
}

certs::Quota Node::quota(const wire::Peer& peer) const {
  certs::Quota least = options_.per_member;
  if (!peer.chain || peer.chain->links.empty()) return least;
  const auto certificate = certs::decode_certificate(peer.chain->links.front().body);  // verified at hello
  if (!certificate) return least;
  least.jobs = std::min(least.jobs, certificate->quota.jobs);
  least.scratch = std::min(least.scratch, certificate->quota.scratch);
  least.opens_per_minute = std::min(least.opens_per_minute, certificate->quota.opens_per_minute);
  return least;
}

std::optional<wire::OpenRefused> Node::check_quota(const wire::Peer& peer, const JobRecord& record) const {
  const certs::Quota allowed = quota(peer);
  std::uint32_t open_jobs = 0;
  std::uint64_t scratch = record.needs.scratch.count();
  for (auto it = jobs_.lower_bound({peer.member, job::JobId{}}); it != jobs_.end() && it->first.client == peer.member;
       ++it) {
    if (!job::is_terminal(it->second.record.state)) ++open_jobs;
    scratch += it->second.record.needs.scratch.count();
  }
  const auto over = [&](const std::string& reason) {
    return wire::OpenRefused{record.key.job, "quota", reason, job::Retry::Here};
  };
  if (open_jobs >= allowed.jobs) {
    return over(std::to_string(open_jobs) + " of your jobs are open here, " + std::to_string(allowed.jobs) +
                " allowed");
  }
  if (scratch > allowed.scratch.count()) {
    return over("your jobs would hold " + human_bytes(scratch) + " of scratch here, " +
                human_bytes(allowed.scratch.count()) + " allowed");
  }
  return std::nullopt;
}

bool Node::signed_by_known_manager(const certs::Signed& ticket) const {
  return std::any_of(peers_.begin(), peers_.end(), [&](const auto& item) {
    const wire::Peer& peer = item.second;
    return certs::may(peer.roles, certs::Verb::Reserve) &&
           certs::verify(ticket, certs::kinds::ticket, peer.signing_key).has_value();
  });
}

bool Node::take_open_token(const wire::Peer& peer) {
  const double most = quota(peer).opens_per_minute;
  OpenRate& rate = open_rates_.try_emplace(peer.member, OpenRate{most, now_.instant}).first->second;
  rate.tokens = std::min(most, rate.tokens + most / 60.0 * Seconds(now_.instant - rate.at).count());
  rate.at = now_.instant;
  if (rate.tokens < 1.0) return false;
  rate.tokens -= 1.0;
  return true;
}

void Node::accept(const wire::Peer& peer, JobRecord record, std::optional<job::Grant> grant) {
  record.order = next_order_++;
  record.accepted = now_.wall;
  if (grant) record.grant = *grant;
  Job& job = jobs_[record.key];
  job.record = std::move(record);
  job.granted = grant.has_value();
  job.last_input = now_.instant;
  for (const InputRecord& input : job.record.inputs) job.inputs[input.fact.name];
  ledger_.hold(job.record.key, grant ? *grant : job::Grant{0, Bytes(), job.record.needs.scratch});
  if (job.record.managed) remember_ticket(job.record.ticket);
  audit(&peer, "open-job", &job.record.key.job, "done");
  persist(job.record);
  std::vector<job::StreamFact> inputs;
  for (const InputRecord& input : job.record.inputs) inputs.push_back(input.fact);
  emit(wire::PrepareScratch{job.record.key, std::move(inputs)});
  watch(peer, job);
  start_if_ready(job);
}

void Node::remember_ticket(const job::TicketId& ticket) {
  const auto same = [&](const auto& item) { return item.second == ticket; };
  recent_tickets_.erase(std::remove_if(recent_tickets_.begin(), recent_tickets_.end(), same), recent_tickets_.end());
  recent_tickets_.emplace_back(now_.instant, ticket);
  while (recent_tickets_.size() > wire::kRecentTicketsMax) recent_tickets_.pop_front();
}

void Node::refuse_reservation(const wire::Peer& peer, const job::TicketId& ticket, const char* code,
                              const std::string& reason) {
  audit(&peer, "reserve", nullptr, std::string("refused: ") + code);
  send(peer.id, wire::ReserveRefused{ticket, code, reason});
}

void Node::on_reserve(const wire::Peer& peer, const wire::Reserve& reserve) {
  auto decoded = reserve.ticket.kind == certs::kinds::ticket
                     ? wire::decode_ticket(reserve.ticket.body)
                     : Result<wire::Ticket>(Error{ErrorCode::BadInput, "the record is not a ticket"});
  if (!decoded) return refuse_reservation(peer, {}, "ticket", decoded.error().message);
  const wire::Ticket& ticket = *decoded;
  if (const auto allowed = certs::require(peer.roles, certs::Verb::Reserve); !allowed) {
    return refuse_reservation(peer, ticket.id, "role", allowed.error().message);
  }
  if (const auto genuine = certs::verify(reserve.ticket, certs::kinds::ticket, peer.signing_key); !genuine) {
    return refuse_reservation(peer, ticket.id, "ticket", "the ticket is not signed by the manager that brings it");
  }
  if (ticket.node != identity_.member())
    return refuse_reservation(peer, ticket.id, "ticket", "the ticket is for another node");
  if (ticket.boot != options_.boot) return refuse_reservation(peer, ticket.id, "boot", "this node has restarted since");
  const JobRecord* opened = find({ticket.client, ticket.job});
  if (reservations_.contains(ticket.id) || opened != nullptr) {
    // Said twice, or the client was here first: the job holds what it needs.
    if (opened != nullptr) remember_ticket(ticket.id);
    return send(peer.id, wire::Reserved{ticket.id});
  }
  if (draining_) return refuse_reservation(peer, ticket.id, "draining", "this node takes no more jobs");
  if (service(ticket.service) == nullptr) {
    return refuse_reservation(peer, ticket.id, "service", "this node does not have " + to_string(ticket.service));
  }
  if (ticket.grant.cores == 0 || !ledger_.fits(ticket.grant) || reservations_.size() >= kReservationsMax) {
    return refuse_reservation(peer, ticket.id, "capacity", grant_text(ticket.grant) + " do not fit now");
  }
  // From when we hear of it, not from when it was issued: clocks differ, and the manager counts alike.
  const auto life = std::clamp(ticket.ttl, std::chrono::milliseconds(0), kTicketLifeMax);
  reservations_[ticket.id] = {reserve.ticket, ticket, peer.member, now_.instant + life};
  ledger_.hold(ticket.id, ticket.grant);
  remember_ticket(ticket.id);
  report("reservation.made", {{"ticket", job::short_text(ticket.id)},
                              {"cores", std::to_string(ticket.grant.cores)},
                              {"manager", certs::short_text(peer.member)}});
  send(peer.id, wire::Reserved{ticket.id});
}

void Node::on_release(const wire::Peer& peer, const wire::Release& release) {
  const auto found = reservations_.find(release.ticket);
  if (found == reservations_.end() || found->second.manager != peer.member) return;
  report("reservation.released", {{"ticket", job::short_text(release.ticket)}});
  end_reservation(release.ticket);
}

void Node::end_reservation(job::TicketId ticket) {
  reservations_.erase(ticket);
  ledger_.release(ticket);
}

void Node::retry_waiting_opens() {
  std::deque<WaitingOpen> waiting;
  waiting.swap(waiting_opens_);
  for (WaitingOpen& item : waiting) {
    const wire::Peer* from = peer(item.peer);
    if (from == nullptr) continue;
    const auto ticket = wire::decode_ticket(item.open.ticket->body);
    const bool told = ticket && reservations_.contains(ticket->id);
    if (told || item.until <= now_.instant)
      on_open(wire::Peer(*from), item.open, false);
    else
      waiting_opens_.push_back(std::move(item));
  }
}

bool Node::wants_cores(const Job& job) const {
  return !job.granted && !job::is_terminal(job.record.state) &&
         (job.record.input_complete() || (!job.watchers.empty() && !job.stalled));
}

// In order of acceptance; the first that does not fit keeps its place and those behind it wait.
void Node::admit_from_queue() {
  if (!have_capacity_) return;
  std::vector<Job*> queue;
  for (auto& [key, job] : jobs_) {
    if (wants_cores(job)) queue.push_back(&job);
  }
  std::sort(queue.begin(), queue.end(), [](const Job* a, const Job* b) { return a->record.order < b->record.order; });
  for (Job* job : queue) {
    const auto grant = ledger_.fit(job->record.needs, options_.cores_per_job_max, Holder(job->record.key));
    if (!grant) return;
    ledger_.hold(job->record.key, *grant);
    job->granted = true;
    job->record.grant = *grant;
    job->last_input = now_.instant;
    start_if_ready(*job);
    if (!job->worker) push_status(*job);  // its grant is news
  }
}

}  // namespace tomogrid::node
