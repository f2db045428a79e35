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

// The largest displacement found, less what chance explains.
struct Moved {
  double distance = 0, beyond = 0;
  std::size_t view = 0;
  void take(double candidate, double chance, std::size_t at) {
    if (candidate - chance > beyond) *this = {candidate, candidate - chance, at};
  }
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

// A track without what is slow in angle: the first four harmonics, with a level per head. What a fit takes away wrongly
// is slow again, so the searches below do not mind; an arc too short for harmonics is left as it is.
Track slow_removed(const Summary& s, Track track) {
  std::vector<double> angles;
  for (const image::View& view : s.geometry->views) angles.push_back(view.angle.count());
  std::vector<std::vector<double>> columns = harmonics(angles, 4);
  for (const Summary::Head& head : s.heads) {
    std::vector<double> level(s.views(), 0.0);
    for (const std::size_t view : head.views) level[view] = 1;
    columns.push_back(std::move(level));
  }
  if (const auto fit = least_squares(columns, track.at)) track.at = fit->residuals;
  return track;
}

// Views of a head in the order taken; round once more after a full turn, so that the last meets the first.
std::vector<std::size_t> run_of(const Summary& s, const Summary::Head& head, std::size_t reach) {
  std::vector<std::size_t> run = head.views;
  if (s.heads.size() == 1 && s.arc().closed)
    run.insert(run.end(), head.views.begin(), head.views.begin() + static_cast<std::ptrdiff_t>(reach));
  return run;
}

// One view away from its neighbours: against the cubic through two on each side.
void find_jerks(const Track& track, const std::vector<std::size_t>& run, Moved& moved) {
  const auto at = [&](std::size_t k) { return track.at[run[k]]; };
  for (std::size_t k = 2; k + 2 < run.size(); ++k) {
    const double expected = (4 * (at(k - 1) + at(k + 1)) - (at(k - 2) + at(k + 2))) / 6;
    moved.take(std::abs(at(k) - expected), 3 * 1.4 * track.noise[run[k]], run[k]);
  }
}

// A step between view k - 1 and view k: a cubic and a step fitted to `reach` views on each side. The step's error comes
// from the fit, so what the cubic cannot follow counts as noise.
void find_steps(const Track& track, const std::vector<std::size_t>& run, std::size_t reach, Moved& moved) {
  for (std::size_t k = reach; k + reach <= run.size(); ++k) {
    std::vector<std::vector<double>> columns(5);
    std::vector<double> values;
    for (std::size_t i = k - reach; i < k + reach; ++i) {
      const double x = (static_cast<double>(i) + 0.5 - static_cast<double>(k)) / static_cast<double>(reach);
      double power = 1;
      for (std::size_t p = 0; p < 4; ++p, power *= x) columns[p].push_back(power);
      columns[4].push_back(i < k ? 0.0 : 1.0);
      values.push_back(track.at[run[i]]);
    }
    if (const auto fit = least_squares(columns, values)) {
      moved.take(std::abs(fit->coefficients[4]), 4 * fit->errors[4], run[k]);
    }
  }
}

Measure judge_motion(const Summary& s, const Track& track, std::string name, const char* direction) {
  constexpr double kGood = 3, kPoor = 6.5;  // mm; docs/quality.md
  Measure m{.name = std::move(name), .unit = "mm", .sentence = "too few views or counts to judge motion"};
  const Summary::Arc arc = s.arc();
  if (s.views() < 24 || arc.step == 0) return m;
  // The largest of some hundred normal numbers is about three of their standard deviations.
  const double noise = 3 * 1.4 * *std::max_element(track.noise.begin(), track.noise.end());
  if (!(noise < kPoor)) return m;
  // A cubic follows attenuation over +-48 degrees.
  const auto reach = static_cast<std::size_t>(std::clamp(std::floor(0.84 / arc.step), 5.0, 16.0));
  const Track left = slow_removed(s, track);
  Moved moved;
  for (const Summary::Head& head : s.heads) {
    if (head.views.size() < 2 * reach) continue;
    const std::vector<std::size_t> run = run_of(s, head, 2 * reach);
    find_jerks(left, run, moved);
    find_steps(left, run, reach, moved);
  }
  m.figure = moved.beyond;
  m.grade = grade_below(moved.beyond, kGood, kPoor);
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

Measure transaxial_motion(const Summary& s) {
  return judge_motion(s, centre_of_mass(s), "motion.transaxial", "sideways");
}

}  // namespace tomogrid::qa
