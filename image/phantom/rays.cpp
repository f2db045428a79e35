#include "image/phantom/rays.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "image/phantom/numerics.h"

namespace tomogrid::image::phantom {

namespace {

struct Interval {
  double least, most;
};

// How far a solid reaches along a direction: its support function, both ways.
Interval reach(const Solid& solid, double nx, double ny, double nz) {
  const double centre = solid.x * nx + solid.y * ny + solid.z * nz;
  const double ax = solid.a * nx, by = solid.b * ny, cz = solid.c * nz;
  double half = 0;
  switch (solid.shape) {
    case Solid::Shape::Ellipsoid:
      half = std::sqrt(ax * ax + by * by + cz * cz);
      break;
    case Solid::Shape::EllipticCylinder:
      half = std::sqrt(ax * ax + by * by) + std::abs(cz);
      break;
    case Solid::Shape::Box:
      half = std::abs(ax) + std::abs(by) + std::abs(cz);
      break;
  }
  return {centre - half, centre + half};
}

Interval reach(const Region& region, double nx, double ny, double nz) {
  Interval all{-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  for (const Solid& solid : region.solids) {
    const Interval one = reach(solid, nx, ny, nz);
    all = {std::max(all.least, one.least), std::min(all.most, one.most)};
  }
  return all;
}

// [begin, end] becomes its part where |p + w d| <= 1.
bool clip_slab(double p, double d, double& begin, double& end) {
  if (d == 0) return std::abs(p) <= 1;
  const double first = (-1 - p) / d, second = (1 - p) / d;
  begin = std::max(begin, std::min(first, second));
  end = std::min(end, std::max(first, second));
  return begin < end;
}

// ... and where |p + w d|^2 <= 1, given |d|^2, p.d and |p|^2.
bool clip_ball(double dd, double pd, double pp, double& begin, double& end) {
  if (dd == 0) return pp <= 1;
  const double discriminant = pd * pd - dd * (pp - 1);
  if (discriminant <= 0) return false;
  const double root = std::sqrt(discriminant);
  begin = std::max(begin, (-pd - root) / dd);
  end = std::min(end, (-pd + root) / dd);
  return begin < end;
}

}  // namespace

LineFrame frame_of_view(Radians angle) {
  const auto [s, c] = sin_cos(angle.count());
  return {.ux = c, .uy = s, .uz = 0, .vx = 0, .vy = 0, .vz = 1, .wx = -s, .wy = c, .wz = 0};
}

LineFrame frame_along_z() {
  return {.ux = 1, .uy = 0, .uz = 0, .vx = 0, .vy = 1, .vz = 0, .wx = 0, .wy = 0, .wz = 1};
}

Lines::Lines(const Phantom& phantom, const LineFrame& f) {
  constexpr double kFar = std::numeric_limits<double>::infinity();
  shadow_ = {kFar, -kFar, kFar, -kFar};
  w_min_ = kFar;
  w_max_ = -kFar;
  for (const Region& region : phantom.regions) {
    Placed placed;
    placed.first = cuts_.size();
    for (const Solid& s : region.solids) {
      cuts_.push_back({.shape = s.shape,
                       .u = {f.ux / s.a, f.uy / s.b, f.uz / s.c},
                       .v = {f.vx / s.a, f.vy / s.b, f.vz / s.c},
                       .w = {f.wx / s.a, f.wy / s.b, f.wz / s.c},
                       .centre = {s.x / s.a, s.y / s.b, s.z / s.c}});
    }
    placed.last = cuts_.size();
    const Interval u = reach(region, f.ux, f.uy, f.uz), v = reach(region, f.vx, f.vy, f.vz),
                   w = reach(region, f.wx, f.wy, f.wz);
    placed.shadow = {u.least, u.most, v.least, v.most};
    placed.w_min = w.least;
    placed.w_max = w.most;
    placed.activity = region.activity;
    placed.mu = region.mu;
    placed.material = static_cast<std::uint32_t>(regions_.size());
    for (const Placed& earlier : regions_) {
      if (earlier.activity == placed.activity && earlier.mu == placed.mu) {
        placed.material = earlier.material;
        break;
      }
    }
    regions_.push_back(placed);
    shadow_ = {std::min(shadow_.u_min, u.least), std::max(shadow_.u_max, u.most), std::min(shadow_.v_min, v.least),
               std::max(shadow_.v_max, v.most)};
    w_min_ = std::min(w_min_, w.least);
    w_max_ = std::max(w_max_, w.most);
  }
}

bool Lines::cross(const Placed& region, double u, double v, double& begin, double& end) const {
  begin = region.w_min;
  end = region.w_max;
  for (std::size_t i = region.first; i < region.last; ++i) {
    const Cut& cut = cuts_[i];
    double p[3];
    for (int k = 0; k < 3; ++k) p[k] = u * cut.u[k] + v * cut.v[k] - cut.centre[k];
    const double* d = cut.w;
    bool hit = true;
    switch (cut.shape) {
      case Solid::Shape::Ellipsoid:
        hit = clip_ball(d[0] * d[0] + d[1] * d[1] + d[2] * d[2], p[0] * d[0] + p[1] * d[1] + p[2] * d[2],
                        p[0] * p[0] + p[1] * p[1] + p[2] * p[2], begin, end);
        break;
      case Solid::Shape::EllipticCylinder:
        hit = clip_slab(p[2], d[2], begin, end) &&
              clip_ball(d[0] * d[0] + d[1] * d[1], p[0] * d[0] + p[1] * d[1], p[0] * p[0] + p[1] * p[1], begin, end);
        break;
      case Solid::Shape::Box:
        hit =
            clip_slab(p[0], d[0], begin, end) && clip_slab(p[1], d[1], begin, end) && clip_slab(p[2], d[2], begin, end);
        break;
    }
    if (!hit) return false;
  }
  return begin < end;
}

void Lines::segments(double u, double v, Scratch& scratch, std::vector<Segment>& out) const {
  out.clear();
  scratch.crossings.clear();
  scratch.cuts.clear();
  for (std::size_t r = 0; r < regions_.size(); ++r) {
    const Shadow& shadow = regions_[r].shadow;
    if (u < shadow.u_min || u > shadow.u_max || v < shadow.v_min || v > shadow.v_max) continue;
    double begin = 0, end = 0;
    if (!cross(regions_[r], u, v, begin, end)) continue;
    scratch.crossings.push_back({begin, end, static_cast<std::uint32_t>(r)});
    scratch.cuts.push_back(begin);
    scratch.cuts.push_back(end);
  }
  std::sort(scratch.cuts.begin(), scratch.cuts.end());
  for (std::size_t i = 1; i < scratch.cuts.size(); ++i) {
    const double begin = scratch.cuts[i - 1], end = scratch.cuts[i], middle = 0.5 * (begin + end);
    if (!(begin < end)) continue;
    const Placed* top = nullptr;
    for (const auto& crossing : scratch.crossings) {
      if (crossing.begin < middle && middle < crossing.end) top = &regions_[crossing.region];
    }
    if (top == nullptr) continue;
    if (!out.empty() && out.back().end == begin && out.back().material == top->material) {
      out.back().end = end;
    } else {
      out.push_back({begin, end, top->activity, top->mu, top->material});
    }
  }
}

}  // namespace tomogrid::image::phantom
