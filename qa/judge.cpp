// The report: every measure in one order, as JSON and as text.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "qa/qa.h"
#include "qa/summary.h"

namespace tomogrid::qa {

namespace {

double four_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3e", value);
  return std::strtod(text, nullptr);
}

Result<void> check(const image::Projections& scan) {
  const auto bad = [](std::string message) { return Error{ErrorCode::BadInput, std::move(message)}; };
  if (scan.geometry.bins == 0 || scan.geometry.rows == 0 || scan.geometry.views.empty()) {
    return bad("the scan has no bins, rows or views");
  }
  if (scan.values.size() != scan.geometry.elements()) {
    return bad(std::to_string(scan.values.size()) + " values for " + std::to_string(scan.geometry.elements()) +
               " bins");
  }
  for (const image::View& view : scan.geometry.views) {
    if (!std::isfinite(view.angle.count())) return bad("a view's angle is not a number");
  }
  for (const float value : scan.values) {
    if (!std::isfinite(value)) return bad("a bin is not a finite number");
  }
  return {};
}

}  // namespace

std::string_view to_string(Grade grade) {
  switch (grade) {
    case Grade::NotJudged:
      return "not judged";
    case Grade::Good:
      return "good";
    case Grade::Acceptable:
      return "acceptable";
    case Grade::Poor:
      return "poor";
  }
  return "not judged";
}

std::string decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, std::abs(value) < 10 ? "%.1f" : "%.0f", value);
  return text;
}

std::string list_views(const std::vector<std::size_t>& views) {
  constexpr std::size_t kShown = 4;
  std::string text = views.size() == 1 ? "view " : "views ";
  const std::size_t shown = std::min(views.size(), kShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const bool last = i + 1 == views.size();
    text += (i == 0 ? "" : last ? " and " : ", ") + std::to_string(views[i] + 1);
  }
  if (views.size() > shown) text += " and " + std::to_string(views.size() - shown) + " more";
  return text;
}

Grade grade_below(double figure, double good, double poor) {
  return figure < good ? Grade::Good : figure < poor ? Grade::Acceptable : Grade::Poor;
}

Result<Report> judge(const image::Projections& scan) {
  if (auto ok = check(scan); !ok) return ok.error();
  const Summary s = summarise(scan);
  Report report{.grade = Grade::Good,
                .measures = {total_counts(s), whole_counts(s), noise_like(scan, s), count_rate(s), missing_views(s),
                             duplicated_views(s), view_counts(s), dead_bins(s), hot_bins(s), truncation(s),
                             axial_edge(s), axial_motion(s), transaxial_motion(s)}};
  for (const Measure& measure : report.measures) report.grade = std::max(report.grade, measure.grade);
  return report;
}

std::string to_json(const Report& report) {
  nlohmann::ordered_json measures = nlohmann::ordered_json::array();
  for (const Measure& m : report.measures) {
    nlohmann::ordered_json one{{"name", m.name}, {"version", m.version},        {"figure", nullptr},
                               {"unit", m.unit}, {"grade", to_string(m.grade)}, {"sentence", m.sentence}};
    if (m.figure) one["figure"] = four_digits(*m.figure);
    measures.push_back(std::move(one));
  }
  const nlohmann::ordered_json body{
      {"service", kServiceName}, {"grade", to_string(report.grade)}, {"measures", std::move(measures)}};
  return body.dump();
}

std::string to_text(const Report& report) {
  std::string text = "acquisition quality: " + std::string(to_string(report.grade)) + "\n";
  for (const Measure& m : report.measures) {
    char figure[64];
    if (m.figure)
      std::snprintf(figure, sizeof figure, "%.4g %s", *m.figure, m.unit == "1" ? "" : m.unit.c_str());
    else
      std::snprintf(figure, sizeof figure, "-");
    char line[128];
    std::snprintf(line, sizeof line, "  %-18s %-11s %-18s ", m.name.c_str(), std::string(to_string(m.grade)).c_str(),
                  figure);
    text += line + m.sentence + "\n";
  }
  return text;
}

}  // namespace tomogrid::qa
