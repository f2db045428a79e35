// A SPECT acquisition made from formulas, with its truth: what quickstart, demonstrations and tests measure against.
//
// A phantom is a list of regions; a region is an intersection of convex solids with one activity concentration and one
// attenuation coefficient. A later region replaces an earlier one where they overlap. The projector evaluates
//
//   counts(u, v; k) = sum over regions of rho x integral over p of exp(-L_k(p)) dPhi(u; sigma(d)) dPhi(v; sigma(d))
//
// with L_k in closed form (ray and solid), dPhi the integral of a Gaussian over one bin, sigma(d) = sigma0 + slope x d.
// Nothing is put on a voxel grid. The only thing shared with reconstruction is image/geometry.h. docs/phantom.md
// derives the quadrature and says how every figure here was chosen.
//
// Pure: no files, no clock. The same bits for any number of threads and on any CPU (own exp, erf and sine; own
// generator). Lengths in mm, attenuation in 1/mm, activity in expected unattenuated counts per mm^3 per view.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/geometry.h"
#include "image/image.h"

namespace tomogrid::image {

// An axis-aligned convex body: centre and half-lengths along x, y, z. A cylinder's axis is z, its ends are flat.
struct Solid {
  enum class Shape : std::uint8_t { Ellipsoid, EllipticCylinder, Box };
  Shape shape = Shape::Ellipsoid;
  double x = 0, y = 0, z = 0;  // mm
  double a = 1, b = 1, c = 1;  // mm, each > 0
  bool contains(double px, double py, double pz) const;
};

// What is inside all of `solids`.
struct Region {
  std::string name;
  std::vector<Solid> solids;
  double activity = 0;  // counts / mm^3 / view; relative until simulate() scales it
  double mu = 0;        // 1/mm
};

// A source without extent; it lies in whatever region is there and does not attenuate.
struct PointSource {
  std::string name;
  double x = 0, y = 0, z = 0;  // mm
  double activity = 0;         // counts / view
};

struct Phantom {
  std::string name;
  std::string summary;          // one line
  std::vector<Region> regions;  // painted in this order: later wins
  std::vector<PointSource> points;
  // The presets' own acquisition, for commands that are given nothing else.
  Millimetres field{400};   // width and height of the detector's field
  Millimetres radius{250};  // orbit
};

// sigma(d) of the Gaussian response at distance d from the collimator face.
struct CollimatorResponse {
  Millimetres sigma0{1.466};  // at the face, > 0; the default pair is an LEHR collimator (docs/phantom.md)
  double slope = 0.0163;      // mm of sigma per mm of distance, >= 0
};

struct PhantomPhysics {
  CollimatorResponse response;
  bool attenuation = true;
  std::optional<Seconds> half_life;  // decays over View::start and duration; the truth is that of time 0
};

// How finely the integral is sampled. Level n halves the lateral and depth steps n times.
struct Sampling {
  int level = 0;
};

// The names that preset() knows, in the order of docs/phantom.md.
std::vector<std::string> preset_names();
// NotFound lists the names. `contrast` is the hot spheres' activity over the background's (NEMA only).
Result<Phantom> preset(std::string_view name, double contrast = 8.0);

// A circular orbit of `views` stops over `arc`, shared by `heads` detectors that turn together, each covering arc /
// heads (heads must divide views).
struct Orbit {
  std::size_t views = 60;
  Radians first{0};
  Radians arc{6.283185307179586};  // negative: turning towards smaller angles
  Millimetres radius{250};
  Seconds per_view{20};
  std::uint32_t heads = 1;
};
ProjectionGeometry circular_scan(std::size_t bins, std::size_t rows, Millimetres bin, Millimetres row,
                                 const Orbit& orbit);

// BadInput when a solid has no extent, an activity or mu is negative or not finite, or a region reaches the collimator
// face in some view (names region and view); also for a geometry without bins, rows or views.
Result<void> check(const Phantom& phantom, const ProjectionGeometry& geometry, const PhantomPhysics& physics);

// The noise-free image, [view][row][bin], in double. Requires check(). OpenMP over views.
std::vector<double> project(const Phantom& phantom, const ProjectionGeometry& geometry, const PhantomPhysics& physics,
                            Sampling sampling);

// The first sampling whose halving changes the noise-free image by less than `tolerance` of its RMS, judged on up to 8
// views spread over the scan; and that change.
struct Convergence {
  Sampling sampling;
  double change = 0;  // RMS(fine - coarse) / RMS(fine)
};
Convergence converge(const Phantom& phantom, const ProjectionGeometry& geometry, const PhantomPhysics& physics,
                     double tolerance = 1e-3);

// Counts with Poisson noise of mean `expected`. Element i depends only on (seed, i, expected[i]).
std::vector<float> poisson_counts(const std::vector<double>& expected, std::uint64_t seed);

// Everything of one simulated acquisition.
struct Simulation {
  Projections projections;  // integers, facts.counts = true
  Projections noise_free;   // facts.counts = false
  Phantom phantom;          // activities scaled to the counts
  Convergence convergence;
};
struct SimulationRequest {
  double counts = 4e6;  // expected in the whole acquisition; (0, 1e11]
  std::uint64_t seed = 1;
  AcquisitionFacts facts;  // copied; facts.half_life decides decay
};
// BadInput as check(), or when no activity is in the field.
Result<Simulation> simulate(const Phantom& phantom, const ProjectionGeometry& geometry, PhantomPhysics physics,
                            const SimulationRequest& request);

// Activity as expected unattenuated counts per voxel per view at time 0: volume fractions, exact along z and to 1e-4 of
// a voxel across it. Point sources go to the voxel that holds them. Unit "counts/voxel/view".
Volume truth_volume(const Phantom& phantom, const VolumeGeometry& grid);
// Attenuation averaged over each voxel's volume, in 1/mm.
Volume mu_volume(const Phantom& phantom, const VolumeGeometry& grid);
// The grid that belongs to a scan: bins x bins x rows voxels, centred, rows where the scan's rows are.
VolumeGeometry grid_of(const ProjectionGeometry& geometry);

}  // namespace tomogrid::image
