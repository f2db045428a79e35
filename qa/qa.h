// Is this SPECT acquisition worth reconstructing? Figures, grades and sentences, from the projections alone.
//
// A pure library: values in, values out; no files, no clock. OpenMP inside; the same bits for any number of threads.
// What each measure computes, its thresholds and where they come from: docs/quality.md. A measure's version rises when
// its figure would change for the same scan.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/image.h"

namespace tomogrid::qa {

inline constexpr std::string_view kServiceName = "qa.spect/1";

// NotJudged: the scan does not carry what the measure needs; the sentence says what. It never worsens a report.
enum class Grade : std::uint8_t { NotJudged, Good, Acceptable, Poor };
std::string_view to_string(Grade grade);  // "not judged", "good", "acceptable", "poor"

// One indicator.
struct Measure {
  std::string name;  // "motion.axial": stable
  std::uint32_t version = 1;
  std::optional<double> figure = std::nullopt;  // in `unit`; none when not judged
  std::string unit;                             // "mm", "%", "views", "bins", "counts", "degrees", "1"
  Grade grade = Grade::NotJudged;
  std::string sentence;  // for a clinician; no identity, no path
};

struct Report {
  Grade grade = Grade::Good;      // the worst of the measures
  std::vector<Measure> measures;  // always the same names in the same order
};

// Judges one acquisition. BadInput when it has no views, rows or bins, when values and geometry disagree in size, or
// when a value or an angle is not finite.
Result<Report> judge(const image::Projections& scan);

// The report as it is delivered, one JSON object that describes itself:
//   {"service": "qa.spect/1", "grade": "good",
//    "measures": [{"name", "version", "figure" (number or null), "unit", "grade", "sentence"}, ...]}
// Figures are rounded to four significant digits, so that equal scans give equal bytes on every machine.
std::string to_json(const Report& report);

// For people: a line per measure.
std::string to_text(const Report& report);

}  // namespace tomogrid::qa
