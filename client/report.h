// The report of a quality check (report.json of a qa service), read generically: whatever a service measures is shown.
//
//   {"service": "qa.spect/1", "grade": "good", "measures": [{"name", "version", "figure", "unit", "grade",
//   "sentence"}]}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tomogrid::client {

struct Measure {
  std::string name, figure, unit, grade, sentence;  // `figure` as people read it
};

struct QualityReport {
  std::string service;
  std::string grade;  // "good", "acceptable", "poor"
  std::vector<Measure> measures;
};

// BadInput when it is not such a report. Text is made printable.
Result<QualityReport> parse_report(std::string_view json);
// A table with a line per measure, and the verdict.
std::string in_words(const QualityReport& report);
// Sentences of measures graded acceptable or poor: what a reconstruction warns of. What was not judged is no warning.
std::vector<std::string> warnings_of(const QualityReport& report);

}  // namespace tomogrid::client
