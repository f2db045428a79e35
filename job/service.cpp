#include "job/service.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>

#include "base/text.h"

namespace tomogrid::job {

using nlohmann::json;

namespace {

// Thrown and caught in this file only: turns nested reading into one Result.
struct Malformed {
  std::string what;
};

const json& member(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) throw Malformed{std::string("member \"") + name + "\" is missing"};
  return *found;
}

void only(const json& object, std::initializer_list<const char*> names, const std::string& where) {
  if (!object.is_object()) throw Malformed{where + " is not an object"};
  for (const auto& [key, value] : object.items()) {
    const bool known = std::any_of(names.begin(), names.end(), [&k = key](const char* name) { return k == name; });
    if (!known) throw Malformed{where + " has an unknown member \"" + printable(key) + "\""};
  }
}

std::string text(const json& value, const char* name) {
  if (!value.is_string()) throw Malformed{std::string("\"") + name + "\" is not text"};
  return value.get<std::string>();
}

Bytes bytes(const json& value, const char* name) {
  if (!value.is_number_unsigned()) throw Malformed{std::string("\"") + name + "\" is not a whole number of bytes"};
  return Bytes(value.get<std::uint64_t>());
}

std::string checked_name(const json& value) {
  std::string name = text(value, "name");
  if (!is_name(name)) throw Malformed{"name \"" + printable(name) + "\": only [a-z0-9.-]{1,63} is allowed"};
  return name;
}

ParameterValue scalar(const json& value, const std::string& name) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer()) {
    if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) {
      throw Malformed{"parameter " + name + " is too large"};
    }
    return value.get<std::int64_t>();
  }
  if (value.is_number_float()) return value.get<double>();
  if (value.is_string()) return value.get<std::string>();
  throw Malformed{"parameter " + name + " is neither a number, text nor true/false"};
}

ParameterDescriptor parameter(const json& object) {
  only(object, {"name", "type", "min", "max", "choices", "default", "unit", "help"}, "a parameter");
  ParameterDescriptor result;
  result.name = checked_name(member(object, "name"));
  const std::string type = text(member(object, "type"), "type");
  if (type == "boolean") result.type = ParameterType::Boolean;
  else if (type == "integer") result.type = ParameterType::Integer;
  else if (type == "number") result.type = ParameterType::Number;
  else if (type == "choice") result.type = ParameterType::Choice;
  else throw Malformed{"parameter " + result.name + ": type \"" + printable(type) + "\" is not known"};
  if (result.type == ParameterType::Integer || result.type == ParameterType::Number) {
    const json& least = member(object, "min");
    const json& most = member(object, "max");
    if (!least.is_number() || !most.is_number()) throw Malformed{"parameter " + result.name + ": min or max is not a number"};
    result.least = least.get<double>();
    result.most = most.get<double>();
    if (!(result.least <= result.most)) throw Malformed{"parameter " + result.name + ": min is above max"};
  }
  if (result.type == ParameterType::Choice) {
    for (const json& choice : member(object, "choices")) result.choices.push_back(text(choice, "choices"));
    if (result.choices.empty()) throw Malformed{"parameter " + result.name + ": no choices"};
  }
  result.default_value = scalar(member(object, "default"), result.name);
  if (object.contains("unit")) result.unit = text(object["unit"], "unit");
  if (object.contains("help")) result.help = text(object["help"], "help");
  return result;
}

StreamDescriptor stream(const json& object) {
  only(object, {"name", "max_bytes", "required", "help"}, "a stream");
  StreamDescriptor result;
  result.name = checked_name(member(object, "name"));
  result.limit = bytes(member(object, "max_bytes"), "max_bytes");
  if (object.contains("required")) {
    if (!object["required"].is_boolean()) throw Malformed{"stream " + result.name + ": \"required\" is not true or false"};
    result.required = object["required"].get<bool>();
  }
  if (object.contains("help")) result.help = text(object["help"], "help");
  return result;
}

template <class T>
void require_distinct(const std::vector<T>& items, const char* kind) {
  std::set<std::string> seen;
  for (const T& item : items) {
    if (!seen.insert(item.name).second) throw Malformed{std::string(kind) + " " + item.name + " is described twice"};
  }
}

// The value in the parameter's own type, or what is wrong with it.
Result<ParameterValue> fit(const ParameterDescriptor& parameter, const ParameterValue& value) {
  const auto bad = [&](const std::string& what) {
    return Error{ErrorCode::BadInput, "parameter " + parameter.name + ": " + what};
  };
  const auto in_range = [&](double number) { return number >= parameter.least && number <= parameter.most; };
  const auto range = [&] { return "from " + json(parameter.least).dump() + " to " + json(parameter.most).dump(); };
  switch (parameter.type) {
    case ParameterType::Boolean:
      if (!std::holds_alternative<bool>(value)) return bad("true or false is needed");
      return value;
    case ParameterType::Integer: {
      const auto* number = std::get_if<std::int64_t>(&value);
      if (number == nullptr || !in_range(static_cast<double>(*number))) return bad("a whole number " + range() + " is needed");
      return value;
    }
    case ParameterType::Number: {
      double number = 0;
      if (const auto* whole = std::get_if<std::int64_t>(&value)) number = static_cast<double>(*whole);
      else if (const auto* real = std::get_if<double>(&value)) number = *real;
      else return bad("a number " + range() + " is needed");
      if (!std::isfinite(number) || !in_range(number)) return bad("a number " + range() + " is needed");
      return ParameterValue(number);
    }
    case ParameterType::Choice: {
      const auto* word = std::get_if<std::string>(&value);
      if (word != nullptr && std::find(parameter.choices.begin(), parameter.choices.end(), *word) != parameter.choices.end()) {
        return value;
      }
      std::string choices;
      for (const std::string& choice : parameter.choices) choices += (choices.empty() ? "" : ", ") + choice;
      return bad("one of " + choices + " is needed");
    }
  }
  return bad("unknown type");
}

