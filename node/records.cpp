#include "node/records.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace tomogrid::node {

using nlohmann::json;

namespace {

struct Malformed {
  std::string what;
};

template <std::size_t N>
std::array<std::uint8_t, N> fixed_bytes(const json& value) {
  const auto bytes = from_hex(value.get<std::string>());
  if (!bytes || bytes->size() != N) throw Malformed{"not " + std::to_string(2 * N) + " hexadecimal digits"};
  std::array<std::uint8_t, N> result{};
  std::copy(bytes->begin(), bytes->end(), result.begin());
  return result;
}

json fact_json(const job::StreamFact& fact) {
  return {{"name", fact.name}, {"length", fact.length.count()}, {"root", to_hex(fact.root)}};
}

job::StreamFact fact_of(const json& value) {
  return {value.at("name").get<std::string>(), Bytes(value.at("length").get<std::uint64_t>()),
          fixed_bytes<32>(value.at("root"))};
}

template <class Enum>
Enum enum_of(const json& value, std::initializer_list<Enum> all) {
  const auto word = value.get<std::string>();
  for (const Enum item : all) {
    if (to_string(item) == word) return item;
  }
  throw Malformed{"word \"" + printable(word) + "\" is not known"};
}

job::ServiceName service_of(const json& value) {
  const auto service = job::parse_service_name(value.get<std::string>());
  if (!service) throw Malformed{"service is not NAME/VERSION"};
  return *service;
}

json needs_json(const job::Needs& needs) {
  return {{"cores_min", needs.cores_min},     {"cores_max", needs.cores_max}, {"memory", needs.memory.count()},
          {"scratch", needs.scratch.count()}, {"work", needs.work.count()},   {"labels", needs.labels}};
}

job::Needs needs_of(const json& value) {
  return {value.at("cores_min").get<std::uint32_t>(),     value.at("cores_max").get<std::uint32_t>(),
          Bytes(value.at("memory").get<std::uint64_t>()), Bytes(value.at("scratch").get<std::uint64_t>()),
          FlopCount(value.at("work").get<double>()),      value.at("labels").get<std::vector<std::string>>()};
}

template <class T, class Parse>
Result<T> guarded(const wire::Row& row, Parse parse) {
  const auto damaged = [&](const std::string& what) {
    return Error{ErrorCode::BadInput, "journal row " + row.table + " " + printable(row.key) + " is damaged: " + what};
  };
  try {
    const auto key = parse_row_key(row.key);
    if (!key) return damaged("its key is not CLIENT/JOB");
    return parse(*key, json::parse(row.body));
  } catch (const Malformed& malformed) {
    return damaged(malformed.what);
  } catch (const json::exception& malformed) {
    return damaged(printable(malformed.what()));
  }
}

}  // namespace

bool JobRecord::input_complete() const {
  return std::all_of(inputs.begin(), inputs.end(), [](const InputRecord& input) { return input.complete; });
}

std::string row_key(const wire::JobKey& key) {
  return certs::to_string(key.client) + "/" + job::to_string(key.job);
}

std::optional<wire::JobKey> parse_row_key(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto client = certs::parse_member_id(text.substr(0, slash));
  const auto id = job::parse_id<job::JobId>(text.substr(slash + 1));
  if (!client || !id) return std::nullopt;
  return wire::JobKey{*client, *id};
}

wire::Row encode(const JobRecord& record) {
  json body{{"service", to_string(record.service)},
            {"parameters", record.parameters},
            {"needs", needs_json(record.needs)},
            {"state", std::string(to_string(record.state))},
            {"grant",
             {{"cores", record.grant.cores},
              {"memory", record.grant.memory.count()},
              {"scratch", record.grant.scratch.count()}}},
            {"deaths", record.deaths},
            {"checkpoint", record.checkpoint},
            {"order", record.order},
            {"accepted", record.accepted.unix_ms},
            {"ended", record.ended.unix_ms},
            {"expires", record.expires.unix_ms},
            {"collected", record.collected},
            {"wiped", record.wiped}};
  body["inputs"] = json::array();
  for (const InputRecord& input : record.inputs) {
    json item = fact_json(input.fact);
    item["complete"] = input.complete;
    body["inputs"].push_back(std::move(item));
  }
  body["outputs"] = json::array();
  for (const job::StreamFact& output : record.outputs) body["outputs"].push_back(fact_json(output));
  if (record.managed) body["ticket"] = job::to_string(record.ticket);
  if (record.failure) {
    body["failure"] = {{"code", record.failure->code},
                       {"message", record.failure->message},
                       {"retry", std::string(to_string(record.failure->retry))}};
  }
  if (record.receipt) {
    body["receipt"] = {{"body", to_hex(record.receipt->body)}, {"signature", to_hex(record.receipt->signature)}};
  }
  return {kJobTable, row_key(record.key), body.dump(-1, ' ', false, json::error_handler_t::replace)};
}

