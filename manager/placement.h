// Which node takes a job: feasibility, then the most free FLOPs, over a snapshot of adverts. Pure: no state, no clock.
//
// Free FLOPs of a node = (free cores as advertised - cores held by tickets that its advert does not list yet) x
// measured rate per core. Ties go by a hash of the request id and the node's id, so that equal nodes share the load and
// a decision replays. The manager calls place(); so does a client that finds no manager, over the adverts that
// registries tell it.
//
// Every decision explains itself: the record holds the figures of each candidate, why each other one was not taken, and
// the winner; replay() finds the winner again from the record alone. The node has the last word when the job is opened.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "certs/keys.h"
#include "certs/signed.h"
#include "registry/watcher.h"
#include "wire/machine.h"
#include "wire/messages/placement.h"

namespace tomogrid::manager {

// The words of Candidate::rejection, in the order in which they are looked for.
namespace rejections {
inline constexpr std::string_view service = "service";    // does not offer it
inline constexpr std::string_view labels = "labels";      // lacks a label that was asked
inline constexpr std::string_view excluded = "excluded";  // by the request: it has failed or refused this job
inline constexpr std::string_view draining = "draining";
inline constexpr std::string_view unreachable = "unreachable";  // its certificate has not been seen: no session with it
inline constexpr std::string_view promised = "promised";        // kept for a request that has waited longer
inline constexpr std::string_view cap = "cap";                  // grants fewer cores to one job
inline constexpr std::string_view cores = "cores";              // too few
inline constexpr std::string_view memory = "memory";    // too little for memory and scratch, which is memory too
inline constexpr std::string_view scratch = "scratch";  // too little
}  // namespace rejections

// Held at one node by tickets that its advert does not list yet. memory: what jobs take and their scratch, together.
struct Held {
  std::uint32_t cores = 0;
  Bytes memory, scratch;
  void add(const job::Grant& grant);
  bool operator==(const Held&) const = default;
};
using Holds = std::map<certs::MemberId, Held>;
// Nodes that are not to be taken whatever their figures: unreachable or promised.
using Closed = std::map<certs::MemberId, std::string_view>;

// Who asks and who decides, and when.
struct Asked {
  const wire::Place& place;
  certs::MemberId client;
  certs::MemberId decided_by;
  wire::Now now;
};

struct Decision {
  // Waiting: nobody now, but a listed node could when it is idle (or no node is listed). Unplaceable: none of them ever
  // could.
  enum class Outcome { Placed, Waiting, Unplaceable };
  Outcome outcome = Outcome::Waiting;
  std::string reason;  // a sentence; empty when placed
  wire::DecisionRecord record;
  const registry::NodeView* winner = nullptr;  // into the nodes given; Placed only
};

// Requires nodes in order of their ids, each once.
Decision place(const Asked& asked, std::span<const registry::NodeView> nodes, const Holds& holds = {},
               const Closed& closed = {});
// Whether place() would answer Placed; without building a record.
bool can_place(const wire::Place& place, std::span<const registry::NodeView> nodes, const Holds& holds = {},
               const Closed& closed = {});
// Whether this node could run it when idle and open to all.
bool could_ever(const wire::Place& place, const wire::Advert& node);

// The winner that the figures of the record lead to (nullopt: none is feasible). Unverified when the record contradicts
// itself: another winner or grant, a candidate called feasible that is not or the reverse, an order that is not best
// first. What only the decider knew (services, labels, unreachable, promised) is taken as recorded.
Result<std::optional<certs::MemberId>> replay(const wire::DecisionRecord& record);

// A decision as signed by `decider`: its signature, its form, and that it replays. Its content when all hold.
Result<wire::DecisionRecord> check_decision(const certs::Signed& record, const certs::SigningPublicKey& decider);

// "of 3 nodes 1 does not offer recon.spect/1, 2 have too few cores": for people.
std::string explain_rejections(const wire::DecisionRecord& record);

}  // namespace tomogrid::manager
