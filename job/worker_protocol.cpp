#include "job/worker_protocol.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "job/service.h"

namespace tomogrid::job {

using nlohmann::json;

namespace {

struct Malformed {
  std::string what;
};

const json& member(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) throw Malformed{std::string("member \"") + name + "\" is missing"};
  return *found;
}

std::string text(const json& object, const char* name) {
  const json& value = member(object, name);
  if (!value.is_string()) throw Malformed{std::string("\"") + name + "\" is not text"};
  return printable(value.get<std::string>());
}

std::string stream_name(const json& object, const char* name) {
  std::string value = text(object, name);
  if (!is_name(value)) throw Malformed{std::string("\"") + name + "\" is not a stream's name"};
  return value;
}

std::uint64_t whole(const json& object, const char* name, std::uint64_t most) {
  const json& value = member(object, name);
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) {
    throw Malformed{std::string("\"") + name + "\" is not a whole number up to " + std::to_string(most)};
  }
  return value.get<std::uint64_t>();
}

double number(const json& object, const char* name, double least, double most) {
  const json& value = member(object, name);
  if (!value.is_number()) throw Malformed{std::string("\"") + name + "\" is not a number"};
  const double result = value.get<double>();
  if (!std::isfinite(result) || result < least || result > most) throw Malformed{std::string("\"") + name + "\" is out of range"};
  return result;
}

json object_of(std::string_view line) {
  if (line.size() > kWorkerLineLimit) throw Malformed{"line of " + std::to_string(line.size()) + " bytes, 65536 allowed"};
  if (!is_utf8(line)) throw Malformed{"not UTF-8"};
  json parsed = json::parse(line);
  if (!parsed.is_object()) throw Malformed{"not an object"};
  return parsed;
}