Result<JobRecord> parse_job_record(const wire::Row& row) {
  return guarded<JobRecord>(row, [](const wire::JobKey& key, const json& body) {
    using job::JobState;
    using job::Retry;
    JobRecord record;
    record.key = key;
    record.service = service_of(body.at("service"));
    record.parameters = body.at("parameters").get<std::string>();
    record.needs = needs_of(body.at("needs"));
    record.state = enum_of(body.at("state"), {JobState::Queued, JobState::Running, JobState::Finished, JobState::Failed,
                                              JobState::Cancelled});
    const json& grant = body.at("grant");
    record.grant = {grant.at("cores").get<std::uint32_t>(), Bytes(grant.at("memory").get<std::uint64_t>()),
                    Bytes(grant.at("scratch").get<std::uint64_t>())};
    record.deaths = body.at("deaths").get<std::uint32_t>();
    record.checkpoint = body.at("checkpoint").get<std::string>();
    record.order = body.at("order").get<std::uint64_t>();
    record.accepted = {body.at("accepted").get<std::int64_t>()};
    record.ended = {body.at("ended").get<std::int64_t>()};
    record.expires = {body.at("expires").get<std::int64_t>()};
    record.collected = body.at("collected").get<bool>();
    record.wiped = body.at("wiped").get<bool>();
    for (const json& item : body.at("inputs"))
      record.inputs.push_back({fact_of(item), item.at("complete").get<bool>()});
    for (const json& item : body.at("outputs")) record.outputs.push_back(fact_of(item));
    if (body.contains("ticket")) {
      record.managed = true;
      record.ticket.bytes = fixed_bytes<16>(body["ticket"]);
    }
    if (body.contains("failure")) {
      const json& failure = body["failure"];
      record.failure = {failure.at("code").get<std::string>(), failure.at("message").get<std::string>(),
                        enum_of(failure.at("retry"), {Retry::Here, Retry::Elsewhere, Retry::Never})};
    }
    if (body.contains("receipt")) {
      const json& receipt = body["receipt"];
      const auto signed_body = from_hex(receipt.at("body").get<std::string>());
      if (!signed_body) throw Malformed{"receipt is not hexadecimal"};
      record.receipt =
          certs::Signed{std::string(certs::kinds::receipt), *signed_body, fixed_bytes<64>(receipt.at("signature"))};
    }
    return record;
  });
}

wire::Row encode(const ScratchFact& fact) {
  json inputs = json::array(), outputs = json::array();
  for (const ScratchFact::Input& input : fact.inputs) {
    json item{{"name", input.name}, {"length", input.length}, {"stored", input.stored}};
    if (input.root) item["root"] = to_hex(*input.root);
    inputs.push_back(std::move(item));
  }
  for (const job::StreamFact& output : fact.outputs) outputs.push_back(fact_json(output));
  return {kScratchTable, row_key(fact.key), json{{"inputs", inputs}, {"outputs", outputs}}.dump()};
}

Result<ScratchFact> parse_scratch_fact(const wire::Row& row) {
  return guarded<ScratchFact>(row, [](const wire::JobKey& key, const json& body) {
    ScratchFact fact;
    fact.key = key;
    for (const json& item : body.at("inputs")) {
      ScratchFact::Input input;
      input.name = item.at("name").get<std::string>();
      input.length = item.at("length").get<std::uint64_t>();
      input.stored = item.at("stored").get<std::vector<std::pair<std::uint64_t, std::uint64_t>>>();
      if (item.contains("root")) input.root = fixed_bytes<32>(item["root"]);
      fact.inputs.push_back(std::move(input));
    }
    for (const json& item : body.at("outputs")) fact.outputs.push_back(fact_of(item));
    return fact;
  });
}

wire::Row encode(const WorkerRecord& record) {
  return {kWorkerTable, row_key(record.key),
          json{{"process_group", record.process_group}, {"start_time", record.start_time}}.dump()};
}

Result<WorkerRecord> parse_worker_record(const wire::Row& row) {
  return guarded<WorkerRecord>(row, [](const wire::JobKey& key, const json& body) {
    return WorkerRecord{key, body.at("process_group").get<std::int32_t>(), body.at("start_time").get<std::uint64_t>()};
  });
}

}  // namespace tomogrid::node