Preset preset(const json& object, const ServiceDescriptor& service) {
  only(object, {"name", "study", "parameters"}, "a preset");
  Preset result{checked_name(member(object, "name")), text(member(object, "study"), "study"), {}};
  const json& values = member(object, "parameters");
  if (!values.is_object()) throw Malformed{"preset " + result.name + ": \"parameters\" is not an object"};
  for (const auto& [name, value] : values.items()) result.parameters.emplace(name, scalar(value, printable(name)));
  auto complete = complete_parameters(service, result.parameters);
  if (!complete) throw Malformed{"preset " + result.name + ": " + complete.error().message};
  for (auto& [name, value] : result.parameters) value = complete->at(name);
  return result;
}

}  // namespace

Result<ServiceDescriptor> parse_service(std::string_view document) {
  try {
    const json root = json::parse(document);
    only(root, {"name", "version", "summary", "command", "input", "ranks", "min_memory_bytes", "parameters", "inputs", "outputs", "presets"},
         "the service");
    ServiceDescriptor result;
    result.service.name = checked_name(member(root, "name"));
    const json& version = member(root, "version");
    if (!version.is_number_unsigned() || version.get<std::uint64_t>() < 1 || version.get<std::uint64_t>() > 65535) {
      throw Malformed{"\"version\" is not a whole number from 1 to 65535"};
    }
    result.service.version = version.get<std::uint32_t>();
    if (root.contains("summary")) result.summary = text(root["summary"], "summary");
    for (const json& word : member(root, "command")) result.command.push_back(text(word, "command"));
    if (result.command.empty() || result.command.front().empty()) throw Malformed{"\"command\" is empty"};
    if (root.contains("input")) {
      const std::string input = text(root["input"], "input");
      if (input != "streamed" && input != "complete") throw Malformed{"\"input\" is neither streamed nor complete"};
      result.streamed_input = input == "streamed";
    }
    if (root.contains("ranks")) result.ranks = root["ranks"].get<bool>();
    if (root.contains("min_memory_bytes")) result.memory_least = bytes(root["min_memory_bytes"], "min_memory_bytes");
    if (root.contains("parameters")) {
      for (const json& item : root["parameters"]) result.parameters.push_back(parameter(item));
    }
    for (const json& item : member(root, "inputs")) result.inputs.push_back(stream(item));
    for (const json& item : member(root, "outputs")) result.outputs.push_back(stream(item));
    if (result.outputs.empty()) throw Malformed{"\"outputs\" is empty"};
    require_distinct(result.parameters, "parameter");
    require_distinct(result.inputs, "input");
    require_distinct(result.outputs, "output");
    for (ParameterDescriptor& item : result.parameters) {
      auto fitted = fit(item, item.default_value);
      if (!fitted) throw Malformed{"default of " + fitted.error().message};
      item.default_value = *std::move(fitted);
    }
    if (root.contains("presets")) {
      for (const json& item : root["presets"]) result.presets.push_back(preset(item, result));
    }
    require_distinct(result.presets, "preset");
    return result;
  } catch (const Malformed& malformed) {
    return Error{ErrorCode::BadInput, "service description: " + malformed.what};
  } catch (const json::exception& malformed) {
    return Error{ErrorCode::BadInput, std::string("service description: ") + printable(malformed.what())};
  }
}

Result<Parameters> complete_parameters(const ServiceDescriptor& service, const Parameters& given) {
  Parameters complete;
  for (const ParameterDescriptor& parameter : service.parameters) {
    const auto found = given.find(parameter.name);
    auto value = fit(parameter, found == given.end() ? parameter.default_value : found->second);
    if (!value) return value.error();
    complete.emplace(parameter.name, *std::move(value));
  }
  for (const auto& [name, value] : given) {
    if (!complete.contains(name)) {
      return Error{ErrorCode::BadInput, "parameter " + printable(name) + " is not known to " + to_string(service.service)};
    }
  }
  return complete;
}

const Preset* find_preset(const ServiceDescriptor& service, std::string_view name) {
  const auto found =
      std::find_if(service.presets.begin(), service.presets.end(), [&](const Preset& one) { return one.name == name; });
  return found == service.presets.end() ? nullptr : &*found;
}

std::string list_of_presets(const ServiceDescriptor& service) {
  constexpr std::size_t kIndent = 10;
  std::string text;
  for (const Preset& one : service.presets) {
    text += one.name + std::string(one.name.size() < kIndent ? kIndent - one.name.size() : 1, ' ') + one.study + "\n" +
            std::string(kIndent, ' ') + canonical_text(one.parameters) + "\n";
  }
  return text;
}

std::string canonical_text(const Parameters& parameters) {
  json object = json::object();
  for (const auto& [name, value] : parameters) {
    std::visit([&, key = name](const auto& v) { object[key] = v; }, value);
  }
  return object.dump();
}

Result<Parameters> parse_parameters(std::string_view document) {
  try {
    const json root = json::parse(document);
    if (!root.is_object()) throw Malformed{"not an object"};
    Parameters parameters;
    for (const auto& [name, value] : root.items()) {
      if (!is_name(name)) throw Malformed{"name \"" + printable(name) + "\""};
      parameters.emplace(name, scalar(value, name));
    }
    return parameters;
  } catch (const Malformed& malformed) {
    return Error{ErrorCode::BadInput, "parameters: " + malformed.what};
  } catch (const json::exception& malformed) {
    return Error{ErrorCode::BadInput, std::string("parameters: ") + printable(malformed.what())};
  }
}

}  // namespace tomogrid::job
