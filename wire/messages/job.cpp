#include "wire/messages/job.h"

#include "wire/messages/codecs.h"

namespace tomogrid::wire {

namespace codec {

namespace {

void put(schema::StreamFact::Builder to, const job::StreamFact& from) {
  to.setName(from.name);
  to.setLength(from.length.count());
  to.setRoot(data_of(from.root));
}
job::StreamFact get_fact(schema::StreamFact::Reader from) {
  job::StreamFact fact;
  fact.name = get_name(from.getName(), "stream");
  fact.length = Bytes(from.getLength());
  fact.root = get_fixed<32>(from.getRoot(), "root");
  return fact;
}
template <class List>
void put_facts(List list, const std::vector<job::StreamFact>& facts) {
  put_each(list, facts, [](auto& to, unsigned i, const job::StreamFact& fact) { put(to[i], fact); });
}
template <class List>
std::vector<job::StreamFact> get_facts(const List& list, const char* field) {
  return get_each<job::StreamFact>(list, field, kStreamsPerJobMax, get_fact);
}

struct PutParameter {
  schema::Parameter::Value::Builder to;
  void operator()(bool value) { to.setBoolean(value); }
  void operator()(std::int64_t value) { to.setInteger(value); }
  void operator()(double value) { to.setNumber(value); }
  void operator()(const std::string& value) { to.setText(value); }
};
job::ParameterValue get_parameter(schema::Parameter::Value::Reader from) {
  switch (from.which()) {
    case schema::Parameter::Value::BOOLEAN: return from.getBoolean();
    case schema::Parameter::Value::INTEGER: return from.getInteger();
    case schema::Parameter::Value::NUMBER:
      if (!std::isfinite(from.getNumber())) refuse("parameter", "is not a finite number");
      return from.getNumber();
    case schema::Parameter::Value::TEXT: return get_sentence(from.getText(), "parameter", kParameterTextLimit);
  }
  refuse("parameter", "is of an unknown type");
}

void put(schema::JobFailure::Builder to, const job::JobFailure& from) {
  to.setCode(from.code);
  to.setMessage(sentence(from.message));
  to.setRetry(static_cast<std::uint8_t>(from.retry));
}
job::JobFailure get_failure(schema::JobFailure::Reader from) {
  return {get_word(from.getCode(), "failure", kWordLimit), get_sentence(from.getMessage(), "message"),
          get_enum(from.getRetry(), job::Retry::Never, "retry")};
}

// A null pointer is absence; anything else must be a record.
std::optional<certs::Signed> get_optional_signed(bool has, ::capnp::Data::Reader data, const char* field, std::string_view kind) {
  if (!has) return std::nullopt;
  return get_signed(data, field, kind);
}

}  // namespace

void put(schema::Open::Builder to, const Open& from) {
  to.setJob(data_of(from.job.bytes));
  if (from.ticket) put_signed([&](auto data) { to.setTicket(data); }, *from.ticket);
  put(to.initService(), from.service);
  put_each(to.initParameters(count_of(from.parameters.size())), from.parameters, [](auto& list, unsigned i, const auto& entry) {
    list[i].setName(entry.first);
    std::visit(PutParameter{list[i].getValue()}, entry.second);
  });
  put(to.initNeeds(), from.needs);
  put_facts(to.initInputs(count_of(from.inputs.size())), from.inputs);
}
void get(schema::Open::Reader from, Open& to) {
  to.job = get_id<job::JobId>(from.getJob(), "job");
  to.ticket = get_optional_signed(from.hasTicket(), from.getTicket(), "ticket", certs::kinds::ticket);
  get(from.getService(), to.service);
  const auto parameters = from.getParameters();
  if (parameters.size() > kParametersMax) refuse("parameters", "has " + std::to_string(parameters.size()) + " entries");
  for (const auto entry : parameters) to.parameters[get_name(entry.getName(), "parameter")] = get_parameter(entry.getValue());
  get(from.getNeeds(), to.needs);
  to.inputs = get_facts(from.getInputs(), "inputs");
}

void put(schema::OpenRefused::Builder to, const OpenRefused& from) {
  to.setJob(data_of(from.job.bytes));
  to.setCode(from.code);
  to.setReason(sentence(from.reason));
  to.setRetry(static_cast<std::uint8_t>(from.retry));
}
void get(schema::OpenRefused::Reader from, OpenRefused& to) {
  to.job = get_id<job::JobId>(from.getJob(), "job");
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.reason = get_sentence(from.getReason(), "reason");
  to.retry = get_enum(from.getRetry(), job::Retry::Never, "retry");
}

void put(schema::JobStatus::Builder to, const JobStatus& from) {
  to.setJob(data_of(from.job.bytes));
  put(to.initService(), from.service);
  to.setState(static_cast<std::uint8_t>(from.state));
  to.setInputComplete(from.input_complete);
  to.setStage(from.stage);
  to.setFraction(from.fraction + 0.0);
  if (from.remaining) {
    to.getRemaining().setSeconds(from.remaining->count() + 0.0);
  } else {
    to.getRemaining().setUnknown();
  }
  to.setStep(from.step);
  to.setSteps(from.steps);
  put(to.initGrant(), from.grant);
  if (from.failure) put(to.initFailure(), *from.failure);
  put_facts(to.initOutputs(count_of(from.outputs.size())), from.outputs);
  if (from.receipt) put_signed([&](auto data) { to.setReceipt(data); }, *from.receipt);
  to.setExpiresMs(from.expires.unix_ms);
}
void get(schema::JobStatus::Reader from, JobStatus& to) {
  to.job = get_id<job::JobId>(from.getJob(), "job");
  get(from.getService(), to.service);
  to.state = get_enum(from.getState(), job::JobState::Cancelled, "state");
  to.input_complete = from.getInputComplete();
  to.stage = get_word(from.getStage(), "stage", kWordLimit, true);
  to.fraction = get_number(from.getFraction(), "fraction");
  if (to.fraction > 1) refuse("fraction", "is over 1");
  const auto remaining = from.getRemaining();
  if (remaining.isSeconds()) to.remaining = Seconds(get_number(remaining.getSeconds(), "remaining"));
  to.step = from.getStep();
  to.steps = from.getSteps();
  get(from.getGrant(), to.grant);
  if (from.hasFailure()) to.failure = get_failure(from.getFailure());
  to.outputs = get_facts(from.getOutputs(), "outputs");
  to.receipt = get_optional_signed(from.hasReceipt(), from.getReceipt(), "receipt", certs::kinds::receipt);
  to.expires = get_wall(from.getExpiresMs(), "expires");
}

void put(schema::JobNotice::Builder to, const JobNotice& from) {
  to.setJob(data_of(from.job.bytes));
  to.setCode(from.code);
  to.setMessage(sentence(from.message));
}
void get(schema::JobNotice::Reader from, JobNotice& to) {
  to.job = get_id<job::JobId>(from.getJob(), "job");
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.message = get_sentence(from.getMessage(), "message");
}

void put(schema::Attach::Builder to, const Attach& from) { to.setJob(data_of(from.job.bytes)); }
void get(schema::Attach::Reader from, Attach& to) { to.job = get_id<job::JobId>(from.getJob(), "job"); }
void put(schema::CancelJob::Builder to, const CancelJob& from) { to.setJob(data_of(from.job.bytes)); }
void get(schema::CancelJob::Reader from, CancelJob& to) { to.job = get_id<job::JobId>(from.getJob(), "job"); }
void put(schema::Collected::Builder to, const Collected& from) { to.setJob(data_of(from.job.bytes)); }
void get(schema::Collected::Reader from, Collected& to) { to.job = get_id<job::JobId>(from.getJob(), "job"); }
void put(schema::Wiped::Builder to, const Wiped& from) { to.setJob(data_of(from.job.bytes)); }
void get(schema::Wiped::Reader from, Wiped& to) { to.job = get_id<job::JobId>(from.getJob(), "job"); }

void put(schema::Fetch::Builder to, const Fetch& from) {
  to.setJob(data_of(from.job.bytes));
  to.setName(from.name);
}
void get(schema::Fetch::Reader from, Fetch& to) {
  to.job = get_id<job::JobId>(from.getJob(), "job");
  to.name = get_name(from.getName(), "name");
}

void put(schema::JobRefused::Builder to, const JobRefused& from) {
  to.setJob(data_of(from.job.bytes));
  to.setCode(from.code);
  to.setReason(sentence(from.reason));
}
void get(schema::JobRefused::Reader from, JobRefused& to) {
  to.job = get_id<job::JobId>(from.getJob(), "job");
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.reason = get_sentence(from.getReason(), "reason");
}

void put(schema::ListJobs::Builder, const ListJobs&) {}
void get(schema::ListJobs::Reader, ListJobs&) {}

void put(schema::JobList::Builder to, const JobList& from) { put_structs(to.initJobs(count_of(from.jobs.size())), from.jobs); }
void get(schema::JobList::Reader from, JobList& to) { to.jobs = get_structs<JobStatus>(from.getJobs(), "jobs", kJobsListedMax); }

void put(schema::Drain::Builder to, const Drain& from) { to.setOn(from.on); }
void get(schema::Drain::Reader from, Drain& to) { to.on = from.getOn(); }

void put(schema::Drained::Builder to, const Drained& from) {
  to.setOn(from.on);
  to.setJobsLeft(from.jobs_left);
}
void get(schema::Drained::Reader from, Drained& to) {
  to.on = from.getOn();
  to.jobs_left = from.getJobsLeft();
}

void put(schema::Receipt::Builder to, const Receipt& from) {
  to.setFederation(from.federation);
  to.setJob(data_of(from.job.bytes));
  to.setClient(data_of(from.client.bytes));
  to.setNode(data_of(from.node.bytes));
  put(to.initService(), from.service);
  to.setWorkerBuild(data_of(from.worker_build));
  to.setParameters(from.parameters);
  put_facts(to.initInputs(count_of(from.inputs.size())), from.inputs);
  put_facts(to.initOutputs(count_of(from.outputs.size())), from.outputs);
  to.setFinishedMs(from.finished.unix_ms);
}
void get(schema::Receipt::Reader from, Receipt& to) {
  to.federation = get_name(from.getFederation(), "federation");
  to.job = get_id<job::JobId>(from.getJob(), "job");
  to.client = get_id<certs::MemberId>(from.getClient(), "client");
  to.node = get_id<certs::MemberId>(from.getNode(), "node");
  get(from.getService(), to.service);
  to.worker_build = get_fixed<32>(from.getWorkerBuild(), "worker build");
  to.parameters = get_sentence(from.getParameters(), "parameters", kParametersTextLimit);
  to.inputs = get_facts(from.getInputs(), "inputs");
  to.outputs = get_facts(from.getOutputs(), "outputs");
  to.finished = get_wall(from.getFinishedMs(), "finished");
}

}  // namespace codec

ByteString encode_body(const Receipt& receipt) { return codec::encode_value<schema::Receipt>(receipt); }
Result<Receipt> decode_receipt(ByteView body) { return codec::decode_value<schema::Receipt, Receipt>(body, kReceiptLimit, "a receipt"); }

}  // namespace tomogrid::wire
