#include "manager/placement.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace tomogrid::manager {

namespace {

using wire::Candidate;

Bytes minus(Bytes a, Bytes b) {
  return a > b ? a - b : Bytes(0);
}
// Saturating: needs come from outside.
Bytes plus(Bytes a, Bytes b) {
  return b.count() > std::numeric_limits<std::uint64_t>::max() - a.count()
             ? Bytes(std::numeric_limits<std::uint64_t>::max())
             : a + b;
}
std::uint32_t cores_left(const Candidate& c) {
  return c.cores_free > c.cores_held ? c.cores_free - c.cores_held : 0;
}
std::uint32_t cores_least(const job::Needs& needs) {
  return std::max<std::uint32_t>(1, needs.cores_min);
}
FlopRate rate_left(const Candidate& c) {
  return c.rate_per_core * static_cast<double>(cores_left(c));
}

// FNV-1a with a final avalanche (splitmix64): spreads ties; not a defence, for a client picks its request id itself.
std::uint64_t tie(const job::RequestId& request, const certs::MemberId& node) {
  std::uint64_t h = 14695981039346656037ULL;
  const auto mix = [&h](std::uint8_t byte) { h = (h ^ byte) * 1099511628211ULL; };
  for (const std::uint8_t byte : request.bytes) mix(byte);
  for (const std::uint8_t byte : node.bytes) mix(byte);
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
  return h ^ (h >> 31);
}

// Best first: feasible before the rest, then free FLOPs, then the tie; the id last, so that the order is total.
bool better(const job::RequestId& request, const Candidate& a, const Candidate& b) {
  if (a.rejection.empty() != b.rejection.empty()) return a.rejection.empty();
  if (a.rejection.empty() && rate_left(a) != rate_left(b)) return rate_left(a) > rate_left(b);
  if (a.rejection.empty()) {
    const std::uint64_t tie_a = tie(request, a.node), tie_b = tie(request, b.node);
    if (tie_a != tie_b) return tie_a > tie_b;
  }
  return a.node < b.node;
}

// What the figures of a candidate and the request say; empty: feasible.
std::string_view rejected_by_figures(const wire::Place& place, const Candidate& c) {
  const job::Needs& needs = place.needs;
  if (c.cores_per_job_max != 0 && c.cores_per_job_max < cores_least(needs)) return rejections::cap;
  if (cores_left(c) < cores_least(needs)) return rejections::cores;
  if (minus(c.memory_free, c.memory_held) < plus(needs.memory, needs.scratch)) return rejections::memory;
  if (minus(c.scratch_free, c.scratch_held) < needs.scratch) return rejections::scratch;
  return {};
}

bool is_excluded(const wire::Place& place, const certs::MemberId& node) {
  return std::find(place.excluded.begin(), place.excluded.end(), node) != place.excluded.end();
}

std::string_view rejected_by_kind(const wire::Place& place, const wire::Advert& node) {
  if (std::find(node.services.begin(), node.services.end(), place.service) == node.services.end())
    return rejections::service;
  for (const std::string& label : place.needs.labels) {
    if (std::find(node.labels.begin(), node.labels.end(), label) == node.labels.end()) return rejections::labels;
  }
  if (is_excluded(place, node.node)) return rejections::excluded;
  return {};
}

bool only_the_decider_knew(std::string_view rejection) {
  return rejection == rejections::service || rejection == rejections::labels || rejection == rejections::unreachable ||
         rejection == rejections::promised;
}

Candidate figures(const registry::NodeView& view, const Holds& holds, Instant now) {
  const wire::Advert& advert = view.advert;
  Candidate c;
  c.node = advert.node;
  c.boot = advert.boot;
  c.sequence = advert.sequence;
  c.cores_free = advert.cores_free;
  c.cores_per_job_max = advert.cores_per_job_max;
  c.cores_total = advert.cores_total;
  c.rate_per_core = advert.rate_per_core;
  c.memory_free = advert.memory_free;
  c.scratch_free = advert.scratch_free;
  c.memory_total = advert.memory_total;
  c.scratch_total = advert.scratch_total;
  c.draining = advert.draining;
  c.age =
      std::max(std::chrono::milliseconds(0), std::chrono::duration_cast<std::chrono::milliseconds>(now - view.heard));
  if (const auto held = holds.find(advert.node); held != holds.end()) {
    c.cores_held = held->second.cores;
    c.memory_held = held->second.memory;
    c.scratch_held = held->second.scratch;
  }
  return c;
}

std::string_view rejection_of(const wire::Place& place, const wire::Advert& node, const Candidate& c,
                              const Closed& closed) {
  if (const auto word = rejected_by_kind(place, node); !word.empty()) return word;
  if (node.draining) return rejections::draining;
  if (const auto found = closed.find(node.node); found != closed.end()) return found->second;
  return rejected_by_figures(place, c);
}

job::Grant grant_of(const job::Needs& needs, const Candidate& c) {
  job::Grant grant;
  grant.cores = cores_left(c);
  if (needs.cores_max != 0) grant.cores = std::min(grant.cores, std::max(needs.cores_max, cores_least(needs)));
  if (c.cores_per_job_max != 0) grant.cores = std::min(grant.cores, c.cores_per_job_max);
  grant.memory = needs.memory;
  grant.scratch = needs.scratch;
  return grant;
}

struct Phrase {
  std::string_view word, one, many;
};
constexpr std::array kPhrases{
    Phrase{rejections::service, "does not offer", "do not offer"},
    Phrase{rejections::labels, "lacks a label that was asked", "lack a label that was asked"},
    Phrase{rejections::excluded, "is excluded by the request", "are excluded by the request"},
    Phrase{rejections::draining, "is draining", "are draining"},
    Phrase{rejections::unreachable, "cannot be reached", "cannot be reached"},
    Phrase{rejections::promised, "is kept for an earlier request", "are kept for an earlier request"},
    Phrase{rejections::cap, "grants fewer cores to one job", "grant fewer cores to one job"},
    Phrase{rejections::cores, "has too few cores", "have too few cores"},
    Phrase{rejections::memory, "has too little memory", "have too little memory"},
    Phrase{rejections::scratch, "has too little scratch", "have too little scratch"},
};

std::string short_of(const wire::Candidate& c) {
  return certs::short_text(c.node);
}

}  // namespace

