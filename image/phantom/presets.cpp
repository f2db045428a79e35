// The presets, in mm: +x to the patient's left, +y to the back, +z to the head. docs/phantom.md has the table and the
// sources of the dimensions. Attenuation coefficients are those of narrow beams at 140 keV (no scatter is simulated).
#include <array>
#include <cmath>

#include "image/phantom.h"
#include "image/phantom/numerics.h"

namespace tomogrid::image {

namespace {

constexpr double kWater = 0.0154, kLung = 0.0046, kBone = 0.0250, kAcrylic = 0.0174;  // 1/mm

Solid ellipsoid(double x, double y, double z, double a, double b, double c) {
  return {Solid::Shape::Ellipsoid, x, y, z, a, b, c};
}
Solid sphere(double x, double y, double z, double radius) {
  return ellipsoid(x, y, z, radius, radius, radius);
}
Solid cylinder(double x, double y, double z, double a, double b, double half_length) {
  return {Solid::Shape::EllipticCylinder, x, y, z, a, b, half_length};
}
Solid box(double x, double y, double z, double a, double b, double c) {
  return {Solid::Shape::Box, x, y, z, a, b, c};
}

// IEC 61675-1 / NEMA NU 2 body: a half circle of 147 mm in front, two quarter circles of 77 mm behind with 140 mm
// between, six spheres on a circle of 57.2 mm in the plane z = 0, a lung insert of 51 mm on the axis.
Phantom nema(double contrast) {
  Phantom p{.name = "nema",
            .summary = "NEMA IEC body: six spheres of 10 to 37 mm in a warm body, lung insert",
            .regions = {},
            .points = {},
            .field = Millimetres(409.6),
            .radius = Millimetres(220)};
  constexpr double kMiddle = -20, kHalf = 90, kSplit = 35;  // z from -110 to 70; the circles' centres at y = 35
  const auto body = [&](const char* name, std::vector<Solid> solids) {
    p.regions.push_back({.name = name, .solids = std::move(solids), .activity = 1, .mu = kWater});
  };
  body("body, front", {cylinder(0, kSplit, kMiddle, 147, 147, kHalf), box(0, kSplit - 100, kMiddle, 147, 100, kHalf)});
  body("body, back", {box(0, kSplit + 38.5, kMiddle, 70, 38.5, kHalf)});
  for (const double side : {-1.0, 1.0}) {
    body(side > 0 ? "body, back left" : "body, back right", {cylinder(side * 70, kSplit, kMiddle, 77, 77, kHalf),
                                                             box(side * 70, kSplit + 38.5, kMiddle, 77, 38.5, kHalf)});
  }
  p.regions.push_back(
      {.name = "lung insert", .solids = {cylinder(0, 0, kMiddle, 25.5, 25.5, kHalf)}, .activity = 0, .mu = kLung});
  constexpr std::array<int, 6> kDiameters{37, 28, 22, 17, 13, 10};
  for (std::size_t i = 0; i < kDiameters.size(); ++i) {
    const auto [s, c] = phantom::sin_cos(phantom::kPi / 3 * static_cast<double>(i));
    p.regions.push_back({.name = "sphere " + std::to_string(kDiameters[i]) + " mm",
                         .solids = {sphere(57.2 * c, 57.2 * s, 0, 0.5 * kDiameters[i])},
                         .activity = contrast,
                         .mu = kWater});
  }
  return p;
}

// A sector of rods on a triangular lattice of twice their diameter, pointing away from the axis.
void add_rods(Phantom& p, double diameter, double direction) {
  const auto [s, c] = phantom::sin_cos(direction);
  const double pitch = 2 * diameter, first = 18, last = 102;
  int number = 0;
  for (int layer = 0;; ++layer) {
    const double along = first + pitch * 0.86602540378443864676 * layer;
    if (along > last) return;
    for (int k = 0; k <= layer; ++k) {
      const double across = pitch * (k - 0.5 * layer);
      const double x = along * c - across * s, y = along * s + across * c;
      if (std::sqrt(x * x + y * y) + 0.5 * diameter > last) continue;
      p.regions.push_back({.name = "rod " + std::to_string(diameter).substr(0, 4) + " mm #" + std::to_string(++number),
                           .solids = {cylinder(x, y, -49, 0.5 * diameter, 0.5 * diameter, 44)},
                           .activity = 0,
                           .mu = kAcrylic});
    }
  }
}

// Deluxe Jaszczak: a cylinder of 216 x 186 mm, cold rods of 4.8 to 12.7 mm below, cold spheres of 9.5 to 31.8 mm above.
Phantom jaszczak() {
  Phantom p{.name = "jaszczak",
            .summary = "Jaszczak cylinder: cold rods of 4.8 to 12.7 mm, cold spheres of 9.5 to 31.8 mm",
            .regions = {},
            .points = {},
            .field = Millimetres(281.6),
            .radius = Millimetres(150)};
  p.regions.push_back({.name = "cylinder", .solids = {cylinder(0, 0, 0, 108, 108, 93)}, .activity = 1, .mu = kWater});
  constexpr std::array<double, 6> kRods{12.7, 11.1, 9.5, 7.9, 6.4, 4.8}, kSpheres{31.8, 25.4, 19.1, 15.9, 12.7, 9.5};
  for (std::size_t i = 0; i < kRods.size(); ++i) {
    add_rods(p, kRods[i], phantom::kPi / 3 * (static_cast<double>(i) + 0.5));
  }
  for (std::size_t i = 0; i < kSpheres.size(); ++i) {
    const auto [s, c] = phantom::sin_cos(phantom::kPi / 3 * static_cast<double>(i));
    p.regions.push_back({.name = "cold sphere " + std::to_string(kSpheres[i]).substr(0, 4) + " mm",
                         .solids = {sphere(58 * c, 58 * s, 45, 0.5 * kSpheres[i])},
                         .activity = 0,
                         .mu = kWater});
  }
  return p;
}

Phantom uniform_cylinder() {
  return {.name = "cylinder",
          .summary = "uniform cylinder of 200 mm diameter and 200 mm length",
          .regions = {{.name = "cylinder", .solids = {cylinder(0, 0, 0, 100, 100, 100)}, .activity = 1, .mu = kWater}},
          .points = {},
          .field = Millimetres(281.6),
          .radius = Millimetres(150)};
}

// 27 positions with different distances from the axis, at 0, 50 and 100 mm; strengths all alike.
void add_points(Phantom& p, double activity) {
  for (const double z : {-60.0, 0.0, 60.0}) {
    for (int k = 0; k < 9; ++k) {
      const double radius = k == 0 ? 0 : (k % 2 == 1 ? 50 : 100);
      const auto [s, c] = phantom::sin_cos(phantom::kPi / 4 * (k - 1) + 0.2);
      p.points.push_back({.name = "point " + std::to_string(p.points.size() + 1),
                          .x = radius * c,
                          .y = radius * s,
                          .z = z,
                          .activity = activity});
    }
  }
}

Phantom points() {
  Phantom p{.name = "points",
            .summary = "27 point sources in air at 0, 50 and 100 mm from the axis",
            .regions = {},
            .points = {},
            .field = Millimetres(281.6),
            .radius = Millimetres(150)};
  add_points(p, 1);
  return p;
}

// A point and 10 % of it as the warm background in the volume of a cube of one resolution length (10 mm).
Phantom warm_points() {
  Phantom p{.name = "warm-points",
            .summary = "points at 0, 50 and 100 mm on a warm cylinder of 260 mm",
            .regions = {},
            .points = {},
            .field = Millimetres(320),
            .radius = Millimetres(160)};
  p.regions.push_back(
      {.name = "warm cylinder", .solids = {cylinder(0, 0, 0, 130, 130, 100)}, .activity = 1e-4, .mu = kWater});
  for (const double x : {0.0, 50.0, 100.0}) {
    p.points.push_back(
        {.name = "point at " + std::to_string(static_cast<int>(x)) + " mm", .x = x, .y = 0, .z = 0, .activity = 1});
  }
  return p;
}

// Perfusion of a head: cortex and deep grey matter at 4, white matter at 1, ventricles empty, skull without activity.
// The left frontal cortex has a defect of half perfusion, so that a picture shows its side.
Phantom brain() {
  Phantom p{.name = "brain",
            .summary = "brain perfusion: cortex 4 : white matter 1, skull, defect left in front",
            .regions = {},
            .points = {},
            .field = Millimetres(256),
            .radius = Millimetres(150)};
  const auto add = [&](const char* name, Solid solid, double activity, double mu) {
    p.regions.push_back({.name = name, .solids = {solid}, .activity = activity, .mu = mu});
  };
  add("scalp", ellipsoid(0, 0, 0, 78, 98, 92), 0.4, kWater);
  add("skull", ellipsoid(0, 0, 0, 73, 93, 87), 0, kBone);
  add("cortex", ellipsoid(0, 0, 0, 67, 87, 80), 4, kWater);
  p.regions.push_back({.name = "defect, left frontal cortex",
                       .solids = {ellipsoid(0, 0, 0, 67, 87, 80), sphere(42, -62, 15, 24)},
                       .activity = 2,
                       .mu = kWater});
  add("white matter, left", ellipsoid(29, 0, 4, 24, 68, 58), 1, kWater);
  add("white matter, right", ellipsoid(-29, 0, 4, 24, 68, 58), 1, kWater);
  add("thalamus, left", ellipsoid(14, 10, 0, 9, 15, 11), 4, kWater);
  add("thalamus, right", ellipsoid(-14, 10, 0, 9, 15, 11), 4, kWater);
  add("striatum, left", ellipsoid(23, -18, 4, 7, 18, 13), 4.5, kWater);
  add("striatum, right", ellipsoid(-23, -18, 4, 7, 18, 13), 4.5, kWater);
  add("ventricle, left", ellipsoid(8, -4, 18, 4.5, 26, 8), 0, kWater);
  add("ventricle, right", ellipsoid(-8, -4, 18, 4.5, 26, 8), 0, kWater);
  return p;
}

// Myocardial perfusion in a thorax: the left ventricle's wall is a shell open to the base, with a defect at the back.
Phantom torso() {
  Phantom p{.name = "torso",
            .summary = "thorax with lungs, spine, liver and a perfused left ventricle with a defect",
            .regions = {},
            .points = {},
            .field = Millimetres(480),
            .radius = Millimetres(230)};
  const auto add = [&](const char* name, std::vector<Solid> solids, double activity, double mu) {
    p.regions.push_back({.name = name, .solids = std::move(solids), .activity = activity, .mu = mu});
  };
  add("body", {cylinder(0, 0, 0, 165, 115, 160)}, 0.3, kWater);
  add("lung, left", {ellipsoid(78, 5, 45, 55, 80, 100)}, 0.1, kLung);
  add("lung, right", {ellipsoid(-78, 5, 45, 60, 82, 100)}, 0.1, kLung);
  add("spine", {cylinder(0, 75, 0, 20, 20, 160)}, 0.3, kBone);
  add("liver", {ellipsoid(-60, -5, -85, 85, 80, 50)}, 2, kWater);
  add("heart", {ellipsoid(38, -35, 0, 52, 48, 50)}, 0.5, kWater);
  const Solid open_base = box(75, -35, 0, 60, 60, 60);  // the ventricle's wall ends at x = 15
  add("myocardium", {ellipsoid(38, -35, 0, 42, 33, 33), open_base}, 8, kWater);
  add("defect", {ellipsoid(38, -35, 0, 42, 33, 33), open_base, sphere(50, -2, -5, 18)}, 2, kWater);
  add("ventricle's cavity", {ellipsoid(36, -35, 0, 32, 22, 22)}, 0.5, kWater);
  return p;
}

// For handedness: nothing about these is symmetric. Left is the strongest, the head the largest.
Phantom markers() {
  Phantom p{.name = "markers",
            .summary = "a warm body with markers at its left (20), front (10) and head (5)",
            .regions = {},
            .points = {},
            .field = Millimetres(320),
            .radius = Millimetres(170)};
  p.regions.push_back({.name = "body", .solids = {cylinder(0, 0, 0, 120, 90, 120)}, .activity = 0.2, .mu = kWater});
  p.regions.push_back({.name = "left", .solids = {sphere(80, 0, 0, 14)}, .activity = 20, .mu = kWater});
  p.regions.push_back({.name = "anterior", .solids = {sphere(0, -60, 0, 14)}, .activity = 10, .mu = kWater});
  p.regions.push_back({.name = "head", .solids = {sphere(0, 0, 85, 18)}, .activity = 5, .mu = kWater});
  return p;
}

}  // namespace

std::vector<std::string> preset_names() {
  return {"brain", "torso", "nema", "jaszczak", "cylinder", "points", "warm-points", "markers"};
}

Result<Phantom> preset(std::string_view name, double contrast) {
  if (name == "brain") return brain();
  if (name == "torso") return torso();
  if (name == "nema") return nema(contrast);
  if (name == "jaszczak") return jaszczak();
  if (name == "cylinder") return uniform_cylinder();
  if (name == "points") return points();
  if (name == "warm-points") return warm_points();
  if (name == "markers") return markers();
  std::string known;
  for (const std::string& one : preset_names()) known += (known.empty() ? "" : ", ") + one;
  return Error{ErrorCode::NotFound, "no phantom preset '" + std::string(name) + "'; there are " + known};
}

}  // namespace tomogrid::image
