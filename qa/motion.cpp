// Did the patient keep still? Displacements of a view against its neighbours, beyond what turning explains.
#include <algorithm>
#include <cmath>

#include "qa/fit.h"
#include "qa/summary.h"

namespace tomogrid::qa {

namespace {

// A displacement of each view in mm, with its standard deviation from counting.
struct Track {
  std::vector<double> at, noise;
};

struct Moved {
  double distance = 0, noise = 0;
  std::size_t view = 0;
};

// Centre of mass of each view across the axis. Without attenuation it is x cos t + y sin t (Ludwig and Helgason's first
// consistency condition); attenuation adds slow harmonics.
Track centre_of_mass(const Summary& s) {
  Track track;
  for (const auto& profile : s.transaxial) {
    double sum = 0, first = 0, second = 0;
    for (std::size_t bin = 0; bin < profile.size(); ++bin) {
      const double u = static_cast<double>(bin), n = std::max(0.0, profile[bin]);
      sum += n;
      first += n * u;
      second += n * u * u;
    }
    const double mean = sum > 0 ? first / sum : 0;
    const double variance = sum > 0 ? std::max(0.0, second / sum - mean * mean) / sum : 1e12;
    track.at.push_back(mean * s.geometry->bin_mm.count());
    track.noise.push_back(std::sqrt(variance) * s.geometry->bin_mm.count());
  }
  return track;
}

// Shift of each view's axial profile against the mean of all, by weighted least squares of profile = a r - a d r':
// a matched filter, which a body that goes on beyond the field does not disturb as it does a centre of mass.
Track axial_shift(const Summary& s) {
  const std::size_t rows = s.geometry->rows;
  std::vector<double> mean(rows, 0.0), slope(rows, 0.0);
  for (const auto& profile : s.axial) {
    for (std::size_t row = 0; row < rows; ++row) mean[row] += profile[row] / static_cast<double>(s.views());
  }
  for (std::size_t row = 1; row + 1 < rows; ++row) slope[row] = 0.5 * (mean[row + 1] - mean[row - 1]);
  const double floor = 1e-3 * *std::max_element(mean.begin(), mean.end()) + 1e-9;
  Track track;
  for (const auto& profile : s.axial) {
    double rr = 0, rd = 0, dd = 0, pr = 0, pd = 0;
    for (std::size_t row = 1; row + 1 < rows; ++row) {
      const double weight = 1 / (std::max(mean[row], 0.0) + floor);
      rr += weight * mean[row] * mean[row];
      rd += weight * mean[row] * slope[row];
      dd += weight * slope[row] * slope[row];
      pr += weight * profile[row] * mean[row];
      pd += weight * profile[row] * slope[row];
    }
    const double determinant = rr * dd - rd * rd;
    double shift = 0, noise = 1e6;
    if (determinant > 1e-9 * rr * dd) {
      const double a = (pr * dd - pd * rd) / determinant, b = (pd * rr - pr * rd) / determinant;
      if (a > 0) {
        shift = -b / a;
        noise = std::sqrt(rr / determinant / a);
      }
    }
    track.at.push_back(shift * s.geometry->row_mm.count());
    track.noise.push_back(noise * s.geometry->row_mm.count());
  }
  return track;
}

// What is left of a track when everything slow in angle is gone: a level per head and the first three harmonics.
std::optional<std::vector<double>> slow_removed(const Summary& s, const Track& track, int order) {
  std::vector<double> angles;
  for (const image::View& view : s.geometry->views) angles.push_back(view.angle.count());
  std::vector<std::vector<double>> columns = harmonics(angles, order);
  for (const Summary::Head& head : s.heads) {
    std::vector<double> level(s.views(), 0.0);
    for (const std::size_t view : head.views) level[view] = 1;
    columns.push_back(std::move(level));
  }
  const auto fit = least_squares(columns, track.at);
  if (!fit) return std::nullopt;
  return fit->residuals;
}

// The largest step between three views and the next three, or of one view away from its neighbours.
Moved largest_move(const Summary& s, const Track& track, const std::vector<double>& left) {
  Moved moved;
  const auto consider = [&](double distance, double noise, std::size_t view) {
    moved.noise = std::max(moved.noise, noise);
    if (std::abs(distance) > moved.distance) moved = {std::abs(distance), moved.noise, view};
  };
  for (const Summary::Head& head : s.heads) {
    const auto& order = head.views;
    const auto at = [&](std::size_t k) { return left[order[k]]; };
    const auto noise = [&](std::size_t k) { return track.noise[order[k]]; };
    for (std::size_t k = 1; k + 1 < order.size(); ++k) {
      consider(at(k) - 0.5 * (at(k - 1) + at(k + 1)), 1.22 * noise(k), order[k]);
    }
    for (std::size_t k = 3; k + 3 <= order.size(); ++k) {
      const double before = (at(k - 1) + at(k - 2) + at(k - 3)) / 3, after = (at(k) + at(k + 1) + at(k + 2)) / 3;
      consider(after - before, 0.82 * noise(k), order[k]);
    }
  }
  return moved;
}

Measure judge_motion(const Summary& s, const Track& track, std::string name, const char* direction) {
  constexpr double kGood = 3, kPoor = 6.5;      // mm; docs/quality.md
  Measure m{.name = std::move(name), .unit = "mm", .sentence = "too few views or counts to judge motion"};
  const Summary::Arc arc = s.arc();
  if (s.views() < 24 || arc.covered < 3) return m;
  const auto left = slow_removed(s, track, arc.closed ? 4 : 3);
  if (!left) return m;
  const Moved moved = largest_move(s, track, *left);
  // The largest of some hundred normal numbers is about three of their standard deviations.
  const double beyond = std::max(0.0, moved.distance - 3 * moved.noise);
  if (3 * moved.noise > kPoor) return m;
  m.figure = beyond;
  m.grade = grade_below(beyond, kGood, kPoor);
  m.sentence = m.grade == Grade::Good ? std::string("no motion ") + direction + " is seen between views"
                                      : std::string("the body moves ") + direction + " by about " +
                                            decimal(moved.distance) + " mm near " + list_views({moved.view}) +
                                            (m.grade == Grade::Poor ? ": repeat the scan or correct the motion"
                                                                    : ": fine detail will be blurred");
  return m;
}

}  // namespace

Measure axial_motion(const Summary& s) {
  if (s.geometry->rows < 4) return {.name = "motion.axial", .unit = "mm", .sentence = "too few slices to judge motion"};
  return judge_motion(s, axial_shift(s), "motion.axial", "along the axis");
}

Measure transaxial_motion(const Summary& s) { return judge_motion(s, centre_of_mass(s), "motion.transaxial", "sideways"); }

}  // namespace tomogrid::qa
