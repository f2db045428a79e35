// `tomogrid explain`: why this node? The signed decision in words, and whether it holds.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "certs/files.h"
#include "client/commands.h"
#include "client/history.h"
#include "client/settings.h"
#include "manager/placement.h"

namespace tomogrid::client {

namespace {

using nlohmann::json;

// The decision's content when its signer could decide, signed it, and its figures lead to its winner.
Result<wire::DecisionRecord> judge_decision(const KeptDecision& kept, const certs::Anchor& anchor,
                                            const certs::CertificateChain& own) {
  const auto unread = wire::decode_decision(kept.decision.body);
  if (!unread) return Error{ErrorCode::Unverified, "tampered: " + unread.error().message};
  auto chain = kept.chain.empty() ? Result<certs::CertificateChain>(own) : certs::decode_chain(kept.chain);
  if (!chain) return Error{ErrorCode::Unverified, "tampered: " + chain.error().message};
  certs::RevocationList nobody;
  nobody.federation = anchor.federation;
  const auto signer = certs::verify_chain(*chain, anchor, unread->decided, nobody);
  if (!signer) return Error{ErrorCode::Unverified, "its signer cannot be trusted: " + signer.error().message};
  if (signer->member != unread->decided_by)
    return Error{ErrorCode::Unverified, "tampered: it names another decider than its signer"};
  if (signer->member != unread->client && !signer->certificate.roles.contains(certs::Role::Manager)) {
    return Error{ErrorCode::Unverified, "its signer is not a manager"};
  }
  auto checked = manager::check_decision(kept.decision, signer->certificate.signing_key);
  if (!checked) return Error{ErrorCode::Unverified, "tampered: " + checked.error().message};
  return checked;
}

std::string node_name(const Record& record, const certs::MemberId& node) {
  for (const Attempt& attempt : record.attempts) {
    if (attempt.node == node && !attempt.node_name.empty()) return attempt.node_name;
  }
  return certs::short_text(node);
}

void print_candidate(const Record& record, const wire::DecisionRecord& decision, const wire::Candidate& candidate) {
  const std::uint32_t free = candidate.cores_free - std::min(candidate.cores_free, candidate.cores_held);
  char figures[160];
  std::snprintf(figures, sizeof figures,
                "  %-12s %3u of %3u cores free (%u held), %.1f GFLOP/s a core: %.1f GFLOP/s, seen %lld ms before",
                node_name(record, candidate.node).c_str(), free, candidate.cores_total, candidate.cores_held,
                candidate.rate_per_core.count() / 1e9, candidate.rate_per_core.count() / 1e9 * free,
                static_cast<long long>(candidate.age.count()));
  std::cout << figures;
  if (decision.winner == candidate.node) {
    std::cout << "  <- chosen, " << decision.grant.cores << " cores granted";
  } else if (!candidate.rejection.empty()) {
    std::cout << "  not possible: " << printable(candidate.rejection);
  }
  std::cout << "\n";
}

json as_json(const wire::DecisionRecord& decision) {
  json candidates = json::array();
  for (const wire::Candidate& one : decision.candidates) {
    candidates.push_back({{"node", certs::to_string(one.node)},
                          {"cores_free", one.cores_free},
                          {"cores_held", one.cores_held},
                          {"gflops_per_core", one.rate_per_core.count() / 1e9},
                          {"age_ms", one.age.count()},
                          {"draining", one.draining},
                          {"rejection", one.rejection}});
  }
  json value{{"request", job::to_string(decision.place.request)},
             {"decided_by", certs::to_string(decision.decided_by)},
             {"decided", iso_time(decision.decided.unix_ms)},
             {"candidates", candidates},
             {"candidates_left_out", decision.candidates_left_out}};
  if (decision.winner) value["winner"] = certs::to_string(*decision.winner);
  return value;
}

void print(const Record& record, const wire::DecisionRecord& decision, bool by_client) {
  std::cout << iso_time(decision.decided.unix_ms) << "  "
            << (by_client ? "this client, without a manager," : "manager " + certs::short_text(decision.decided_by))
            << (decision.winner ? " chose " + node_name(record, *decision.winner) : " found no node") << " among "
            << decision.candidates.size() + decision.candidates_left_out << "\n";
  for (const wire::Candidate& candidate : decision.candidates) print_candidate(record, decision, candidate);
  if (decision.candidates_left_out > 0)
    std::cout << "  and " << decision.candidates_left_out << " more that ranked behind\n";
  std::cout << "  its signature holds, and its figures lead to the same winner again\n";
}

int run_explain(const Arguments& arguments) {
  const Settings settings = read_settings(arguments);
  const auto member = load_member(arguments, settings);
  Journal journal(settings.folder / "client");
  const Record record = find_record(all_records(journal), arguments.positional().front()).or_throw();
  const bool quiet = arguments.flag("json");
  json decisions = json::array(), attempts = json::array();
  int status = 0;
  if (record.decisions.empty() && !quiet)
    std::cout << "no placement decision: "
              << (record.attempts.empty() ? "none was made yet" : "the node was named by the user") << "\n";
  for (const KeptDecision& kept : record.decisions) {
    const auto decision = judge_decision(kept, member->identity().anchor(), member->identity().chain());
    if (!decision) {
      status = static_cast<int>(ErrorCode::Unverified);
      decisions.push_back({{"error", decision.error().message}, {"holds", false}});
      if (!quiet) std::cout << decision.error().message << "\n";
      continue;
    }
    json one = as_json(*decision);
    one["holds"] = true;
    decisions.push_back(std::move(one));
    if (!quiet) print(record, *decision, kept.chain.empty());
  }
  for (const Attempt& attempt : record.attempts) {
    attempts.push_back({{"node", attempt.node_name},
                        {"state", std::string(to_string(attempt.state))},
                        {"reason", attempt.reason},
                        {"opened", iso_time(attempt.opened.unix_ms)}});
    if (!quiet) {
      std::cout << iso_time(attempt.opened.unix_ms) << "  asked node " << attempt.node_name << ": "
                << to_string(attempt.state) << (attempt.reason.empty() ? "" : ", " + printable(attempt.reason)) << "\n";
    }
  }
  if (quiet) {
    std::cout << json{{"job", job::to_string(record.id)},
                      {"state", std::string(to_string(record.state))},
                      {"decisions", decisions},
                      {"attempts", attempts}}
                     .dump()
              << "\n";
  } else {
    std::cout << "job " << job::short_text(record.id) << " is " << to_string(record.state)
              << (record.reason.empty() ? "" : ": " + printable(record.reason)) << "\n";
  }
  return status;
}

}  // namespace

Command explain_command() {
  return {.name = "tomogrid explain",
          .summary = "why was this node chosen? the signed decision in words, and whether it holds",
          .usage = "JOB [options]",
          .description =
              "Checks the decider's certificate and signature and replays the decision from its figures. Exit status "
              "12 when it was tampered with.",
          .options = with_settings({}),
          .examples = {"tomogrid explain 7f3a", "tomogrid explain 7f3a --json"},
          .positional_min = 1,
          .positional_max = 1,
          .run = run_explain};
}

}  // namespace tomogrid::client
