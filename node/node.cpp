#include "node/node.h"

#include <algorithm>

#include "wire/messages/bounds.h"

namespace tomogrid::node {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

Node::Node(const certs::Identity& identity, std::vector<job::ServiceDescriptor> services, NodeOptions options)
    : identity_(identity), services_(std::move(services)), options_(std::move(options)) {
  announcer_ =
      std::make_unique<registry::Announcer>(identity_, registry::AnnouncerOptions{.registries = options_.registries});
}

Node::~Node() = default;

void Node::set_routes(std::vector<wire::Route> routes) {
  routes_ = std::move(routes);
}

wire::Effects Node::handle(const wire::Now& now, const wire::Event& event) {
  if (failed_) return {};
  now_ = now;
  std::visit(Overloaded{
                 [&](const wire::PeerUp& e) { peers_[e.peer.id] = e.peer; },
                 [&](const wire::PeerDown& e) { drop_peer(e.peer); },
                 [&](const wire::Received& e) { on_message(e); },
                 [&](const wire::RangeStored& e) { on_range(e); },
                 [&](const wire::StreamReceived& e) { on_input(e); },
                 [&](const wire::StreamSent& e) { on_stream_end(e.peer, e.key, "", true); },
                 [&](const wire::StreamBroken& e) { on_stream_end(e.peer, e.key, e.code, false); },
                 [&](const wire::WorkerSaid& e) { on_worker_line(e); },
                 [&](const wire::WorkerExited& e) { on_worker_exit(e); },
                 [&](const wire::CapacityChanged& e) {
                   ledger_.set_capacity(e.capacity);
                   have_capacity_ = true;
                 },
                 [&](const wire::Recovered& e) { on_recovered(e); },
                 [&](const wire::StorageFailed& e) {
                   failed_ = true;
                   report("node.storage-failed", {{"reason", e.error.message}});
                   for (const auto& [id, peer] : peers_) {
                     emit(wire::ClosePeer{id, "shutdown", "the node's journal cannot be written"});
                   }
                 },
                 [&](const wire::ConnectFailed&) {},
                 [&](const wire::Discovered&) {},
                 [&](const wire::Entropy&) {},
             },
             event);
  if (failed_) return take();
  for (wire::Effect& effect : announcer_->handle(now, event)) emit(std::move(effect));
  run_pass();
  return take();
}

wire::Effects Node::advance(const wire::Now& now) {
  if (failed_) return {};
  now_ = now;
  for (wire::Effect& effect : announcer_->advance(now)) emit(std::move(effect));
  advancing_ = true;
  run_pass();
  advancing_ = false;
  return take();
}

// What follows from any event: things whose time has come, room in the queue, a changed advert.
void Node::run_pass() {
  for (auto it = reservations_.begin(); it != reservations_.end();) {
    const auto next = std::next(it);
    if (it->second.ends <= now_.instant) {
      report("reservation.expired", {{"ticket", job::short_text(it->first)}});
      end_reservation(it->first);
    }
    it = next;
  }
  retry_waiting_opens();
  for (auto it = jobs_.begin(); it != jobs_.end();) {
    Job& job = it->second;
    ++it;  // `job` may be moved to wiped_
    const bool incomplete = !job::is_terminal(job.record.state) && !job.record.input_complete();
    if (job.wipe_asked) {
      if (advancing_) record_wiped(job);
      continue;
    }
    if (incomplete && job.last_input + options_.input_patience <= now_.instant) {
      fail(job, {"timeout", "no input arrived for " + std::to_string(options_.input_patience.count() / 1000) + " s",
                 job::Retry::Elsewhere});
    } else if (incomplete && job.granted && job.stopping == Stopping::No &&
               job.last_input + options_.input_stall <= now_.instant) {
      report("job.stalled", {{"job", job::short_text(job.record.key.job)}});
      job.stalled = true;
      if (job.worker)
        stop_worker(job, Stopping::Stalled);
      else
        give_back_cores(job);
    }
    if (job.worker && job.stopping == Stopping::No && job.checkpoint_due <= now_.instant) {
      job.checkpoint_due = now_.instant + options_.checkpoint_interval;
      emit(wire::TellWorker{job.record.key, job::CheckpointNow{}});
    }
    if (job.push_due && job.pushed + options_.push_interval <= now_.instant) push_status(job);
    if (job.expires_at && *job.expires_at <= now_.instant) {
      report("job.expired", {{"job", job::short_text(job.record.key.job)}});
      ask_wipe(job);
    }
  }
  admit_from_queue();
  announce();
}

std::optional<Instant> Node::next_deadline() const {
  if (failed_) return std::nullopt;
  std::optional<Instant> next = announcer_->next_deadline();
  const auto at = [&](Instant instant) { next = next ? std::min(*next, instant) : instant; };
  for (const auto& [id, reservation] : reservations_) at(reservation.ends);
  for (const WaitingOpen& waiting : waiting_opens_) at(waiting.until);
  for (const auto& [key, job] : jobs_) {
    if (job.wipe_asked) at(now_.instant);
    if (job.worker && job.stopping == Stopping::No) at(job.checkpoint_due);
    if (job.push_due) at(job.pushed + options_.push_interval);
    if (job.expires_at && !job.wipe_asked) at(*job.expires_at);
    if (job::is_terminal(job.record.state) || job.record.input_complete()) continue;
    at(job.last_input + options_.input_patience);
    if (job.granted && job.stopping == Stopping::No) at(job.last_input + options_.input_stall);
  }
  return next;
}

void Node::on_message(const wire::Received& event) {
  const wire::Peer& from = event.peer;
  if (!peers_.contains(from.id)) return;
  std::visit(
      Overloaded{
          [&](const wire::Open& m) { on_open(from, m, true); }, [&](const wire::Reserve& m) { on_reserve(from, m); },
          [&](const wire::Release& m) { on_release(from, m); }, [&](const wire::Attach& m) { on_attach(from, m); },
          [&](const wire::CancelJob& m) { on_cancel(from, m); }, [&](const wire::Fetch& m) { on_fetch(from, m); },
          [&](const wire::Collected& m) { on_collected(from, m); }, [&](const wire::ListJobs&) { on_list(from); },
          [&](const wire::Drain& m) { on_drain(from, m); }, [&](const wire::StreamOffer& m) { on_offer(from, m); },
          [&](const auto&) {},  // the announcer's, or nothing that a node answers
      },
      event.message);
}

wire::Advert Node::advert(const wire::Now& now) const {
  const wire::Capacity free = ledger_.free();
  wire::Advert advert;
  advert.node = identity_.member();
  advert.name = identity_.name();
  advert.boot = options_.boot;
  advert.transport_key = identity_.transport_key();
  advert.routes = routes_;
  for (const job::ServiceDescriptor& service : services_) advert.services.push_back(service.service);
  advert.labels = options_.labels;
  advert.cores_total = ledger_.capacity().cores_total;
  advert.cores_free = free.cores_free;
  advert.cores_per_job_max = options_.cores_per_job_max;
  advert.rate_per_core = options_.rate_per_core;
  advert.memory_free = free.memory_free;
  advert.scratch_free = free.scratch_free;
  advert.memory_total = ledger_.capacity().memory_free;  // own work not counted: what an idle node could give
  advert.scratch_total = ledger_.capacity().scratch_free;
  advert.draining = draining_;
  for (const auto& [at, ticket] : recent_tickets_) {
    if (at + std::chrono::seconds(60) > now.instant) advert.recent_tickets.push_back(ticket);
  }
  for (const auto& [key, job] : jobs_) {
    if (job.worker)
      ++advert.jobs_running;
    else if (job.record.state == job::JobState::Queued)
      ++advert.jobs_queued;
  }
  advert.software = options_.software;
  return advert;
}

// Only when something in it has changed: each publication is signed and sent to every registry.
void Node::announce() {
  if (!have_capacity_) return;
  while (!recent_tickets_.empty() && recent_tickets_.front().first + std::chrono::seconds(60) <= now_.instant) {
    recent_tickets_.pop_front();
  }
  wire::Advert content = advert(now_);
  if (announced_ && *announced_ == content) return;
  announced_ = content;
  for (wire::Effect& effect : announcer_->publish(now_, std::move(content))) emit(std::move(effect));
}

wire::Effects Node::withdraw(const wire::Now& now) {
  now_ = now;
  for (wire::Effect& effect : announcer_->withdraw(now)) emit(std::move(effect));
  return take();
}

void Node::persist(const JobRecord& record) {
  emit(wire::Persist{encode(record)});
}

void Node::audit(const wire::Peer* peer, std::string_view verb, const job::JobId* job, const std::string& outcome) {
  wire::Report record{true, std::string(verb), {{"outcome", outcome}}};
  if (peer != nullptr) record.fields.emplace_back("member", certs::to_string(peer->member));
  if (job != nullptr) record.fields.emplace_back("job", job::to_string(*job));
  emit(std::move(record));
}

void Node::report(const char* event, std::vector<std::pair<std::string, std::string>> fields) {
  emit(wire::Report{false, event, std::move(fields)});
}

const wire::Peer* Node::peer(wire::PeerId id) const {
  const auto found = peers_.find(id);
  return found == peers_.end() ? nullptr : &found->second;
}

Node::Job* Node::find_job(const wire::JobKey& key) {
  const auto found = jobs_.find(key);
  return found == jobs_.end() ? nullptr : &found->second;
}

const JobRecord* Node::find(const wire::JobKey& key) const {
  if (const auto live = jobs_.find(key); live != jobs_.end()) return &live->second.record;
  if (const auto gone = wiped_.find(key); gone != wiped_.end()) return &gone->second;
  return nullptr;
}

}  // namespace tomogrid::node
