// Are all views there, once, and do their counts follow one another?
#include <algorithm>
#include <cmath>
#include <map>

#include "qa/fit.h"
#include "qa/summary.h"

namespace tomogrid::qa {

namespace {
constexpr double kDegree = 0.017453292519943295;
}

Measure missing_views(const Summary& s) {
  Measure m{.name = "views.missing", .figure = {}, .unit = "views", .sentence = "too few angles to judge the arc"};
  const Summary::Arc arc = s.arc();
  if (arc.step == 0) return m;
  m.figure = static_cast<double>(arc.missing);
  const std::string covered = decimal(arc.covered / kDegree) + " degrees in steps of " + decimal(arc.step / kDegree);
  if (arc.covered < 179 * kDegree) {
    m.grade = Grade::Poor;
    m.sentence = "the views cover only " + covered + ": less than half a turn cannot be reconstructed faithfully";
  } else if (arc.missing == 0) {
    m.grade = Grade::Good;
    m.sentence = "no view is missing from " + covered;
  } else {
    const double share = static_cast<double>(arc.missing) / static_cast<double>(arc.missing + s.views());
    m.grade = share <= 0.02 ? Grade::Acceptable : Grade::Poor;
    m.sentence = std::to_string(arc.missing) + (arc.missing == 1 ? " view is" : " views are") + " missing from " +
                 covered + (share <= 0.02 ? ": the image suffers little" : ": expect streaks");
  }
  return m;
}

Measure duplicated_views(const Summary& s) {
  const Summary::Arc arc = s.arc();
  const double near = 0.1 * arc.step, turn = 360 * kDegree;
  std::vector<std::size_t> repeated;
  const auto same_angle = [&](std::size_t a, std::size_t b) {
    const double apart =
        std::abs(std::remainder(s.geometry->views[a].angle.count() - s.geometry->views[b].angle.count(), turn));
    return s.geometry->views[a].detector == s.geometry->views[b].detector && apart <= near;
  };
  for (std::size_t view = 1; view < s.views(); ++view) {
    for (std::size_t earlier = 0; earlier < view; ++earlier) {
      const bool same_content = s.counts[view] > 0 && s.fingerprint[view] == s.fingerprint[earlier];
      if (same_content || same_angle(view, earlier)) {
        repeated.push_back(view);
        break;
      }
    }
  }
  Measure m{.name = "views.duplicated",
            .figure = static_cast<double>(repeated.size()),
            .unit = "views",
            .grade = Grade::Good,
            .sentence = "every view was taken once"};
  if (!repeated.empty()) {
    m.grade = Grade::Poor;
    m.sentence = list_views(repeated) + " repeat the angle or the content of an earlier one";
  }
  return m;
}

// A view against the cubic through two neighbours on each side.
Measure view_counts(const Summary& s) {
  Measure m{
      .name = "views.counts", .unit = "%", .sentence = "too few views follow one another to compare their counts"};
  double largest = 0;
  std::size_t worst = 0;
  bool any = false;
  for (const Summary::Head& head : s.heads) {
    const auto& order = head.views;
    for (std::size_t k = 2; k + 2 < order.size(); ++k) {
      const double scale = s.has_durations() ? s.geometry->views[order[k]].duration.count() : 1.0;
      const double expected =
          scale * (4 * (s.rate(order[k - 1]) + s.rate(order[k + 1])) - (s.rate(order[k - 2]) + s.rate(order[k + 2]))) /
          6;
      if (!(expected > 0)) continue;
      any = true;
      const double actual = s.counts[order[k]];
      // Variance of a count and of its prediction: 1 + (2 x 16 + 2) / 36. Over the greater of the two, so that a view
      // that is lost shows by more than the neighbours that it spoils.
      const double beyond = std::max(0.0, std::abs(actual - expected) - 4 * std::sqrt(1.95 * expected));
      const double share = 100 * beyond / std::max(actual, expected);
      if (share > largest) {
        largest = share;
        worst = order[k];
      }
    }
  }
  if (!any) return m;
  m.figure = largest;
  m.grade = grade_below(largest, 4, 10);
  m.sentence = m.grade == Grade::Good
                   ? "the counts change smoothly from view to view"
                   : "the counts jump by " + decimal(largest) + " % beyond noise at " + list_views({worst}) +
                         ": a view may have been cut short or a detector may have failed";
  return m;
}

namespace {

// Time in seconds if the views carry it; otherwise their order.
std::vector<double> times_of(const Summary& s, bool& known) {
  std::vector<double> times(s.views());
  known = false;
  for (const image::View& view : s.geometry->views) known = known || view.start.count() > 0;
  for (const Summary::Head& head : s.heads) {
    for (std::size_t k = 0; k < head.views.size(); ++k) {
      const image::View& view = s.geometry->views[head.views[k]];
      times[head.views[k]] = known ? view.start.count() + 0.5 * view.duration.count() : static_cast<double>(k);
    }
  }
  return times;
}

std::string drift_sentence(Grade grade, double drift, double expected, bool decays) {
  if (grade == Grade::Good && decays) {
    return std::abs(drift - expected) <= std::abs(drift)
               ? "the count rate falls as the nuclide decays"
               : "the count rate does not fall with the nuclide's decay: it may have been corrected already";
  }
  if (grade == Grade::Good) return "the count rate is steady over the scan";
  return "the count rate changes by " + decimal(100 * drift) + " % over the scan where " + decimal(100 * expected) +
         " % is expected: tracer moves, or the camera's sensitivity drifts";
}

}  // namespace

// ln(rate) = smooth in angle + a level for each head + drift x time. Attenuation makes the first three harmonics.
Measure count_rate(const Summary& s) {
  Measure m{.name = "counts.drift", .unit = "%", .sentence = "a drift cannot be told from the change with angle here"};
  const Summary::Arc arc = s.arc();
  if (!arc.closed || s.views() < 16) return m;
  bool known = false;
  const std::vector<double> times = times_of(s, known);
  const auto [first, last] = std::minmax_element(times.begin(), times.end());
  const double span = *last - *first;
  if (!(span > 0)) return m;

  std::vector<double> angles, values, time;
  std::vector<std::vector<double>> levels(s.heads.size());
  for (std::size_t h = 0; h < s.heads.size(); ++h) {
    for (const std::size_t view : s.heads[h].views) {
      if (!(s.rate(view) > 0)) continue;
      angles.push_back(s.geometry->views[view].angle.count());
      values.push_back(std::log(s.rate(view)));
      time.push_back((times[view] - *first) / span - 0.5);
      for (std::size_t other = 0; other < levels.size(); ++other) levels[other].push_back(other == h ? 1.0 : 0.0);
    }
  }
  std::vector<std::vector<double>> columns{time};
  columns.insert(columns.end(), levels.begin(), levels.end());
  for (auto& column : harmonics(angles, 3)) columns.push_back(std::move(column));
  const auto fit = least_squares(columns, values);
  if (!fit || fit->errors[0] > 0.02) return m;

  const bool decays = known && s.facts->half_life && s.facts->half_life->count() > 0;
  const double expected = decays ? std::exp(-0.6931471805599453 * span / s.facts->half_life->count()) - 1 : 0.0;
  const double drift = std::exp(fit->coefficients[0]) - 1;
  const double off = std::min(std::abs(drift), std::abs(drift - expected));
  m.figure = 100 * off;
  m.grade = grade_below(std::max(0.0, off - 3 * fit->errors[0]), 0.04, 0.12);
  m.sentence = drift_sentence(m.grade, drift, expected, decays);
  return m;
}

}  // namespace tomogrid::qa
