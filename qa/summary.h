// What the measures look at: sums of the scan in a few directions, computed once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "image/image.h"
#include "qa/qa.h"

namespace tomogrid::qa {

struct Summary {
  const image::ProjectionGeometry* geometry = nullptr;  // the scan's; outlives the summary
  const image::AcquisitionFacts* facts = nullptr;

  std::vector<double> counts;                     // [view]
  std::vector<std::vector<double>> axial;         // [view][row]: summed over bins
  std::vector<std::vector<double>> transaxial;    // [view][bin]: summed over rows
  std::vector<std::size_t> negative, fractional;  // [view]: bins below 0; not whole
  std::vector<std::uint64_t> divisor;             // [view]: greatest common divisor of the counts; 0: none or not whole
  std::vector<std::uint64_t> fingerprint;         // [view]: equal for equal contents

  // Views of one head, in the order they were taken.
  struct Head {
    std::uint32_t detector = 0;
    std::vector<std::size_t> views;
    std::vector<double> sum;  // [row][bin] over those views
  };
  std::vector<Head> heads;

  std::size_t views() const { return counts.size(); }
  double total() const;
  // Counts per second where durations are known for all views, else counts.
  double rate(std::size_t view) const;
  bool has_durations() const;
  // Angles covered, in radians, and the typical step between neighbours of one angle ordering.
  struct Arc {
    double covered = 0, step = 0;
    std::size_t missing = 0;
    bool closed = false;
  };
  Arc arc() const;
};

// Fixed order of every sum; parallel over views and rows.
Summary summarise(const image::Projections& scan);

// One function per measure, in the report's order (judge.cpp).
Measure total_counts(const Summary& s);
Measure whole_counts(const Summary& s);
Measure noise_like(const image::Projections& scan, const Summary& s);
Measure missing_views(const Summary& s);
Measure duplicated_views(const Summary& s);
Measure view_counts(const Summary& s);
Measure count_rate(const Summary& s);
Measure dead_bins(const Summary& s);
Measure hot_bins(const Summary& s);
Measure truncation(const Summary& s);
Measure axial_edge(const Summary& s);
Measure axial_motion(const Summary& s);
Measure transaxial_motion(const Summary& s);

// "12.3": a number with one decimal, for sentences.
std::string decimal(double value);
// "view 3", "views 3, 7 and 12", "views 3, 7, 12 and 9 more": counted from 1.
std::string list_views(const std::vector<std::size_t>& views);
// Good below `good`, Acceptable below `poor`, else Poor.
Grade grade_below(double figure, double good, double poor);

}  // namespace tomogrid::qa
