#include "client/report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace tomogrid::client {

using nlohmann::json;

namespace {

std::string word(const json& value, const char* name) {
  return value.contains(name) && value[name].is_string() ? printable(value[name].get<std::string>()) : std::string();
}

std::string figure(const json& value) {
  if (value.is_number()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.5g", value.get<double>());
    return text;
  }
  if (value.is_string()) return printable(value.get<std::string>());
  return value.is_boolean() ? (value.get<bool>() ? "yes" : "no") : "";
}

}  // namespace

Result<QualityReport> parse_report(std::string_view text) {
  const auto bad = [](const char* what) {
    return Error{ErrorCode::BadInput, std::string("the node's quality report cannot be read: ") + what};
  };
  const json value = json::parse(text, nullptr, false);
  if (!value.is_object() || !value.contains("measures") || !value["measures"].is_array())
    return bad("no list of measures");
  QualityReport report{word(value, "service"), word(value, "grade"), {}};
  if (report.grade.empty()) return bad("no grade");
  for (const json& one : value["measures"]) {
    if (!one.is_object() || word(one, "name").empty()) return bad("a measure without a name");
    report.measures.push_back({word(one, "name"), one.contains("figure") ? figure(one["figure"]) : "",
                               word(one, "unit"), word(one, "grade"), word(one, "sentence")});
  }
  return report;
}

std::string in_words(const QualityReport& report) {
  std::size_t name = 7, figures = 6;
  for (const Measure& measure : report.measures) {
    name = std::max(name, measure.name.size());
    figures = std::max(figures, measure.figure.size() + 1 + measure.unit.size());
  }
  const auto padded = [](std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
  };
  std::string text;
  for (const Measure& measure : report.measures) {
    text += padded(measure.name, name) + "  " + padded(measure.figure + " " + measure.unit, figures) + "  " +
            padded(measure.grade, 10) + "  " + measure.sentence + "\n";
  }
  return text + "verdict: " + report.grade + "\n";
}

std::vector<std::string> warnings_of(const QualityReport& report) {
  std::vector<std::string> warnings;
  for (const Measure& measure : report.measures) {
    if ((measure.grade == "acceptable" || measure.grade == "poor") && !measure.sentence.empty())
      warnings.push_back(measure.name + ": " + measure.sentence);
  }
  return warnings;
}

}  // namespace tomogrid::client
