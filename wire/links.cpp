// The sessions of a loop: whom it dialled, who came to its doors, and what they say until a machine hears it.
#include <algorithm>
#include <utility>

#include "base/text.h"
#include "certs/random.h"
#include "wire/loop_state.h"

namespace tomogrid::wire {

namespace {

constexpr std::chrono::milliseconds kByeTime{300};     // for a bye to arrive before its connection is ended
constexpr std::chrono::milliseconds kTick{100};        // how often bytes received are looked at
constexpr int kControlMessagesPerRound = 256, kBulkMessagesPerRound = 8;

ErrorCode code_of(const std::string& code, bool by_peer) {
  if (code == "timeout" || code == "lost" || code == "shutdown" || code == "busy") return ErrorCode::Unreachable;
  if (!by_peer && (code == "certificate" || code == "key" || code == "subject")) return ErrorCode::Unverified;
  return ErrorCode::Refused;
}

}  // namespace

Link* Loop::Implementation::find(PeerId id) {
  const auto found = links_.find(id);
  return found == links_.end() ? nullptr : found->second.get();
}

Link* Loop::Implementation::find(const std::map<std::string, PeerId>& routes, const std::string& route) {
  const auto found = routes.find(route);
  return found == routes.end() ? nullptr : find(found->second);
}

std::string Loop::Implementation::where(const Link& link) const {
  if (link.target) return link.target->host + ":" + std::to_string(link.target->control_port);
  return control_door_->address_of(link.route);
}

SocketPlan Loop::Implementation::plan(Lane lane) const {
  SocketPlan plan;
  plan.lane = lane;
  plan.heartbeat = options_.heartbeat;
  plan.heartbeat_timeout = options_.heartbeat_timeout;
  plan.handshake_timeout = options_.hello_timeout;
  return plan;
}

// ZAP: before any message.
std::string Loop::Implementation::judge(const Gate::Knock& knock) {
  std::string refusal;
  if (leaving_) refusal = "leaving";
  if (self_.revocations.revokes(knock.key)) refusal = "revoked";
  if (refusal.empty() && knock.door == "bulk" && !bulk_keys_.contains(knock.key)) refusal = "no session";
  if (refusal.empty() && knock.door != "bulk" && !knocks_.may_knock(clock_.now(), knock.address, knock.key)) refusal = "knocks too often";
  if (!refusal.empty()) {
    report_throttled("door.refused", {{"door", knock.door}, {"address", knock.address}, {"reason", refusal}});
  }
  return refusal;
}

// ---- Dialling ------------------------------------------------------------------------------------------------------------------

void Loop::Implementation::dial(const Connect& effect) {
  const Instant deadline = clock_.now() + options_.connect_timeout;
  auto link = std::make_unique<Link>(++last_id_, Session::client(self_, effect.target, certs::random_bytes<32>(), deadline));
  link->dial = effect.dial;
  link->target = effect.target;
  try {
    SocketPlan dialled = plan(Lane::Control);
    dialled.handshake_timeout = options_.connect_timeout;
    link->line = std::make_unique<Line>(context_, member_.identity(), effect.target.transport_key, dialled, effect.target.host,
                                        effect.target.control_port, options_.undelivered_max);
  } catch (const Failure& failure) {
    return tell(ConnectFailed{effect.dial, failure.error()});
  } catch (const zmq::error_t& error) {
    return tell(ConnectFailed{effect.dial, {ErrorCode::Unreachable, "cannot dial " + effect.target.host + ": " + error.what()}});
  }
  Link& kept = *links_.emplace(link->id, std::move(link)).first->second;
  next_housekeeping_ = std::min(next_housekeeping_, deadline);
  perform_session(kept, kept.session.start());
}

void Loop::Implementation::serve_lines() {
  std::vector<PeerId> dialled;
  for (const auto& [id, link] : links_) {
    if (link->line) dialled.push_back(id);
  }
  for (const PeerId id : dialled) {
    if (Link* link = find(id)) serve_control_line(*link);
    if (Link* link = find(id); link != nullptr && link->bulk_line) serve_bulk_line(*link);
  }
}

void Loop::Implementation::serve_control_line(Link& link) {
  link.line->look(clock_.now());
  for (int i = 0; i < kControlMessagesPerRound; ++i) {
    auto message = link.line->receive(1);
    if (!message) {
      if (link.line->fate()) lost(link, *link.line->fate());
      return;
    }
    traffic_.control_received += message->whole_size;
    on_frame(link, message->frames, message->too_many);
  }
}

void Loop::Implementation::dial_bulk(Link& link) {
  if (link.bulk_line || link.over || !link.line) return;
  if (link.bulk_port == 0) {
    link.to_drop = "a stream with a role that has no bulk door";
    return;
  }
  SocketPlan dialled = plan(Lane::Bulk);
  dialled.handshake_timeout = options_.connect_timeout;
  link.bulk_line = std::make_unique<Line>(context_, member_.identity(), link.target->transport_key, dialled, link.target->host,
                                          link.bulk_port, options_.undelivered_max);
  Frames join;
  join.push_back(message_of(encode(Join{link.session.id()})));
  (void)link.bulk_line->send(std::move(join));
}

void Loop::Implementation::serve_bulk_line(Link& link) {
  link.bulk_line->look(clock_.now());
  for (int i = 0; i < kBulkMessagesPerRound; ++i) {
    auto message = link.bulk_line->receive(2);
    if (!message) {
      if (link.bulk_line->fate()) lost(link, "bulk " + *link.bulk_line->fate());
      return;
    }
    traffic_.bulk_received += message->whole_size;
    on_bulk_frames(link, message->frames, message->too_many);
  }
}

// ---- The doors -----------------------------------------------------------------------------------------------------------------

void Loop::Implementation::serve_control_door() {
  if (!control_door_) return;
  const Now time = now();
  control_door_->look(time.instant);
  if (control_door_->watched()) next_housekeeping_ = std::min(next_housekeeping_, time.instant + kTick);
  for (int i = 0; i < kControlMessagesPerRound; ++i) {
    auto arrival = control_door_->receive(time.instant, 1);
    if (!arrival) {
      for (const Door::Gone& gone : control_door_->gone()) {
        if (Link* link = find(control_routes_, gone.route)) lost(*link, "connection lost");
      }
      return;
    }
    traffic_.control_received += arrival->whole_size;
    Link* link = find(control_routes_, arrival->route);
    if (link == nullptr) {
      const Instant deadline = time.instant + options_.hello_timeout;
      auto fresh = std::make_unique<Link>(
          ++last_id_, Session::server(self_, arrival->key, certs::random_bytes<16>(), certs::random_bytes<32>(),
                                      listening_.bulk_port, deadline));
      fresh->route = arrival->route;
      control_routes_[arrival->route] = fresh->id;
      link = fresh.get();
      links_.emplace(fresh->id, std::move(fresh));
      next_housekeeping_ = std::min(next_housekeeping_, deadline);
      if (links_.size() > options_.sessions_max || leaving_) {
        end(*link, leaving_ ? "shutdown" : "busy", "too many sessions here; try another member or later");
      }
    }
    on_frame(*link, arrival->frames, arrival->malformed);
  }
}

void Loop::Implementation::serve_bulk_door() {
  if (!bulk_door_) return;
  const Instant time = clock_.now();
  bulk_door_->look(time);
  if (bulk_door_->watched()) next_housekeeping_ = std::min(next_housekeeping_, time + kTick);
  for (int i = 0; i < kBulkMessagesPerRound; ++i) {
    auto arrival = bulk_door_->receive(time, 2);
    if (!arrival) {
      for (const Door::Gone& gone : bulk_door_->gone()) {
        if (Link* link = find(bulk_routes_, gone.route)) lost(*link, "bulk connection lost");
        bulk_routes_.erase(gone.route);
      }
      return;
    }
    traffic_.bulk_received += arrival->whole_size;
    if (Link* link = find(bulk_routes_, arrival->route)) {
      on_bulk_frames(*link, arrival->frames, arrival->malformed);
    } else {
      on_join(*arrival);
    }
  }
}

void Loop::Implementation::on_join(const Door::Arrival& arrival) {
  const auto message = arrival.frames.size() == 1 ? decode(view_of(arrival.frames[0])) : Result<Message>(Error{});
  const Join* join = message ? std::get_if<Join>(&*message) : nullptr;
  const auto session = join != nullptr ? sessions_.find(join->session) : sessions_.end();
  Link* link = session != sessions_.end() ? find(session->second) : nullptr;
  if (link == nullptr || link->over || !link->bulk_route.empty() || link->session.peer()->certificate.transport_key != arrival.key) {
    report_throttled("bulk.refused", {{"address", bulk_door_->address_of(arrival.route)}, {"reason", "no session of this key to join"}});
    return bulk_door_->condemn(arrival.route, clock_.now(), "no session to join");
  }
  link->bulk_route = arrival.route;
  bulk_routes_[arrival.route] = link->id;
  bulk_door_->admitted(arrival.route);
  Frames joined;
  joined.push_back(message_of(encode(Joined{})));
  (void)bulk_door_->send(arrival.route, std::move(joined));
  link->bulk_joined = true;
}

// ---- What they say ---------------------------------------------------------------------------------------------------------------

void Loop::Implementation::on_frame(Link& link, const Frames& frames, bool malformed) {
  if (link.over) return;
  if (malformed || frames.size() != 1) return end(link, "protocol", "a control message has one frame");
  auto message = decode(view_of(frames[0]));
  if (!message) return end(link, "protocol", message.error().message);
  on_message(link, std::move(*message));
}

void Loop::Implementation::on_message(Link& link, Message message) {
  if (!link.session.open() || is_session_message(message)) {
    return perform_session(link, link.session.handle(now(), message));
  }
  if (is_bulk_message(message)) {
    return end(link, "protocol", "a " + std::string(name_of(message)) + " has no place on a control connection");
  }
  if (is_stream_message(message)) return link.bulk->handle(clock_.now(), message);
  if (const auto* offer = std::get_if<StreamOffer>(&message); offer != nullptr && !link.bulk->offered(*offer)) return;
  tell(Received{link.peer, std::move(message)});
}

void Loop::Implementation::on_bulk_frames(Link& link, Frames& frames, bool malformed) {
  if (link.over) return;
  if (malformed || frames.empty()) return end(link, "protocol", "a bulk message has a header and a payload");
  auto header = decode(view_of(frames[0]));
  if (!header) return end(link, "protocol", header.error().message);
  if (frames.size() == 1 && link.line && std::holds_alternative<Joined>(*header)) {
    link.bulk_joined = true;
    return;
  }
  const ChunkHeader* chunk = std::get_if<ChunkHeader>(&*header);
  if (chunk == nullptr || frames.size() != 2) return end(link, "protocol", "only chunks belong on a bulk connection");
  auto owner = std::make_shared<zmq::message_t>(std::move(frames[1]));
  const ByteView bytes = view_of(*owner);
  link.bulk->chunk(*chunk, Payload{std::move(owner), bytes});
}

void Loop::Implementation::perform_session(Link& link, SessionEffects effects) {
  for (SessionEffect& effect : effects) {
    if (const auto* up = std::get_if<SessionUp>(&effect)) {
      open(link, *up);
    } else if (const auto* saying = std::get_if<SaySession>(&effect)) {
      say(link, saying->message);
    } else if (const auto* list = std::get_if<AdoptRevocations>(&effect)) {
      adopt(list->record);
    } else if (const auto* notice = std::get_if<SessionNotice>(&effect)) {
      report(false, notice->event, {{"address", where(link)}, {"text", notice->text}});
    } else if (const auto* over = std::get_if<SessionEnd>(&effect)) {
      finish(link, over->code, over->reason, over->by_peer);
    }
  }
}

void Loop::Implementation::open(Link& link, const SessionUp& up) {
  const certs::Certificate& leaf = up.peer.certificate;
  link.peer = {link.id, up.peer.member, leaf.subject, leaf.roles, link.dial, leaf.signing_key, up.chain};
  const Windows windows{options_.stream_window, options_.session_window};
  Bulk::Hooks hooks;
  hooks.say = [this, &link](const Message& message) { say(link, message); };
  hooks.tell = [this](Event event) { tell(std::move(event)); };
  hooks.drop = [&link](const std::string& reason) { link.to_drop = reason; };
  hooks.need_connection = [this, &link] { dial_bulk(link); };
  hooks.sink_is_free = [this](const JobKey& job, const StreamKey& key) { return sink_is_free(job, key); };
  hooks.hold_sink = [this, &link](const JobKey& job, const StreamKey& key, const std::shared_ptr<StreamSink>& sink) {
    sinks_[{job, key}] = {link.id, sink};
  };
  hooks.send = [this, &link](const ChunkHeader& header, const Buffer& bytes, std::size_t offset) {
    return send_chunk(link, header, bytes, offset);
  };
  link.bulk = std::make_shared<Bulk>(link.id, windows, pool_, ports_.streams, std::move(hooks));
  link.bulk_port = up.bulk_port;
  tell(PeerUp{link.peer});
  if (link.line) return;
  const certs::TransportPublicKey key = leaf.transport_key;
  control_door_->admitted(link.route);
  knocks_.known(clock_.now(), key);
  sessions_[link.session.id()] = link.id;
  if (++bulk_keys_[key] > options_.sessions_per_member_max) {
    link.to_drop = "more than " + std::to_string(options_.sessions_per_member_max) + " sessions of one member";
  }
}

bool Loop::Implementation::sink_is_free(const JobKey& job, const StreamKey& key) {
  const auto held = sinks_.find({job, key});
  if (held == sinks_.end()) return true;
  if (held->second.sink.expired()) {
    sinks_.erase(held);
    return true;
  }
  if (Link* owner = find(held->second.owner); owner != nullptr && owner->bulk) owner->bulk->supersede(key);
  return false;
}

void Loop::Implementation::say(Link& link, const Message& message) {
  if (!fits(message)) {
    // A list that a role did not split: its bug, but not a reason to end every other session here.
    report(false, "message.too-long", {{"message", std::string(name_of(message))}});
    link.to_drop = "a message too long to send";
    return;
  }
  Frames frames;
  frames.push_back(message_of(encode(message)));
  traffic_.control_sent += frames[0].size();
  const Sent sent = link.line ? link.line->send(std::move(frames)) : control_door_->send(link.route, std::move(frames));
  if (sent == Sent::Full) link.to_drop = "it does not read what it is sent";
}

bool Loop::Implementation::send_chunk(Link& link, const ChunkHeader& header, const Buffer& bytes, std::size_t offset) {
  Frames frames;
  frames.push_back(message_of(encode(header)));
  // The library lets go of the buffer from its own thread when it is done.
  frames.emplace_back(bytes.get() + offset, header.length, [](void*, void* hint) { delete static_cast<Buffer*>(hint); },
                      new Buffer(bytes));
  const Sent sent = link.bulk_line ? link.bulk_line->send(std::move(frames)) : bulk_door_->send(link.bulk_route, std::move(frames));
  if (sent == Sent::Full) return false;
  traffic_.bulk_sent += header.length;
  return true;
}

void Loop::Implementation::adopt(const certs::Signed& record) {
  const std::uint64_t before = self_.revocations.number;
  auto offered = member_.revocations().offer(record);
  if (!offered) report(true, "revocations.refused", {{"reason", offered.error().message}});
  if (self_.revocations.number > before) revocations_changed();    // this one, or a newer one that lay on disk
}

// A command of this member may have put a list on disk.
void Loop::Implementation::refresh_revocations() {
  auto newer = member_.revocations().refresh();
  if (!newer) return report(true, "revocations.refused", {{"reason", newer.error().message}});
  if (*newer) revocations_changed();
}

void Loop::Implementation::revocations_changed() {
  report(true, "revocations.adopted", {{"number", std::to_string(self_.revocations.number)}});
  std::vector<PeerId> all;
  for (const auto& [id, link] : links_) all.push_back(id);
  for (const PeerId id : all) {
    if (Link* link = find(id)) perform_session(*link, link->session.revocations_changed());
  }
}

// ---- The end of a session ----------------------------------------------------------------------------------------------------------

void Loop::Implementation::finish(Link& link, const std::string& code, const std::string& reason, bool by_peer) {
  if (link.over) return;
  link.over = true;
  const bool ordinary = code == "shutdown" || code == "lost" || code == "idle" || (by_peer && link.bulk != nullptr);
  if (!ordinary) {
    report_throttled(by_peer ? "session.refused-by-peer" : "session.ended",
                     {{"address", where(link)}, {"member", link.bulk ? certs::short_text(link.peer.member) : "unknown"}, {"code", code}, {"reason", reason}});
  }
  if (link.bulk) {
    link.bulk->break_all("session", reason);
    tell(PeerDown{link.peer, reason, code});
  } else if (link.line) {
    const std::string text = by_peer && code != "lost" ? where(link) + " refused: " + reason : where(link) + ": " + reason;
    tell(ConnectFailed{link.dial, {code_of(code, by_peer), code == "lost" ? reason : text}});
  }
  const Instant when = clock_.now() + (by_peer ? std::chrono::milliseconds(0) : kByeTime);
  next_housekeeping_ = std::min(next_housekeeping_, when);
  if (link.line) {
    link.remove_at = when;
    return;
  }
  control_door_->condemn(link.route, when, reason);
  if (!link.bulk_route.empty()) bulk_door_->condemn(link.bulk_route, when, reason);
  sessions_.erase(link.session.id());
  if (link.bulk) {
    const auto held = bulk_keys_.find(link.session.peer()->certificate.transport_key);
    if (--held->second == 0) bulk_keys_.erase(held);
  }
}

// The connection is gone, whatever the session thought.
void Loop::Implementation::lost(Link& link, const std::string& reason) {
  finish(link, "lost", reason, true);
  if (link.line) {
    link.remove_at = clock_.now();
    next_housekeeping_ = std::min(next_housekeeping_, *link.remove_at);
    return;
  }
  remove(link.id);
}

void Loop::Implementation::remove(PeerId id) {
  Link* link = find(id);
  if (link == nullptr) return;
  if (!link->route.empty()) {
    control_door_->condemn(link->route, clock_.now(), "session over");
    control_routes_.erase(link->route);
  }
  if (!link->bulk_route.empty()) {
    bulk_door_->condemn(link->bulk_route, clock_.now(), "session over");
    bulk_routes_.erase(link->bulk_route);
  }
  links_.erase(id);
}

// ---- Each round --------------------------------------------------------------------------------------------------------------------

void Loop::Implementation::pump() {
  for (auto& [id, link] : links_) {
    if (link->bulk && !link->over) link->bulk_full = link->bulk->pump(link->bulk_joined);
  }
}

// What was put off while a link was in use.
void Loop::Implementation::settle_round() {
  std::vector<PeerId> dropped;
  for (const auto& [id, link] : links_) {
    if (link->to_drop) dropped.push_back(id);
  }
  for (const PeerId id : dropped) {
    Link* link = find(id);
    if (link == nullptr) continue;
    const std::string reason = *std::exchange(link->to_drop, std::nullopt);
    end(*link, "protocol", reason);
  }
}

void Loop::Implementation::enforce(Door& door, const char* name) {
  const Instant time = clock_.now();
  for (const Guard::Verdict& verdict : door.enforce(time)) {
    if (verdict.told) continue;
    report_throttled("connection.ended", {{"door", name}, {"address", verdict.peer.address}, {"reason", verdict.reason}});
  }
}

void Loop::Implementation::keep_house() {
  const Now time = now();
  next_housekeeping_ = time.instant + std::chrono::seconds(1);
  refresh_revocations();
  std::vector<PeerId> all;
  for (const auto& [id, link] : links_) all.push_back(id);
  for (const PeerId id : all) {
    Link* link = find(id);
    if (link == nullptr) continue;
    if (link->line) {
      link->line->enforce(time.instant);
      if (link->bulk_line) link->bulk_line->enforce(time.instant);
    }
    perform_session(*link, link->session.advance(time));
    if (link->remove_at && *link->remove_at <= time.instant) {
      remove(id);
      continue;
    }
    if (link->remove_at) next_housekeeping_ = std::min(next_housekeeping_, *link->remove_at);
    if (const auto deadline = link->session.next_deadline()) next_housekeeping_ = std::min(next_housekeeping_, *deadline);
    next_housekeeping_ = std::min(next_housekeeping_, time.instant + kTick);
  }
  if (control_door_) enforce(*control_door_, "control");
  if (bulk_door_) enforce(*bulk_door_, "bulk");
  for (const auto* door : {&control_door_, &bulk_door_}) {
    if (!*door) continue;
    if (const auto deadline = (*door)->next_deadline()) next_housekeeping_ = std::min(next_housekeeping_, *deadline);
    if ((*door)->watched()) next_housekeeping_ = std::min(next_housekeeping_, time.instant + kTick);
  }
  std::erase_if(sinks_, [](const auto& held) { return held.second.sink.expired(); });
  for (auto& [event, throttle] : throttles_) {
    if (const std::uint64_t hidden = throttle.take_hidden(); hidden > 0) {
      report(true, "more", {{"event", event}, {"count", std::to_string(hidden)}});
    }
  }
}

void Loop::Implementation::leave() {
  leaving_ = true;
  leave_by_ = clock_.now() + options_.farewell;
  std::vector<PeerId> all;
  for (const auto& [id, link] : links_) all.push_back(id);
  for (const PeerId id : all) {
    if (Link* link = find(id)) end(*link, "shutdown", "this member stops");
  }
  inbox_.clear();
}

}  // namespace tomogrid::wire
