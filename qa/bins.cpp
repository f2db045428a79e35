// Detector elements that count too little or too much in every view: artefacts are rings.
#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "qa/summary.h"

namespace tomogrid::qa {

namespace {

// What surrounds bin (row, bin): for opposite neighbours in four directions at two distances the lesser and the greater
// of the two; the medians of each. Across a slope or a knee the lesser is below the bin itself, so only a true dip lies
// below `low` and only a true peak above `high`; the medians survive a dead row, column or pair.
struct Surroundings {
  double low = 0, high = 0;
  double high_near = 0, high_far = 0;  // of the first and the second neighbours alone
};

// By value: sorting one array in place would disturb the other medians taken of it.
double median(std::array<double, 8> values, std::size_t first, std::size_t last) {
  const auto begin = values.begin() + static_cast<std::ptrdiff_t>(first),
             end = values.begin() + static_cast<std::ptrdiff_t>(last);
  const auto middle = begin + static_cast<std::ptrdiff_t>((last - first) / 2);
  std::nth_element(begin, middle, end);
  return (last - first) % 2 == 1 ? *middle : 0.5 * (*middle + *std::max_element(begin, middle));
}

// nullopt on the rim, where there are too few neighbours.
std::optional<Surroundings> around(const std::vector<double>& sum, std::ptrdiff_t rows, std::ptrdiff_t bins,
                                   std::ptrdiff_t row, std::ptrdiff_t bin) {
  std::array<double, 8> lesser{}, greater{};
  std::size_t count = 0, near = 0;
  for (std::ptrdiff_t distance = 1; distance <= 2; ++distance) {
    for (const auto& [dr, db] : {std::pair<int, int>{0, 1}, {1, 0}, {1, 1}, {1, -1}}) {
      const std::ptrdiff_t r0 = row - dr * distance, r1 = row + dr * distance, b0 = bin - db * distance,
                           b1 = bin + db * distance;
      if (r0 < 0 || r1 >= rows || b0 < 0 || b1 < 0 || b0 >= bins || b1 >= bins) continue;
      const double one = sum[static_cast<std::size_t>(r0 * bins + b0)],
                   other = sum[static_cast<std::size_t>(r1 * bins + b1)];
      lesser[count] = std::min(one, other);
      greater[count++] = std::max(one, other);
    }
    if (distance == 1) near = count;
  }
  if (near < 4 || count == near) return std::nullopt;
  return Surroundings{.low = median(lesser, 0, count),
                      .high = median(greater, 0, count),
                      .high_near = median(greater, 0, near),
                      .high_far = median(greater, near, count)};
}

struct Odd {
  std::size_t dead = 0, hot = 0, judged = 0;
};

// Six standard deviations of a bin and of the median of its surroundings.
double noise_of(double expected) {
  return 6 * std::sqrt(1.5 * std::max(expected, 1.0));
}

// Above 140 % of the surroundings and not the top of a small source: the response of a collimator spans more than a
// bin, so such a top rises to its neighbours first, and from them on by less than four times as much.
bool is_peak(double value, const Surroundings& near, double most) {
  if (value < 1.4 * near.high + 0.02 * most || value < near.high + noise_of(near.high)) return false;
  return value > 8 * near.high + 0.02 * most || value - near.high_near > 4 * (near.high_near - near.high_far);
}

// A dip: below 70 % of the surroundings.
Odd odd_bins(const Summary& s) {
  const auto rows = static_cast<std::ptrdiff_t>(s.geometry->rows), bins = static_cast<std::ptrdiff_t>(s.geometry->bins);
  Odd odd;
  for (const Summary::Head& head : s.heads) {
    const double most = *std::max_element(head.sum.begin(), head.sum.end());
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      for (std::ptrdiff_t bin = 0; bin < bins; ++bin) {
        const auto near = around(head.sum, rows, bins, row, bin);
        if (!near) continue;
        const double value = head.sum[static_cast<std::size_t>(row * bins + bin)];
        if (near->low > 0.02 * most && near->low > noise_of(near->low)) {
          ++odd.judged;
          odd.dead += value < 0.7 * near->low && value < near->low - noise_of(near->low);
        }
        odd.hot += is_peak(value, *near, most);
      }
    }
  }
  return odd;
}

}  // namespace

Measure dead_bins(const Summary& s) {
  const Odd odd = odd_bins(s);
  Measure m{.name = "bins.dead", .unit = "bins", .sentence = "too few counts to judge single bins"};
  if (odd.judged < 16) return m;
  m.figure = static_cast<double>(odd.dead);
  m.grade = odd.dead == 0 ? Grade::Good : odd.dead <= 2 ? Grade::Acceptable : Grade::Poor;
  m.sentence = odd.dead == 0
                   ? "no detector bin counts too little"
                   : std::to_string(odd.dead) + (odd.dead == 1 ? " detector bin counts" : " detector bins count") +
                         " too little in every view: expect dark rings";
  return m;
}

Measure hot_bins(const Summary& s) {
  const Odd odd = odd_bins(s);
  Measure m{.name = "bins.hot",
            .figure = static_cast<double>(odd.hot),
            .unit = "bins",
            .grade = Grade::Good,
            .sentence = "no detector bin counts too much"};
  if (odd.hot > 0) {
    m.grade = odd.hot == 1 ? Grade::Acceptable : Grade::Poor;
    m.sentence = std::to_string(odd.hot) + (odd.hot == 1 ? " detector bin counts" : " detector bins count") +
                 " too much in every view: expect bright rings";
  }
  return m;
}

}  // namespace tomogrid::qa
