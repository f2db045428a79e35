// What a node does with its journal when it starts again.
#include <algorithm>

#include "node/node.h"

namespace tomogrid::node {

void Node::on_recovered(const wire::Recovered& recovered) {
  std::map<wire::JobKey, ScratchFact> scratch;
  std::vector<JobRecord> records;
  for (const wire::Row& row : recovered.rows) {
    if (row.table == kNodeTable && row.key == "drain") {
      draining_ = row.body == "on";
    } else if (row.table == kJobTable) {
      auto record = parse_job_record(row);
      if (record)
        records.push_back(*std::move(record));
      else
        report("journal.damaged", {{"reason", record.error().message}});
    } else if (row.table == kScratchTable) {
      auto fact = parse_scratch_fact(row);
      if (fact)
        scratch[fact->key] = *std::move(fact);
      else
        report("journal.damaged", {{"reason", fact.error().message}});
    }
  }
  std::sort(records.begin(), records.end(), [](const JobRecord& a, const JobRecord& b) { return a.order < b.order; });
  for (JobRecord& record : records) {
    next_order_ = std::max(next_order_, record.order + 1);
    const auto held = scratch.find(record.key);
    recover(std::move(record), held == scratch.end() ? nullptr : &held->second);
  }
  report("node.recovered", {{"jobs", std::to_string(jobs_.size())}, {"wiped", std::to_string(wiped_.size())}});
}

namespace {

// Every output of the record is in scratch, with the hash that the receipt binds.
bool holds_outputs(const JobRecord& record, const ScratchFact& scratch) {
  return std::all_of(record.outputs.begin(), record.outputs.end(), [&](const job::StreamFact& fact) {
    return std::find(scratch.outputs.begin(), scratch.outputs.end(), fact) != scratch.outputs.end();
  });
}

}  // namespace

void Node::recover(JobRecord record, const ScratchFact* scratch) {
  if (record.wiped) return remember(std::move(record));
  Job& job = jobs_[record.key];
  job.record = std::move(record);
  job.last_input = now_.instant;
  for (const InputRecord& input : job.record.inputs) job.inputs[input.fact.name];
  ledger_.hold(job.record.key, {0, Bytes(), job.record.needs.scratch});
  const job::JobFailure lost{"lost", "this node restarted and its scratch is gone", job::Retry::Elsewhere};

  if (job.record.collected || job.record.state == job::JobState::Failed ||
      job.record.state == job::JobState::Cancelled) {
    return ask_wipe(job);
  }
  if (job.record.state == job::JobState::Finished) {
    if (scratch == nullptr || !holds_outputs(job.record, *scratch)) {
      job.record.outputs.clear();
      job.record.receipt.reset();
      return fail(job, lost);
    }
    job.expires_at = now_.instant + std::max(job.record.expires - now_.wall, std::chrono::milliseconds(0));
    return;
  }
  if (scratch == nullptr) return fail(job, lost);
  for (InputRecord& input : job.record.inputs) {
    const auto held = std::find_if(scratch->inputs.begin(), scratch->inputs.end(),
                                   [&](const ScratchFact::Input& item) { return item.name == input.fact.name; });
    if (held == scratch->inputs.end() || held->length != input.fact.length.count()) return fail(job, lost);
    if (input.complete && held->root != input.fact.root)
      return fail(job, lost);  // altered or cut since it was received
    for (const auto& [begin, end] : held->stored) job.inputs[input.fact.name].available.add(begin, end);
  }
  const auto& files = scratch->outputs;
  const bool checkpoint = std::any_of(files.begin(), files.end(),
                                      [&](const job::StreamFact& fact) { return fact.name == job.record.checkpoint; });
  if (!checkpoint) job.record.checkpoint.clear();
  job.record.state = job::JobState::Queued;
  report("job.recovered", {{"job", job::short_text(job.record.key.job)},
                           {"input", job.record.input_complete() ? "complete" : "incomplete"}});
}

}  // namespace tomogrid::node
