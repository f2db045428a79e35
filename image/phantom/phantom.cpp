// What the pieces are put together from: checks, orbits, one whole simulated acquisition.
#include "image/phantom.h"

#include <cmath>

#include "image/phantom/numerics.h"
#include "image/phantom/rays.h"

namespace tomogrid::image {

namespace {

Error bad(std::string message) {
  return {ErrorCode::BadInput, std::move(message)};
}

bool finite(std::initializer_list<double> values) {
  for (const double value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

Result<void> check_region(const Region& region) {
  if (region.solids.empty()) return bad("region '" + region.name + "' has no solid");
  for (const Solid& s : region.solids) {
    if (!finite({s.x, s.y, s.z, s.a, s.b, s.c}) || !(s.a > 0 && s.b > 0 && s.c > 0)) {
      return bad("region '" + region.name + "' has a solid without extent: half-lengths must be above 0 mm");
    }
  }
  if (!finite({region.activity, region.mu}) || region.activity < 0 || region.mu < 0) {
    return bad("region '" + region.name + "': activity and mu must be 0 or more");
  }
  return {};
}

Result<void> check_reach(const Phantom& phantom, const ProjectionGeometry& geometry) {
  for (std::size_t k = 0; k < geometry.views.size(); ++k) {
    const View& view = geometry.views[k];
    const auto refuse = [&](const std::string& what) {
      return bad("'" + what + "' reaches the collimator face in view " + std::to_string(k + 1) +
                 ": the orbit's radius is " + std::to_string(std::lround(view.radius.count())) +
                 " mm; take a larger one");
    };
    const phantom::LineFrame frame = phantom::frame_of_view(view.angle);
    const phantom::Lines lines(phantom, frame);
    for (std::size_t r = 0; r < lines.regions(); ++r) {
      if (!(view.radius.count() + lines.w_min(r) > 0)) return refuse(phantom.regions[r].name);
    }
    for (const PointSource& point : phantom.points) {
      if (!(view.radius.count() + point.x * frame.wx + point.y * frame.wy > 0)) return refuse(point.name);
    }
  }
  return {};
}

}  // namespace

bool Solid::contains(double px, double py, double pz) const {
  const double i = (px - x) / a, j = (py - y) / b, k = (pz - z) / c;
  switch (shape) {
    case Shape::Ellipsoid:
      return i * i + j * j + k * k <= 1;
    case Shape::EllipticCylinder:
      return i * i + j * j <= 1 && std::abs(k) <= 1;
    case Shape::Box:
      return std::abs(i) <= 1 && std::abs(j) <= 1 && std::abs(k) <= 1;
  }
  return false;
}

ProjectionGeometry circular_scan(std::size_t bins, std::size_t rows, Millimetres bin, Millimetres row,
                                 const Orbit& orbit) {
  TOMOGRID_ASSERT(orbit.heads > 0 && orbit.views % orbit.heads == 0);
  ProjectionGeometry geometry{.bins = bins,
                              .rows = rows,
                              .bin_mm = bin,
                              .row_mm = row,
                              .u0 = bin * (-0.5 * (static_cast<double>(bins) - 1)),
                              .v0 = row * (-0.5 * (static_cast<double>(rows) - 1)),
                              .views = {}};
  const std::size_t per_head = orbit.views / orbit.heads;
  const double step = orbit.arc.count() / static_cast<double>(orbit.views);
  for (std::uint32_t head = 0; head < orbit.heads; ++head) {
    for (std::size_t k = 0; k < per_head; ++k) {
      const double angle = orbit.first.count() + step * static_cast<double>(head * per_head + k);
      geometry.views.push_back({.angle = Radians(angle),
                                .radius = orbit.radius,
                                .start = orbit.per_view * static_cast<double>(k),
                                .duration = orbit.per_view,
                                .detector = head});
    }
  }
  return geometry;
}

Result<void> check(const Phantom& phantom, const ProjectionGeometry& geometry, const PhantomPhysics& physics) {
  if (geometry.bins == 0 || geometry.rows == 0 || geometry.views.empty()) {
    return bad("a scan needs bins, rows and views; this one has " + std::to_string(geometry.bins) + ", " +
               std::to_string(geometry.rows) + " and " + std::to_string(geometry.views.size()));
  }
  if (!(geometry.bin_mm.count() > 0 && geometry.row_mm.count() > 0))
    return bad("bins and rows must be above 0 mm wide");
  if (!(physics.response.sigma0.count() > 0 && physics.response.slope >= 0)) {
    return bad("the collimator response needs sigma0 above 0 mm and a slope of 0 or more");
  }
  for (const Region& region : phantom.regions) {
    if (auto ok = check_region(region); !ok) return ok.error();
  }
  for (const PointSource& point : phantom.points) {
    if (!finite({point.x, point.y, point.z, point.activity}) || point.activity < 0) {
      return bad("point '" + point.name + "': position and activity must be finite, activity 0 or more");
    }
  }
  return check_reach(phantom, geometry);
}

Result<Simulation> simulate(const Phantom& phantom, const ProjectionGeometry& geometry, PhantomPhysics physics,
                            const SimulationRequest& request) {
  if (!(request.counts > 0 && request.counts <= 1e11)) return bad("counts must be above 0 and at most 1e11");
  physics.half_life = request.facts.half_life;
  if (auto ok = check(phantom, geometry, physics); !ok) return ok.error();

  Simulation simulation{.projections = {}, .noise_free = {}, .phantom = phantom, .convergence = {}};
  simulation.convergence = converge(phantom, geometry, physics);
  std::vector<double> expected = project(phantom, geometry, physics, simulation.convergence.sampling);
  double total = 0;
  for (const double value : expected) total += value;
  if (!(total > 0)) return bad("phantom '" + phantom.name + "' has no activity in the detector's field");

  const double scale = request.counts / total;
  for (double& value : expected) value *= scale;
  for (Region& region : simulation.phantom.regions) region.activity *= scale;
  for (PointSource& point : simulation.phantom.points) point.activity *= scale;

  simulation.projections = {.geometry = geometry, .facts = request.facts, .values = {}};
  simulation.noise_free = simulation.projections;
  simulation.projections.facts.counts = true;
  simulation.projections.values = poisson_counts(expected, request.seed);
  simulation.noise_free.facts.counts = false;
  simulation.noise_free.values.assign(expected.begin(), expected.end());
  return simulation;
}

}  // namespace tomogrid::image
