// Private to the Client machine: one job and one attempt as they are in this process. What must survive is in Record.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"

namespace tomogrid::client {

struct Client::Run {
  LinkKey link;
  wire::PeerId session = 0;           // the session this run last spoke on; 0: none yet
  std::optional<Instant> down_since;  // out of reach since
  bool ever_opened = false;           // an open or attach was sent in this process
  std::optional<Instant> answer_due;  // of Open, Attach
  unsigned unanswered = 0;
  bool offered = false;                     // inputs, on this session
  std::set<std::string> inputs_done;        // the node has all of these
  std::optional<wire::JobStatus> finished;  // its receipt has been checked
  bool fetching = false;                    // outputs asked for, on this session
  std::map<std::string, bool> outputs_done;
  unsigned broken_streams = 0;
  std::size_t cuts = 0;  // streams that ended with their session
  std::set<std::string> again;      // streams to send or fetch again at `retry_at`; empty: open again
  std::optional<Instant> retry_at;  // resend or refetch after a broken stream, or open again after a refusal
  bool cancel_sent = false, collected_sent = false, wiped = false;
};

struct Client::Task {
  Record record;
  bool has_inputs = false;  // the store can send them
  bool previews = false;
  std::optional<NodePin> pin;
  std::vector<Run> runs;  // beside record.attempts
  // placing
  bool placing = false;
  Instant placing_since{};
  std::optional<LinkKey> manager;  // who was asked
  job::RequestId request;
  wire::Place asked;                  // the question under that request
  std::optional<Instant> answer_due;  // of Place
  std::set<LinkKey> managers_failed;  // answered nothing or nonsense; forgotten when all have
  std::optional<Instant> place_at;    // not before
  job::JobId next_job;                // the id of the next attempt: tickets are bound to it
  std::map<certs::MemberId, Instant> excluded;
  std::string last_reason;        // why the last attempt ended
  std::size_t attempts_here = 0;  // begun in this process
  unsigned sessions_refused = 0;
  bool told_local = false;
  // ending
  bool announced = false;            // ResultVerified has been said
  std::optional<Error> final_error;  // what the end says
  std::optional<Instant> closing_deadline;
  bool ended = false;
};

struct Client::Question {
  NodePin node;
  wire::Message message;
  std::optional<LinkKey> link;
  wire::PeerId asked = 0;
  Instant deadline{};
};

}  // namespace tomogrid::client