void Held::add(const job::Grant& grant) {
  cores += grant.cores;
  memory = plus(memory, plus(grant.memory, grant.scratch));
  scratch = plus(scratch, grant.scratch);
}

bool could_ever(const wire::Place& place, const wire::Advert& node) {
  if (!rejected_by_kind(place, node).empty()) return false;
  const job::Needs& needs = place.needs;
  const auto enough = [](Bytes total, Bytes free, Bytes asked) {
    return total == Bytes(0) || std::max(total, free) >= asked;
  };
  return (node.cores_per_job_max == 0 || node.cores_per_job_max >= cores_least(needs)) &&
         std::max(node.cores_total, node.cores_free) >= cores_least(needs) &&
         enough(node.memory_total, node.memory_free, plus(needs.memory, needs.scratch)) &&
         enough(node.scratch_total, node.scratch_free, needs.scratch);
}

bool can_place(const wire::Place& place, std::span<const registry::NodeView> nodes, const Holds& holds,
               const Closed& closed) {
  return std::any_of(nodes.begin(), nodes.end(), [&](const registry::NodeView& view) {
    return rejection_of(place, view.advert, figures(view, holds, view.heard), closed).empty();
  });
}

Decision place(const Asked& asked, std::span<const registry::NodeView> nodes, const Holds& holds,
               const Closed& closed) {
  Decision decision;
  wire::DecisionRecord& record = decision.record;
  record.place = asked.place;
  record.client = asked.client;
  record.decided_by = asked.decided_by;
  record.decided = asked.now.wall;
  record.candidates.reserve(nodes.size());
  bool ever = nodes.empty();
  for (const registry::NodeView& view : nodes) {
    Candidate c = figures(view, holds, asked.now.instant);
    c.rejection = rejection_of(asked.place, view.advert, c, closed);
    ever = ever || c.rejection.empty() || could_ever(asked.place, view.advert);
    record.candidates.push_back(std::move(c));
  }
  std::sort(record.candidates.begin(), record.candidates.end(),
            [&asked](const Candidate& a, const Candidate& b) { return better(asked.place.request, a, b); });
  if (!record.candidates.empty() && record.candidates.front().rejection.empty()) {
    const Candidate& best = record.candidates.front();
    decision.outcome = Decision::Outcome::Placed;
    record.winner = best.node;
    record.grant = grant_of(asked.place.needs, best);
    decision.winner = &*std::lower_bound(
        nodes.begin(), nodes.end(), best.node,
        [](const registry::NodeView& view, const certs::MemberId& id) { return view.advert.node < id; });
  } else {
    decision.outcome = ever ? Decision::Outcome::Waiting : Decision::Outcome::Unplaceable;
    decision.reason = explain_rejections(record);
  }
  if (record.candidates.size() > wire::kCandidatesMax) {
    record.candidates_left_out = static_cast<std::uint32_t>(record.candidates.size() - wire::kCandidatesMax);
    record.candidates.resize(wire::kCandidatesMax);
  }
  return decision;
}

