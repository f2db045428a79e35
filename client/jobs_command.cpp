// `tomogrid jobs`, `attach`, `cancel`: jobs of this member, from its journal and from the nodes that have them.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "client/commands.h"
#include "client/deliver.h"
#include "client/history.h"
#include "client/run.h"

namespace tomogrid::client {

namespace {

using nlohmann::json;
using Live = std::map<job::JobId, wire::JobStatus>;

constexpr std::chrono::milliseconds kAnswersWithin{3000};

// What the nodes of unfinished jobs say of them now; those that do not answer in time are left out.
Live ask_nodes(Session& session, const std::vector<Record>& records) {
  std::map<certs::TransportPublicKey, NodePin> nodes;
  for (const Record& record : records) {
    if (record.state != RecordState::Unfinished) continue;
    for (const Attempt& attempt : record.attempts) {
      if (attempt.state != AttemptState::Over)
        nodes.try_emplace(attempt.target.transport_key,
                          NodePin{attempt.node_name, attempt.target});  // the newest record knows its address best
    }
  }
  Live live;
  if (nodes.empty()) return live;
  std::size_t open = nodes.size();
  session.on_update = [&](const Update& update) {
    const auto* answer = std::get_if<Answered>(&update);
    if (answer == nullptr) return;
    if (answer->message) {
      if (const auto* list = std::get_if<wire::JobList>(&*answer->message)) {
        for (const wire::JobStatus& status : list->jobs) live[status.job] = status;
      }
    }
    if (--open == 0) session.stop();
  };
  session.on_interrupt = [&session](bool) { session.stop(); };
  session.act([&nodes](Client& client, const wire::Now& now) {
    wire::Effects all;
    for (const auto& [key, node] : nodes) {
      for (wire::Effect& effect : client.ask(now, node, wire::ListJobs{})) all.push_back(std::move(effect));
    }
    return all;
  });
  session.after(kAnswersWithin, [&session] { session.stop(); });
  session.run();
  session.on_update = nullptr;
  return live;
}

struct Standing {
  std::string state, node, detail;
};

Standing standing_of(const Record& record, const Live& live) {
  Standing standing{std::string(to_string(record.state)), "", record.reason};
  for (const Attempt& attempt : record.attempts) {
    if (attempt.state == AttemptState::Over && record.state == RecordState::Unfinished) continue;
    standing.node = attempt.node_name;
    const auto status = live.find(attempt.job);
    if (status == live.end() || record.state != RecordState::Unfinished) continue;
    standing.state = std::string(job::to_string(status->second.state));
    std::transform(standing.state.begin(), standing.state.end(), standing.state.begin(),
                   [](char c) { return static_cast<char>(std::tolower(c)); });
    standing.detail = std::to_string(static_cast<int>(status->second.fraction * 100)) + " %";
    if (status->second.remaining) standing.detail += ", " + human_seconds(status->second.remaining->count()) + " left";
  }
  if (record.winner) standing.node = record.attempts[*record.winner].node_name;
  return standing;
}

int run_jobs(const Arguments& arguments) {
  Session session(arguments);
  std::vector<Record> records = all_records(session.journal());
  if (arguments.flag("unfinished")) {
    std::erase_if(records, [](const Record& record) {
      return record.state != RecordState::Unfinished && record.state != RecordState::Verified;
    });
  }
  const Live live = arguments.flag("offline") ? Live{} : ask_nodes(session, records);
  json list = json::array();
  for (const Record& record : records) {
    const Standing standing = standing_of(record, live);
    const auto delivery = session.journal().delivery(record.id);
    const std::vector<std::string> outputs = delivery ? delivery->outputs : std::vector<std::string>{};
    if (arguments.flag("json")) {
      list.push_back({{"job", job::to_string(record.id)},
                      {"service", job::to_string(record.service)},
                      {"state", standing.state},
                      {"node", standing.node},
                      {"detail", standing.detail},
                      {"created", iso_time(record.created.unix_ms)},
                      {"attempts", record.attempts.size()},
                      {"outputs", outputs}});
      continue;
    }
    std::cout << job::short_text(record.id) << "  " << iso_time(record.created.unix_ms) << "  "
              << job::to_string(record.service) << "  " << standing.state
              << (standing.node.empty() ? "" : "  at " + standing.node)
              << (standing.detail.empty() ? "" : "  " + printable(standing.detail))
              << (outputs.empty() ? "" : "  -> " + outputs.front()) << "\n";
  }
  if (arguments.flag("json")) std::cout << list.dump() << "\n";
  if (records.empty() && !arguments.flag("json")) std::cerr << "no jobs\n";
  return 0;
}

int run_attach(const Arguments& arguments) {
  Session session(arguments);
  const Record record = find_record(all_records(session.journal()), arguments.positional().front()).or_throw();
  JobPlan plan;
  plan.attach = record.id;
  const auto kept = session.journal().delivery(record.id);
  for (const std::string& output : arguments.texts("output"))
    plan.delivery.outputs.push_back(std::filesystem::absolute(output).string());
  if (const auto receipt = arguments.optional_text("receipt")) {
    plan.delivery.receipt = std::filesystem::absolute(*receipt).string();
  } else if (!plan.delivery.outputs.empty()) {
    plan.delivery.receipt = plan.delivery.outputs.front() + ".receipt";
  }
  const bool open = record.state == RecordState::Unfinished || record.state == RecordState::Verified;
  if (open && plan.delivery.outputs.empty() && (!kept || kept->outputs.empty()) &&
      record.service.name.starts_with("recon.")) {
    throw Failure(ErrorCode::Usage, "-o is needed: the journal does not say where the volume goes");
  }
  can_deliver(plan.delivery).or_throw();
  const bool quiet = arguments.flag("json");
  const Outcome outcome = run_job(session, plan, std::nullopt, {.json = quiet});
  if (outcome.detached) return static_cast<int>(ErrorCode::Interrupted);
  if (outcome.error) throw Failure(*outcome.error);
  if (quiet) {
    std::cout << json{{"job", job::to_string(record.id)},
                      {"node", outcome.node},
                      {"files", outcome.files},
                      {"warnings", outcome.warnings}}
                     .dump()
              << "\n";
  } else {
    for (const std::string& file : outcome.files) std::cout << file << "\n";
    if (outcome.report) std::cout << *outcome.report << "\n";
  }
  return 0;
}

int run_cancel(const Arguments& arguments) {
  Session session(arguments);
  const Record record = find_record(all_records(session.journal()), arguments.positional().front()).or_throw();
  if (record.state == RecordState::Closed || record.state == RecordState::Failed ||
      record.state == RecordState::Cancelled) {
    throw Failure(ErrorCode::Conflict,
                  "job " + job::short_text(record.id) + " is over already: " + std::string(to_string(record.state)));
  }
  JobPlan plan;
  plan.attach = record.id;
  const Outcome outcome = run_job(session, plan, std::nullopt, {.cancel = true, .json = arguments.flag("json")});
  if (outcome.error && outcome.error->code != ErrorCode::Cancelled) throw Failure(*outcome.error);
  if (auto forgotten = session.journal().forget_delivery(record.id); !forgotten) throw Failure(forgotten.error());
  if (arguments.flag("json")) {
    std::cout << json{{"job", job::to_string(record.id)}, {"cancelled", true}}.dump() << "\n";
  } else {
    std::cout << "job " << job::short_text(record.id) << " is cancelled\n";
  }
  return 0;
}

}  // namespace

Command jobs_command() {
  return {.name = "tomogrid jobs",
          .summary = "jobs of this member, newest first: where each is and how far",
          .usage = "[options]",
          .description = "",
          .options = with_settings({{"unfinished", "", "leave out what is delivered, failed or cancelled"},
                                    {"offline", "", "only what the journal says; do not ask the nodes"}}),
          .examples = {"tomogrid jobs", "tomogrid jobs --unfinished --json"},
          .run = run_jobs};
}

Command attach_command() {
  return {.name = "tomogrid attach",
          .summary = "go on with a job: watch it, and write its result where it belongs",
          .usage = "JOB [-o VOLUME ...] [options]",
          .description =
              "JOB is the beginning of a job's id (tomogrid jobs). Without -o the result goes where the command that "
              "began the job said.",
          .options =
              with_settings({{"output,o", "FILE", "other places for the volume; several allowed", std::nullopt, true},
                             {"receipt", "FILE", "where the receipt goes [as the command that began the job said]"}}),
          .examples = {"tomogrid attach 7f3a", "tomogrid attach 7f3a -o other.nii.gz"},
          .positional_min = 1,
          .positional_max = 1,
          .run = run_attach};
}

Command cancel_command() {
  return {.name = "tomogrid cancel",
          .summary = "cancel a job wherever it runs",
          .usage = "JOB [options]",
          .description = "A node that cannot be reached wipes what it has when its retention ends.",
          .options = with_settings({}),
          .examples = {"tomogrid cancel 7f3a"},
          .positional_min = 1,
          .positional_max = 1,
          .run = run_cancel};
}

}  // namespace tomogrid::client