template <class T, class Parse>
Result<T> guarded(const char* what, Parse parse) {
  try {
    return parse();
  } catch (const Malformed& malformed) {
    return Error{ErrorCode::BadInput, std::string(what) + ": " + malformed.what};
  } catch (const json::exception& malformed) {
    return Error{ErrorCode::BadInput, std::string(what) + ": " + printable(malformed.what())};
  }
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

std::string dump(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

Retry parse_retry(const std::string& word) {
  for (const Retry retry : {Retry::Here, Retry::Elsewhere, Retry::Never}) {
    if (word == to_string(retry)) return retry;
  }
  throw Malformed{"\"retry\" is not here, elsewhere or never"};
}

}  // namespace

std::string encode(const WorkOrder& order) {
  json inputs = json::array();
  for (const StreamFact& input : order.inputs) {
    inputs.push_back({{"name", input.name}, {"length", input.length.count()}, {"root", to_hex(input.root)}});
  }
  return dump({{"job", to_string(order.job)},
               {"service", to_string(order.service)},
               {"parameters", json::parse(canonical_text(order.parameters))},
               {"grant",
                {{"cores", order.grant.cores},
                 {"memory_bytes", order.grant.memory.count()},
                 {"scratch_bytes", order.grant.scratch.count()}}},
               {"inputs", inputs}});
}

Result<WorkOrder> parse_work_order(std::string_view document) {
  return guarded<WorkOrder>("job.json", [&] {
    const json root = json::parse(document);
    if (!root.is_object()) throw Malformed{"not an object"};
    WorkOrder order;
    const auto id = parse_id<JobId>(text(root, "job"));
    if (!id) throw Malformed{"\"job\" is not 32 hexadecimal digits"};
    order.job = *id;
    const auto service = parse_service_name(text(root, "service"));
    if (!service) throw Malformed{"\"service\" is not NAME/VERSION"};
    order.service = *service;
    auto parameters = parse_parameters(member(root, "parameters").dump());
    if (!parameters) throw Malformed{parameters.error().message};
    order.parameters = *std::move(parameters);
    const json& grant = member(root, "grant");
    order.grant.cores = static_cast<std::uint32_t>(whole(grant, "cores", 1U << 20));
    order.grant.memory = Bytes(whole(grant, "memory_bytes", UINT64_MAX));
    order.grant.scratch = Bytes(whole(grant, "scratch_bytes", UINT64_MAX));
    for (const json& item : member(root, "inputs")) {
      StreamFact input;
      input.name = stream_name(item, "name");
      input.length = Bytes(whole(item, "length", UINT64_MAX));
      const auto digest = from_hex(text(item, "root"));
      if (!digest || digest->size() != input.root.size()) throw Malformed{"\"root\" is not 64 hexadecimal digits"};
      std::copy(digest->begin(), digest->end(), input.root.begin());
      order.inputs.push_back(std::move(input));
    }
    return order;
  });
}

std::string encode(const ToWorker& line) {
  return dump(std::visit(
      Overloaded{
          [](const InputAvailable& m) { return json{{"event", "input"}, {"name", m.name}, {"offset", m.offset}, {"length", m.length}}; },
          [](const InputComplete& m) { return json{{"event", "complete"}, {"name", m.name}}; },
          [](const Cancel&) { return json{{"event", "cancel"}}; },
          [](const CheckpointNow&) { return json{{"event", "checkpoint"}}; },
      },
      line));
}

std::string encode(const FromWorker& line) {
  return dump(std::visit(
      Overloaded{
          [](const Progress& m) {
            json value{{"event", "progress"}, {"stage", m.stage}, {"fraction", m.fraction}, {"step", m.step}, {"steps", m.steps}};
            if (m.remaining) value["remaining_s"] = m.remaining->count();
            return value;
          },
          [](const PreviewReady& m) { return json{{"event", "preview"}, {"name", m.name}, {"caption", m.caption}}; },
          [](const CheckpointReady& m) { return json{{"event", "checkpoint"}, {"name", m.name}, {"step", m.step}}; },
          [](const Notice& m) { return json{{"event", "notice"}, {"code", m.code}, {"message", m.message}}; },
          [](const WorkerFailed& m) {
            return json{{"event", "failed"},
                        {"code", m.failure.code},
                        {"message", m.failure.message},
                        {"retry", std::string(to_string(m.failure.retry))}};
          },
      },
      line));
}

Result<ToWorker> parse_to_worker(std::string_view line) {
  return guarded<ToWorker>("line to worker", [&]() -> ToWorker {
    const json object = object_of(line);
    const std::string event = text(object, "event");
    if (event == "input") {
      InputAvailable range{stream_name(object, "name"), whole(object, "offset", UINT64_MAX), whole(object, "length", UINT64_MAX)};
      if (range.offset + range.length < range.offset) throw Malformed{"the range wraps"};
      return range;
    }
    if (event == "complete") return InputComplete{stream_name(object, "name")};
    if (event == "cancel") return Cancel{};
    if (event == "checkpoint") return CheckpointNow{};
    throw Malformed{"event \"" + event + "\" is not known"};
  });
}

Result<FromWorker> parse_from_worker(std::string_view line) {
  return guarded<FromWorker>("line from worker", [&]() -> FromWorker {
    const json object = object_of(line);
    const std::string event = text(object, "event");
    if (event == "progress") {
      Progress progress;
      progress.stage = text(object, "stage");
      progress.fraction = number(object, "fraction", 0.0, 1.0);
      progress.step = static_cast<std::uint32_t>(whole(object, "step", UINT32_MAX));
      progress.steps = static_cast<std::uint32_t>(whole(object, "steps", UINT32_MAX));
      if (object.contains("remaining_s")) progress.remaining = Seconds(number(object, "remaining_s", 0.0, 1e9));
      return progress;
    }
    if (event == "preview") return PreviewReady{stream_name(object, "name"), text(object, "caption")};
    if (event == "checkpoint") {
      return CheckpointReady{stream_name(object, "name"), static_cast<std::uint32_t>(whole(object, "step", UINT32_MAX))};
    }
    if (event == "notice") return Notice{text(object, "code"), text(object, "message")};
    if (event == "failed") {
      return WorkerFailed{{text(object, "code"), text(object, "message"), parse_retry(text(object, "retry"))}};
    }
    throw Malformed{"event \"" + event + "\" is not known"};
  });
}

}  // namespace tomogrid::job
