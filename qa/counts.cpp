// Are there enough counts, and are they counts?
#include <algorithm>
#include <cmath>
#include <numeric>

#include "qa/summary.h"

namespace tomogrid::qa {

Measure total_counts(const Summary& s) {
  const double total = s.total(), per_view = total / static_cast<double>(s.views());
  Measure m{.name = "counts.total", .figure = total, .unit = "counts", .sentence = {}};
  const std::string amount =
      decimal(total / 1e6) + " million counts, " + decimal(per_view / 1e3) + " thousand per view";
  if (total >= 3e6) {
    m.grade = Grade::Good;
    m.sentence = amount + ": enough for a clinical reconstruction";
  } else if (total >= 5e5) {
    m.grade = Grade::Acceptable;
    m.sentence = amount + ": few, expect a noisy image and filter it more";
  } else {
    m.grade = Grade::Poor;
    m.sentence = amount + ": too few for a reliable image";
  }
  return m;
}

Measure whole_counts(const Summary& s) {
  const auto bins = static_cast<double>(s.geometry->elements());
  const auto sum = [](const std::vector<std::size_t>& v) {
    return static_cast<double>(std::accumulate(v.begin(), v.end(), std::size_t{0}));
  };
  const double negative = 100 * sum(s.negative) / bins, fractional = 100 * sum(s.fractional) / bins;
  std::uint64_t divisor = 0;
  for (const std::uint64_t one : s.divisor) divisor = std::gcd(divisor, one);
  Measure m{.name = "counts.whole",
            .figure = std::max(negative, fractional),
            .unit = "%",
            .grade = Grade::Good,
            .sentence = "every bin holds a whole number of counts, none is negative"};
  if (negative > 0.1) {
    m.grade = Grade::Poor;
    m.sentence = decimal(negative) + " % of the bins are negative: these are not the camera's counts";
  } else if (fractional > 0) {
    m.grade = s.facts->counts ? Grade::Poor : Grade::Acceptable;
    m.sentence = decimal(fractional) +
                 " % of the bins are not whole numbers: the data have been scaled or filtered, and "
                 "the noise model holds only roughly";
  } else if (negative > 0) {
    m.grade = Grade::Acceptable;
    m.sentence = "a few bins are negative and will be read as 0";
  } else if (divisor > 1) {
    m.figure = static_cast<double>(divisor);
    m.unit = "counts";
    m.grade = Grade::Poor;
    m.sentence = "every bin is a multiple of " + std::to_string(divisor) + ": the counts have been scaled";
  }
  return m;
}

namespace {

// A fourth difference along consecutive views takes away what is smooth in angle; its variance is 70 times that of one
// Poisson count. Summed over the bins of one run of five views: {sum of squares, 70 x mean}.
struct Dispersion {
  double squares = 0, expected = 0;
};

Dispersion dispersion(const image::Projections& scan, const std::vector<std::size_t>& order, std::size_t first) {
  const std::size_t size = scan.geometry.rows * scan.geometry.bins;
  const float* y[5];
  for (std::size_t k = 0; k < 5; ++k) y[k] = scan.values.data() + order[first + k] * size;
  Dispersion d;
  for (std::size_t i = 0; i < size; ++i) {
    const double mean = (double{y[0][i]} + y[1][i] + y[2][i] + y[3][i] + y[4][i]) / 5;
    if (mean <= 0.2) continue;  // empty bins say nothing
    const double difference = double{y[0][i]} - 4.0 * y[1][i] + 6.0 * y[2][i] - 4.0 * y[3][i] + y[4][i];
    d.squares += difference * difference;
    d.expected += 70 * mean;
  }
  return d;
}

}  // namespace

Measure noise_like(const image::Projections& scan, const Summary& s) {
  Measure m{.name = "counts.noise", .unit = "1", .sentence = "too few views follow one another to judge the noise"};
  std::vector<std::pair<const Summary::Head*, std::size_t>> runs;
  for (const Summary::Head& head : s.heads) {
    for (std::size_t k = 0; k + 5 <= head.views.size(); ++k) runs.emplace_back(&head, k);
  }
  std::vector<Dispersion> found(runs.size());
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < runs.size(); ++i) found[i] = dispersion(scan, runs[i].first->views, runs[i].second);
  Dispersion all;
  for (const Dispersion& one : found) all = {all.squares + one.squares, all.expected + one.expected};
  if (all.expected < 1e4) return m;

  // Above 1 is structure between views, which nothing here can tell from noise; below 1 cannot be counts.
  m.figure = all.squares / all.expected;
  if (*m.figure >= 0.8) {
    m.grade = Grade::Good;
    m.sentence = "the noise is at least that of counting, as it must be";
  } else if (*m.figure >= 0.5) {
    m.grade = Grade::Acceptable;
    m.sentence = "the noise is " + decimal(100 * *m.figure) + " % of that of counting: the data may have been smoothed";
  } else {
    m.grade = Grade::Poor;
    m.sentence = "the noise is only " + decimal(100 * *m.figure) +
                 " % of that of counting: the data have been smoothed, scaled down or computed";
  }
  return m;
}

}  // namespace tomogrid::qa
