#include "qa/summary.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

namespace tomogrid::qa {

namespace {

constexpr double kTurn = 6.283185307179586;

void add_view(const image::Projections& scan, std::size_t view, Summary& s) {
  const std::size_t rows = scan.geometry.rows, bins = scan.geometry.bins;
  const float* y = scan.values.data() + view * rows * bins;
  std::vector<double> axial(rows, 0.0), transaxial(bins, 0.0);
  std::uint64_t hash = 1469598103934665603ULL, divisor = 0;
  std::size_t negative = 0, fractional = 0;
  double counts = 0;
  for (std::size_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (std::size_t bin = 0; bin < bins; ++bin) {
      const float value = y[row * bins + bin];
      sum += value;
      transaxial[bin] += value;
      negative += value < 0;
      fractional += value != std::floor(value);
      if (divisor != 1 && value > 0 && value < 1e15F) divisor = std::gcd(divisor, static_cast<std::uint64_t>(value));
      std::uint32_t bits = 0;
      std::memcpy(&bits, &value, sizeof bits);
      hash = (hash ^ bits) * 1099511628211ULL;
      hash ^= hash >> 29;
    }
    axial[row] = sum;
    counts += sum;
  }
  s.counts[view] = counts;
  s.axial[view] = std::move(axial);
  s.transaxial[view] = std::move(transaxial);
  s.negative[view] = negative;
  s.fractional[view] = fractional;
  s.divisor[view] = fractional == 0 ? divisor : 0;
  s.fingerprint[view] = hash;
}

std::vector<Summary::Head> heads_of(const image::ProjectionGeometry& geometry) {
  std::vector<Summary::Head> heads;
  for (std::size_t view = 0; view < geometry.views.size(); ++view) {
    const std::uint32_t detector = geometry.views[view].detector;
    auto head = std::find_if(heads.begin(), heads.end(), [&](const auto& h) { return h.detector == detector; });
    if (head == heads.end()) head = heads.insert(head, {.detector = detector, .views = {}, .sum = {}});
    head->views.push_back(view);
  }
  for (Summary::Head& head : heads) {
    std::stable_sort(head.views.begin(), head.views.end(),
                     [&](std::size_t a, std::size_t b) { return geometry.views[a].start < geometry.views[b].start; });
  }
  return heads;
}

}  // namespace

double Summary::total() const {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

bool Summary::has_durations() const {
  return std::all_of(geometry->views.begin(), geometry->views.end(),
                     [](const image::View& v) { return v.duration.count() > 0; });
}

double Summary::rate(std::size_t view) const {
  return has_durations() ? counts[view] / geometry->views[view].duration.count() : counts[view];
}

Summary::Arc Summary::arc() const {
  std::vector<double> angles;
  for (const image::View& view : geometry->views) {
    angles.push_back(view.angle.count() - kTurn * std::floor(view.angle.count() / kTurn));
  }
  std::sort(angles.begin(), angles.end());
  // Views at one angle (two heads, or the same view twice) are one stop here.
  std::vector<double> gaps;
  for (std::size_t i = 0; i < angles.size(); ++i) {
    const double next = i + 1 < angles.size() ? angles[i + 1] : angles.front() + kTurn;
    if (next - angles[i] > 1e-3) gaps.push_back(next - angles[i]);
  }
  Arc arc;
  if (gaps.size() < 2) return arc;
  std::sort(gaps.begin(), gaps.end());
  arc.step = gaps[gaps.size() / 2];
  // The largest gap is where an arc ends when it is wider than an eighth of a turn; otherwise the turn is whole.
  const double largest = gaps.back();
  arc.closed = largest <= kTurn / 8 || largest < 1.5 * arc.step;
  arc.covered = arc.closed ? kTurn : kTurn - largest + arc.step;
  if (!arc.closed) gaps.pop_back();
  for (const double gap : gaps) {
    const double steps = std::floor(gap / arc.step + 0.5);
    if (steps > 1) arc.missing += static_cast<std::size_t>(steps) - 1;
  }
  return arc;
}

Summary summarise(const image::Projections& scan) {
  const std::size_t views = scan.geometry.views.size(), rows = scan.geometry.rows, bins = scan.geometry.bins;
  Summary s;
  s.geometry = &scan.geometry;
  s.facts = &scan.facts;
  s.counts.resize(views);
  s.axial.resize(views);
  s.transaxial.resize(views);
  s.negative.resize(views);
  s.fractional.resize(views);
  s.divisor.resize(views);
  s.fingerprint.resize(views);
#pragma omp parallel for schedule(static)
  for (std::size_t view = 0; view < views; ++view) add_view(scan, view, s);

  s.heads = heads_of(scan.geometry);
  for (Summary::Head& head : s.heads) {
    head.sum.assign(rows * bins, 0.0);
#pragma omp parallel for schedule(static)
    for (std::size_t row = 0; row < rows; ++row) {
      for (const std::size_t view : head.views) {
        const float* y = scan.values.data() + (view * rows + row) * bins;
        for (std::size_t bin = 0; bin < bins; ++bin) head.sum[row * bins + bin] += y[bin];
      }
    }
  }
  return s;
}

}  // namespace tomogrid::qa