Result<std::optional<certs::MemberId>> replay(const wire::DecisionRecord& record) {
  const auto contradicts = [](const std::string& why) {
    return Error{ErrorCode::Unverified, "the decision contradicts itself: " + why};
  };
  for (const Candidate& c : record.candidates) {
    if (only_the_decider_knew(c.rejection)) continue;
    std::string_view word = is_excluded(record.place, c.node) ? rejections::excluded : std::string_view();
    if (word.empty() && c.draining) word = rejections::draining;
    if (word.empty()) word = rejected_by_figures(record.place, c);
    if (word == c.rejection) continue;
    return contradicts("node " + short_of(c) + " is recorded as " + (c.rejection.empty() ? "feasible" : c.rejection) +
                       ", but its figures say " + (word.empty() ? "feasible" : std::string(word)));
  }
  const auto first_out_of_order = std::is_sorted_until(
      record.candidates.begin(), record.candidates.end(),
      [&record](const Candidate& a, const Candidate& b) { return better(record.place.request, a, b); });
  if (first_out_of_order != record.candidates.end()) {
    return contradicts("node " + short_of(*first_out_of_order) + " is better than one listed before it");
  }
  std::optional<certs::MemberId> winner;
  job::Grant grant;
  if (!record.candidates.empty() && record.candidates.front().rejection.empty()) {
    winner = record.candidates.front().node;
    grant = grant_of(record.place.needs, record.candidates.front());
  }
  if (winner != record.winner) {
    return contradicts("its figures lead to " + (winner ? "node " + certs::short_text(*winner) : "no node") +
                       ", it names " + (record.winner ? "node " + certs::short_text(*record.winner) : "none"));
  }
  if (winner && grant != record.grant) {
    return contradicts("its figures grant " + std::to_string(grant.cores) + " cores, it says " +
                       std::to_string(record.grant.cores));
  }
  return winner;
}

Result<wire::DecisionRecord> check_decision(const certs::Signed& record, const certs::SigningPublicKey& decider) {
  if (const auto verified = certs::verify(record, certs::kinds::decision, decider); !verified) return verified.error();
  auto decision = wire::decode_decision(record.body);
  if (!decision) return decision.error();
  if (decision->decided_by != certs::member_id(decider)) {
    return Error{ErrorCode::Unverified,
                 "the decision names " + certs::short_text(decision->decided_by) + ", which did not sign it"};
  }
  if (const auto winner = replay(*decision); !winner) return winner.error();
  return decision;
}

std::string explain_rejections(const wire::DecisionRecord& record) {
  const std::size_t all = record.candidates.size() + record.candidates_left_out;
  if (all == 0) return "no node is listed";
  std::string text = "of " + std::to_string(all) + (all == 1 ? " node" : " nodes");
  const char* between = " ";
  for (const Phrase& phrase : kPhrases) {
    const auto count = std::count_if(record.candidates.begin(), record.candidates.end(),
                                     [&phrase](const Candidate& c) { return c.rejection == phrase.word; });
    if (count == 0) continue;
    text += between + std::to_string(count) + " " + std::string(count == 1 ? phrase.one : phrase.many);
    if (phrase.word == rejections::service) text += " " + job::to_string(record.place.service);
    between = ", ";
  }
  return text;
}

}  // namespace tomogrid::manager
