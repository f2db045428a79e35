// Which node takes a job: requests, tickets and the record of why (docs/protocol.md, "Placement"). Values only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/time.h"
#include "certs/keys.h"
#include "certs/signed.h"
#include "job/job.h"

namespace tomogrid::wire {

// Client to manager: a subscription, answered by Waiting* and then Placed or Unplaceable.
struct Place {
  job::RequestId request;
  job::JobId job;
  job::ServiceName service;
  job::Needs needs;
  std::vector<certs::MemberId> excluded;   // nodes that failed or refused this job; at most 64
  bool operator==(const Place&) const = default;
};
// Client to manager: no longer wanted; a placement already made is released at the node too.
struct CancelPlace { job::RequestId request; bool operator==(const CancelPlace&) const = default; };

// Manager to client: busy is never an error.
struct Waiting {
  job::RequestId request;
  std::uint32_t position = 0;              // 1: next
  std::optional<Seconds> earliest;         // estimate; nullopt: unknown
  std::string reason;
  bool operator==(const Waiting&) const = default;
};
struct Placed {
  job::RequestId request;
  certs::Signed advert;                    // of the chosen node: routes and transport key, in its own words
  certs::Signed ticket;
  certs::Signed decision;
  bool operator==(const Placed&) const = default;
};
struct Unplaceable {                       // permanent: no node could ever run this as asked
  job::RequestId request;
  std::string reason;
  certs::Signed decision;
  bool operator==(const Unplaceable&) const = default;
};

// Capacity held at a node for one client and job; the body of a Signed of kind "ticket".
struct Ticket {
  job::TicketId id;
  certs::MemberId node;
  std::uint64_t boot = 0;                  // of the node when chosen
  certs::MemberId client;
  job::JobId job;
  job::ServiceName service;
  job::Grant grant;
  WallTime issued;
  std::chrono::milliseconds ttl{60000};
  bool operator==(const Ticket&) const = default;
};

// Manager to node, as it answers the client; and back. The node has the last word.
struct Reserve { certs::Signed ticket; bool operator==(const Reserve&) const = default; };
struct Reserved { job::TicketId ticket; bool operator==(const Reserved&) const = default; };
struct ReserveRefused { job::TicketId ticket; std::string code; std::string reason; bool operator==(const ReserveRefused&) const = default; };
struct Release { job::TicketId ticket; bool operator==(const Release&) const = default; };

// What the manager saw of one node.
struct Candidate {
  certs::MemberId node;
  std::uint64_t boot = 0, sequence = 0;
  std::uint32_t cores_free = 0;            // as advertised
  std::uint32_t cores_held = 0;            // by tickets that its advert does not list yet
  std::uint32_t cores_per_job_max = 0;
  std::uint32_t cores_total = 0;
  FlopRate rate_per_core;
  Bytes memory_free, memory_held, scratch_free, scratch_held;
  Bytes memory_total, scratch_total;       // 0: not said
  bool draining = false;
  std::chrono::milliseconds age{0};        // since its last sign of life
  std::string rejection;                   // empty: feasible; else one of the words of manager/placement.h
  bool operator==(const Candidate&) const = default;
};

// Why a node was picked, or none; the body of a Signed of kind "decision". Replays to the same winner.
struct DecisionRecord {
  Place place;
  certs::MemberId client;
  certs::MemberId decided_by;              // manager, or the client itself when it places without one
  WallTime decided;
  std::vector<Candidate> candidates;       // best first, at most 200; the rest are counted below
  std::uint32_t candidates_left_out = 0;
  std::optional<certs::MemberId> winner;
  job::Grant grant;                        // of the winner
  bool operator==(const DecisionRecord&) const = default;
};

ByteString encode_body(const Ticket& ticket);
Result<Ticket> decode_ticket(ByteView body);
ByteString encode_body(const DecisionRecord& decision);
Result<DecisionRecord> decode_decision(ByteView body);

}  // namespace tomogrid::wire
