#include "client/parameters.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace tomogrid::client {

namespace {

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

job::ParameterValue guess(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  if (const auto whole = number<std::int64_t>(text)) return *whole;
  if (const auto real = number<double>(text)) return *real;
  return text;
}

Result<job::ParameterValue> typed(const job::ParameterDescriptor& parameter, const std::string& text) {
  const auto wrong = [&](const std::string& wanted) {
    return Error{ErrorCode::Usage, "parameter " + parameter.name + "=" + text + ": " + wanted + " is needed"};
  };
  switch (parameter.type) {
    case job::ParameterType::Boolean:
      if (text == "true" || text == "false") return job::ParameterValue{text == "true"};
      return wrong("true or false");
    case job::ParameterType::Integer:
      if (const auto whole = number<std::int64_t>(text)) return job::ParameterValue{*whole};
      return wrong("a whole number");
    case job::ParameterType::Number:
      if (const auto real = number<double>(text)) return job::ParameterValue{*real};
      return wrong("a number" + (parameter.unit.empty() ? "" : " in " + parameter.unit));
    case job::ParameterType::Choice:
      return job::ParameterValue{text};
  }
  return wrong("another type");
}

std::string names_of(const job::ServiceDescriptor& service) {
  std::string names;
  for (const job::ParameterDescriptor& parameter : service.parameters) {
    names += (names.empty() ? "" : ", ") + parameter.name;
  }
  return names.empty() ? "none" : names;
}

}  // namespace

Result<job::Parameters> parse_parameters(const std::vector<std::string>& words,
                                         const std::optional<job::ServiceDescriptor>& service) {
  job::Parameters parameters;
  for (const std::string& word : words) {
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    if (equals == std::string::npos || !job::is_name(name))
      return Error{ErrorCode::Usage, "--param " + word + ": name=value is needed"};
    const std::string text = word.substr(equals + 1);
    if (parameters.contains(name)) return Error{ErrorCode::Usage, "parameter " + name + " is given more than once"};
    if (!service) {
      parameters[name] = guess(text);
      continue;
    }
    const auto found = std::find_if(service->parameters.begin(), service->parameters.end(),
                                    [&name](const auto& one) { return one.name == name; });
    if (found == service->parameters.end()) {
      return Error{ErrorCode::Usage,
                   job::to_string(service->service) + " has no parameter " + name + "; it has " + names_of(*service)};
    }
    auto value = typed(*found, text);
    if (!value) return value.error();
    parameters[name] = *std::move(value);
  }
  if (service) {
    if (auto complete = job::complete_parameters(*service, parameters); !complete)
      return Error{ErrorCode::Usage, complete.error().message};
  }
  return parameters;
}

double passes_of(const job::Parameters& parameters) {
  const auto found = parameters.find("iterations");
  const auto* passes = found != parameters.end() ? std::get_if<std::int64_t>(&found->second) : nullptr;
  return passes != nullptr ? static_cast<double>(*passes) : 4.0;
}

std::string in_words(const job::Parameters& parameters) {
  std::string text;
  for (const auto& [name, value] : parameters) {
    std::string words = job::canonical_text({{name, value}});
    words = words.substr(words.find(':') + 1);
    words.pop_back();
    std::erase(words, '"');
    text += (text.empty() ? "" : ", ") + name + " " + words;
  }
  return text;
}

}  // namespace tomogrid::client
