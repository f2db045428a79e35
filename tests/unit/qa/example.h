// One clean scan for all tests of this folder, and ways to spoil it.
#pragma once

#include <cmath>

#include "image/phantom.h"
#include "qa/qa.h"

namespace tomogrid::qa {

struct Example {
  image::Projections noise_free, projections;
};

// The brain phantom on 48 x 48 bins of 5.3 mm, 60 views, four million counts. A response wider than LEHR's makes it
// quick: every test is a process of its own.
inline const Example& brain() {
  static const Example example = [] {
    const image::Phantom phantom = image::preset("brain").or_throw();
    const image::ProjectionGeometry geometry = image::circular_scan(48, 48, phantom.field / 48.0, phantom.field / 48.0,
                                                                    {.views = 60, .radius = phantom.radius});
    image::PhantomPhysics physics{.response = {.sigma0 = Millimetres(3.5), .slope = 0.0163},
                                  .attenuation = true,
                                  .half_life = Seconds(6.0067 * 3600)};
    std::vector<double> expected = image::project(phantom, geometry, physics, {});
    double total = 0;
    for (const double v : expected) total += v;
    for (double& v : expected) v *= 4e6 / total;
    image::AcquisitionFacts facts;
    facts.nuclide = "Tc-99m";
    facts.half_life = physics.half_life;
    Example made{.noise_free = {.geometry = geometry, .facts = facts, .values = {}}, .projections = {}};
    made.projections = made.noise_free;
    made.noise_free.values.assign(expected.begin(), expected.end());
    made.projections.values = image::poisson_counts(expected, 20);
    return made;
  }();
  return example;
}

// Poisson noise on the clean expectation after `change(view, row, bin, expected)`.
template <class Change>
image::Projections noisy(Change change, std::uint64_t seed = 5) {
  image::Projections scan = brain().noise_free;
  const image::ProjectionGeometry& g = scan.geometry;
  std::vector<double> expected(scan.values.size());
  for (std::size_t view = 0; view < g.views.size(); ++view) {
    for (std::size_t row = 0; row < g.rows; ++row) {
      for (std::size_t bin = 0; bin < g.bins; ++bin) {
        const std::size_t i = (view * g.rows + row) * g.bins + bin;
        expected[i] = change(view, row, bin, double{scan.values[i]});
      }
    }
  }
  scan.values = image::poisson_counts(expected, seed);
  scan.facts.counts = true;
  return scan;
}

// The clean expectation moved by (du, dv) mm in each view, linearly interpolated.
template <class Shift>
image::Projections moved(Shift shift, std::uint64_t seed = 5) {
  const image::Projections& clean = brain().noise_free;
  const image::ProjectionGeometry& g = clean.geometry;
  return noisy(
      [&](std::size_t view, std::size_t row, std::size_t bin, double) {
        const auto [du, dv] = shift(view);
        const double u = static_cast<double>(bin) - du / g.bin_mm.count(),
                     v = static_cast<double>(row) - dv / g.row_mm.count();
        const double u0 = std::floor(u), v0 = std::floor(v);
        double sum = 0;
        for (const double i : {0.0, 1.0}) {
          for (const double j : {0.0, 1.0}) {
            const double x = u0 + i, y = v0 + j;
            if (x < 0 || y < 0 || x >= static_cast<double>(g.bins) || y >= static_cast<double>(g.rows)) continue;
            const double weight = (1 - std::abs(u - x)) * (1 - std::abs(v - y));
            sum += weight *
                   clean.values[(view * g.rows + static_cast<std::size_t>(y)) * g.bins + static_cast<std::size_t>(x)];
          }
        }
        return sum;
      },
      seed);
}

inline const Measure& find(const Report& report, std::string_view name) {
  for (const Measure& m : report.measures) {
    if (m.name == name) return m;
  }
  assertion_failed("a measure of that name", __FILE__, __LINE__);
}

}  // namespace tomogrid::qa
