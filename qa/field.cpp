// Does the body fit into the field of view?
#include <algorithm>
#include <cmath>

#include "qa/summary.h"

namespace tomogrid::qa {

namespace {

// Counts at one edge over the profile's maximum, in %, less three standard deviations of the edge.
double edge_share(double edge, double most) {
  return most > 0 ? 100 * std::max(0.0, edge - 3 * std::sqrt(std::max(edge, 1.0))) / most : 0.0;
}

// Means of the two outermost elements at each end.
std::pair<double, double> edges(const std::vector<double>& profile) {
  const std::size_t n = profile.size();
  if (n < 4) return {0, 0};
  return {0.5 * (profile[0] + profile[1]), 0.5 * (profile[n - 1] + profile[n - 2])};
}

}  // namespace

Measure truncation(const Summary& s) {
  double worst = 0;
  std::vector<std::size_t> cut;
  for (std::size_t view = 0; view < s.views(); ++view) {
    const auto [low, high] = edges(s.transaxial[view]);
    const double most = *std::max_element(s.transaxial[view].begin(), s.transaxial[view].end());
    const double share = edge_share(std::max(low, high), most);
    if (share >= 3) cut.push_back(view);
    worst = std::max(worst, share);
  }
  Measure m{.name = "field.transaxial",
            .figure = worst,
            .unit = "%",
            .grade = grade_below(worst, 3, 10),
            .sentence = "the body lies inside the field in every view"};
  if (m.grade != Grade::Good) {
    m.sentence = "activity reaches the side of the field in " + list_views(cut) + " (" + decimal(worst) +
                 " % of the maximum): the image will be too bright towards its rim";
  }
  return m;
}

// An observation: a body is longer than a detector, so this is never held against a scan, but the reader should know.
Measure axial_edge(const Summary& s) {
  std::vector<double> profile(s.geometry->rows, 0.0);
  for (const auto& view : s.axial) {
    for (std::size_t row = 0; row < profile.size(); ++row) profile[row] += view[row];
  }
  const auto [low, high] = edges(profile);
  const double share = edge_share(std::max(low, high), *std::max_element(profile.begin(), profile.end()));
  Measure m{.name = "field.axial",
            .figure = share,
            .unit = "%",
            .grade = Grade::Good,
            .sentence = "the first and last slices are nearly empty"};
  if (share >= 10) {
    m.sentence = std::string("activity goes on beyond the ") + (low > high ? "lowest" : "highest") +
                 " slice, as it does in most bodies: do not read the outermost slices";
  }
  return m;
}

}  // namespace tomogrid::qa
