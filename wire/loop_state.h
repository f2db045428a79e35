// What a Loop is made of. Private to this folder: loop.cpp runs it and performs effects, links.cpp keeps the sessions.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "wire/bulk.h"
#include "wire/door.h"
#include "wire/gate.h"
#include "wire/knocks.h"
#include "wire/line.h"
#include "wire/loop.h"
#include "wire/pool.h"
#include "wire/session.h"

namespace tomogrid::wire {

// One session from greet to the end of its connections, on either side.
struct Link {
  Link(PeerId number, Session begun) : id(number), session(std::move(begun)) {}
  PeerId id;
  Session session;
  std::uint64_t dial = 0;                         // client
  std::optional<Target> target;                   // client
  std::unique_ptr<Line> line, bulk_line;          // client
  std::string route, bulk_route;                  // server: at the doors; empty: none
  std::uint16_t bulk_port = 0;                    // client: where to dial for bulk
  bool bulk_joined = false;
  bool bulk_full = false;                         // try again when it may have room
  Peer peer;
  std::shared_ptr<Bulk> bulk;                     // from SessionUp on
  bool over = false;                              // ended; its connections are going
  std::optional<Instant> remove_at;               // client: when a bye has had its time
  std::optional<std::string> to_drop;             // broke the rules in the middle of something: ended at the round's end
};

// Says at most a few of a kind each second, then how many more there were.
class Throttle {
 public:
  bool may_say(Instant now);
  std::uint64_t take_hidden() { return std::exchange(hidden_, 0); }

 private:
  static constexpr unsigned kPerSecond = 10;
  std::optional<Instant> since_;
  unsigned said_ = 0;
  std::uint64_t hidden_ = 0;
};

// An eventfd: any thread and any signal handler may ring it.
class Bell final {
 public:
  Bell();
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;
  void ring() const;
  void hush() const;
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

struct Loop::Implementation {
  Implementation(certs::Member& member, const Clock& clock, Machine& machine, Ports ports, LoopOptions options);
  ~Implementation();

  // ---- loop.cpp ----
  void run();
  void wait();
  void tell(Event event) { inbox_.push_back(std::move(event)); }
  void dispatch();
  void pass(Effects effects, bool after_failure);
  void perform(Effects& effects);
  void report(const Report& report);
  void report_throttled(std::string event, std::vector<std::pair<std::string, std::string>> fields);
  void report(bool audit, std::string event, std::vector<std::pair<std::string, std::string>> fields);
  void run_posts();
  void run_due();
  Now now() const { return {clock_.now(), clock_.wall()}; }

  // ---- links.cpp ----
  SocketPlan plan(Lane lane) const;
  std::string judge(const Gate::Knock& knock);
  void dial(const Connect& effect);
  void serve_control_door();
  void serve_bulk_door();
  void serve_lines();
  void serve_control_line(Link& link);
  void serve_bulk_line(Link& link);
  void on_frame(Link& link, const Frames& frames, bool malformed);
  void on_message(Link& link, Message message);
  void on_bulk_frames(Link& link, Frames& frames, bool malformed);
  void on_join(const Door::Arrival& arrival);
  void perform_session(Link& link, SessionEffects effects);
  void open(Link& link, const SessionUp& up);
  void finish(Link& link, const std::string& code, const std::string& reason, bool by_peer);
  void lost(Link& link, const std::string& reason);
  void say(Link& link, const Message& message);
  bool send_chunk(Link& link, const ChunkHeader& header, const Buffer& bytes, std::size_t offset);
  void dial_bulk(Link& link);
  bool sink_is_free(const JobKey& job, const StreamKey& key);
  void adopt(const certs::Signed& record);
  void end(Link& link, const std::string& code, const std::string& reason) { perform_session(link, link.session.end(code, reason)); }
  void pump();
  void settle_round();
  void keep_house();
  void refresh_revocations();
  void revocations_changed();
  void enforce(Door& door, const char* name);
  void remove(PeerId id);
  void leave();
  std::string where(const Link& link) const;
  Link* find(PeerId id);
  Link* find(const std::map<std::string, PeerId>& routes, const std::string& route);

  certs::Member& member_;
  const Clock& clock_;
  Machine& machine_;
  Ports ports_;
  LoopOptions options_;
  Self self_;

  Bell bell_;
  std::atomic<bool> stop_{false};
  std::mutex posts_mutex_;
  std::vector<std::function<void()>> posts_;

  zmq::context_t context_;
  Pool pool_;
  Gate gate_;
  Knocks knocks_;
  std::optional<Door> control_door_, bulk_door_;
  Listening listening_;
  std::map<PeerId, std::unique_ptr<Link>> links_;
  std::map<std::string, PeerId> control_routes_, bulk_routes_;
  std::map<SessionId, PeerId> sessions_;                 // server: open ones
  std::map<certs::TransportPublicKey, unsigned> bulk_keys_;   // of open sessions here: who may knock at the bulk door
  PeerId last_id_ = 0;

  struct HeldSink {
    PeerId owner = 0;
    std::weak_ptr<StreamSink> sink;
  };
  std::map<std::pair<JobKey, StreamKey>, HeldSink> sinks_;

  std::deque<Event> inbox_;
  bool running_ = false, dispatching_ = false, leaving_ = false;
  Instant leave_by_;
  std::map<int, std::function<void()>> watched_;
  std::multimap<Instant, std::function<void()>> due_;
  Instant next_housekeeping_;
  std::map<std::string, Throttle> throttles_;            // by event: what strangers can cause
  Traffic traffic_;
};

}  // namespace tomogrid::wire
