#include "client/record.h"

#include <nlohmann/json.hpp>

#include "certs/content_hash.h"
#include "job/service.h"

namespace tomogrid::client {

using nlohmann::json;

namespace {

template <class T>
T need(std::optional<T> value, const char* what) {
  if (!value) throw std::invalid_argument(what);
  return *std::move(value);
}

ByteString bytes(const json& text, const char* what) {
  return need(from_hex(text.get<std::string>()), what);
}

json of(const certs::Signed& record) {
  return to_hex(certs::encode(record));
}
certs::Signed signed_of(const json& text) {
  auto record = certs::decode_signed(bytes(text, "signed"));
  if (!record) throw std::invalid_argument(record.error().message);
  return *std::move(record);
}

json of(const job::StreamFact& fact) {
  return {{"name", fact.name}, {"length", fact.length.count()}, {"root", to_hex(fact.root)}};
}
job::StreamFact fact_of(const json& value) {
  job::StreamFact fact{value.at("name").get<std::string>(), Bytes(value.at("length").get<std::uint64_t>()), {}};
  const ByteString root = bytes(value.at("root"), "root");
  if (root.size() != fact.root.size()) throw std::invalid_argument("root");
  std::copy(root.begin(), root.end(), fact.root.begin());
  return fact;
}
std::vector<job::StreamFact> facts_of(const json& list) {
  std::vector<job::StreamFact> facts;
  for (const json& value : list) facts.push_back(fact_of(value));
  return facts;
}
json of(const std::vector<job::StreamFact>& facts) {
  json list = json::array();
  for (const job::StreamFact& fact : facts) list.push_back(of(fact));
  return list;
}

json of(const wire::Target& target) {
  json value{{"host", target.host},
             {"port", target.control_port},
             {"key", to_hex(target.transport_key.bytes)},
             {"role", std::string(certs::to_string(target.role))}};
  if (target.member) value["member"] = certs::to_string(*target.member);
  return value;
}
wire::Target target_of(const json& value) {
  wire::Target target;
  target.host = value.at("host").get<std::string>();
  target.control_port = value.at("port").get<std::uint16_t>();
  const ByteString key = bytes(value.at("key"), "key");
  if (key.size() != target.transport_key.bytes.size()) throw std::invalid_argument("key");
  std::copy(key.begin(), key.end(), target.transport_key.bytes.begin());
  target.role = need(certs::parse_role(value.at("role").get<std::string>()), "role");
  if (value.contains("member"))
    target.member = need(certs::parse_member_id(value["member"].get<std::string>()), "member");
  return target;
}

json of(const Attempt& attempt) {
  json value{{"job", job::to_string(attempt.job)},
             {"node", certs::to_string(attempt.node)},
             {"name", attempt.node_name},
             {"target", of(attempt.target)},
             {"state", std::string(to_string(attempt.state))},
             {"reason", printable(attempt.reason)},
             {"opened", attempt.opened.unix_ms}};
  if (attempt.ticket) value["ticket"] = of(*attempt.ticket);
  return value;
}

template <class State>
State state_of(const json& text, std::initializer_list<State> all) {
  for (const State state : all) {
    if (to_string(state) == text.get<std::string>()) return state;
  }
  throw std::invalid_argument("state");
}

Attempt attempt_of(const json& value) {
  Attempt attempt;
  attempt.job = need(job::parse_id<job::JobId>(value.at("job").get<std::string>()), "job");
  attempt.node = need(certs::parse_member_id(value.at("node").get<std::string>()), "node");
  attempt.node_name = value.at("name").get<std::string>();
  attempt.target = target_of(value.at("target"));
  attempt.state = state_of(value.at("state"), {AttemptState::Opening, AttemptState::Accepted, AttemptState::Over});
  attempt.reason = value.at("reason").get<std::string>();
  attempt.opened = {value.at("opened").get<std::int64_t>()};
  if (value.contains("ticket")) attempt.ticket = signed_of(value["ticket"]);
  return attempt;
}

json of(const job::Needs& needs) {
  return {{"cores_min", needs.cores_min},     {"cores_max", needs.cores_max}, {"memory", needs.memory.count()},
          {"scratch", needs.scratch.count()}, {"work", needs.work.count()},   {"labels", needs.labels}};
}
job::Needs needs_of(const json& value) {
  return {value.at("cores_min").get<std::uint32_t>(),     value.at("cores_max").get<std::uint32_t>(),
          Bytes(value.at("memory").get<std::uint64_t>()), Bytes(value.at("scratch").get<std::uint64_t>()),
          FlopCount(value.at("work").get<double>()),      value.at("labels").get<std::vector<std::string>>()};
}

Record record_of(const json& value) {
  Record record;
  record.id = need(job::parse_id<job::JobId>(value.at("id").get<std::string>()), "id");
  record.service = need(job::parse_service_name(value.at("service").get<std::string>()), "service");
  auto parameters = job::parse_parameters(value.at("parameters").get<std::string>());
  if (!parameters) throw std::invalid_argument(parameters.error().message);
  record.parameters = *std::move(parameters);
  record.needs = needs_of(value.at("needs"));
  record.inputs = facts_of(value.at("inputs"));
  record.outputs_required = value.at("outputs_required").get<std::vector<std::string>>();
  record.created = {value.at("created").get<std::int64_t>()};
  record.state = state_of(value.at("state"), {RecordState::Unfinished, RecordState::Verified, RecordState::Closed,
                                              RecordState::Failed, RecordState::Cancelled});
  record.reason = value.at("reason").get<std::string>();
  for (const json& attempt : value.at("attempts")) record.attempts.push_back(attempt_of(attempt));
  if (value.contains("winner")) {
    record.winner = value["winner"].get<std::size_t>();
    if (*record.winner >= record.attempts.size()) throw std::invalid_argument("winner");
  }
  if (value.contains("receipt"))
    record.receipt = {signed_of(value["receipt"]), bytes(value.at("receipt_chain"), "chain")};
  record.outputs = facts_of(value.at("outputs"));
  for (const json& kept : value.at("decisions")) {
    record.decisions.push_back({signed_of(kept.at("decision")), bytes(kept.at("chain"), "chain")});
  }
  return record;
}

}  // namespace

std::string_view to_string(AttemptState state) {
  switch (state) {
    case AttemptState::Opening:
      return "opening";
    case AttemptState::Accepted:
      return "accepted";
    case AttemptState::Over:
      return "over";
  }
  return "unknown";
}

std::string_view to_string(RecordState state) {
  switch (state) {
    case RecordState::Unfinished:
      return "unfinished";
    case RecordState::Verified:
      return "verified";
    case RecordState::Closed:
      return "closed";
    case RecordState::Failed:
      return "failed";
    case RecordState::Cancelled:
      return "cancelled";
  }
  return "unknown";
}

std::string encode(const Record& record) {
  json attempts = json::array(), decisions = json::array();
  for (const Attempt& attempt : record.attempts) attempts.push_back(of(attempt));
  for (const KeptDecision& kept : record.decisions) {
    decisions.push_back({{"decision", of(kept.decision)}, {"chain", to_hex(kept.chain)}});
  }
  json value{{"id", job::to_string(record.id)},
             {"service", job::to_string(record.service)},
             {"parameters", job::canonical_text(record.parameters)},
             {"needs", of(record.needs)},
             {"inputs", of(record.inputs)},
             {"outputs_required", record.outputs_required},
             {"created", record.created.unix_ms},
             {"state", std::string(to_string(record.state))},
             {"reason", printable(record.reason)},
             {"attempts", std::move(attempts)},
             {"outputs", of(record.outputs)},
             {"decisions", std::move(decisions)}};
  if (record.winner) value["winner"] = *record.winner;
  if (record.receipt) {
    value["receipt"] = of(record.receipt->receipt);
    value["receipt_chain"] = to_hex(record.receipt->chain);
  }
  return value.dump();
}

Result<Record> decode_record(std::string_view text) {
  try {
    return record_of(json::parse(text));
  } catch (const std::exception& error) {
    return Error{ErrorCode::BadInput, std::string("a job in the client's journal cannot be read: ") + error.what()};
  }
}

wire::Row row_of(const Record& record) {
  return {"job", job::to_string(record.id), encode(record)};
}

wire::Row row_of(const KnownNode& node) {
  const json value{{"name", node.name}, {"target", of(node.target)}, {"seen", node.seen.unix_ms}};
  return {"node", node.name, value.dump()};
}

Result<KnownNode> decode_known_node(std::string_view text) {
  try {
    const json value = json::parse(text);
    return KnownNode{
        value.at("name").get<std::string>(), target_of(value.at("target")), {value.at("seen").get<std::int64_t>()}};
  } catch (const std::exception& error) {
    return Error{ErrorCode::BadInput, std::string("a node in the client's journal cannot be read: ") + error.what()};
  }
}

job::Digest fingerprint(const job::ServiceName& service, const job::Parameters& parameters,
                        const std::vector<job::StreamFact>& inputs) {
  std::string text = job::to_string(service) + "\n" + job::canonical_text(parameters) + "\n";
  for (const job::StreamFact& input : inputs) {
    text += input.name + " " + std::to_string(input.length.count()) + " " + to_hex(input.root) + "\n";
  }
  return certs::sha256(bytes_of(text));
}

}  // namespace tomogrid::client
