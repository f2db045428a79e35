// SPECT reconstruction: y ~ Poisson(A x + r), solved by ML-EM and ordered subsets.
//
//   Plan plan = *make_plan(geometry, model, options);               // once per geometry: the system matrix A
//   Reconstruction result = *reconstruct(plan, counts, settings);   // estimate <- estimate * A'(y / (A estimate + r))
//   / A'1
//
// Units. x is the expected number of unattenuated counts per voxel per view at the start of the acquisition, had the
// whole detector seen it with no absorption. A holds attenuation, the collimator-detector response sigma(d) = sigma0 +
// slope d, and a factor per view for decay and duration; the data are never scaled. r is an expected background
// (scatter) in counts per bin.
//
// Geometry and array orders: image/geometry.h. The image has one slice per detector row, at the same z; transaxially it
// is a square grid centred on the rotation axis, of which only the columns of the support are stored.
//
// Same bits for any number of threads and ranks, any instruction set and compiler: views are processed in groups that
// the plan fixes, and every sum has one order. docs/reconstruction.md derives the model and the order of operations.
//
// Threads: OpenMP; the calling thread's omp_set_num_threads() decides how many. A plan is immutable and may be shared.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "image/image.h"
#include "recon/kernels.h"
#include "recon/ranks.h"

namespace tomogrid::recon {

struct Response {
  bool enabled = true;
  Millimetres sigma0{0};  // at the collimator's face
  double slope = 0;       // sigma grows by this many mm per mm of distance
};

struct Model {
  Response response;
  // Linear attenuation coefficients in 1/mm, on any grid; averaged over voxels. Null: no attenuation. Lent to
  // make_plan.
  const image::Volume* attenuation = nullptr;
  double attenuation_factor = 1;     // multiplies the map: below 1 for broad-beam coefficients
  std::optional<Seconds> half_life;  // decay during the acquisition; needs the views' start and duration
};

struct PlanOptions {
  std::size_t size = 0;                     // voxels across; 0: as many as bins
  Millimetres voxel{0};                     // 0: the bin's width
  Millimetres support_radius{0};            // 0: all that every view sees
  bool support_within_attenuation = false;  // only columns where the map is not zero, plus support_margin voxels
  std::size_t support_margin = 2;
  std::size_t subsets = 1;                     // ordered subsets; reduced so that each has four views at least
  std::size_t groups = 16;                     // units of parallel work; part of the numerical contract
  Bytes attenuation_memory = mebibytes(1536);  // beyond this the factors are computed again for each view, each time
  Bytes memory_limit{0};                       // refuse a plan that needs more (Unplaceable); 0: none
  InstructionSet instructions = InstructionSet::Best;
};

// What a plan will take; computed before anything large is allocated.
struct Forecast {
  Bytes memory;         // resident, at its highest
  FlopCount iteration;  // one pass over all views
  bool attenuation_stored = false;
  std::size_t columns = 0;
};

struct PlanData;
class Plan final {
 public:
  explicit Plan(std::unique_ptr<const PlanData> data);
  Plan(Plan&&) noexcept;
  Plan& operator=(Plan&&) noexcept;
  ~Plan();

  const image::ProjectionGeometry& projections() const;
  const image::VolumeGeometry& volume() const;
  std::size_t subsets() const;
  std::size_t views_in_subset(std::size_t subset) const;
  const Forecast& forecast() const;
  // Of everything that decides the result: geometry, model, options and the numerical contract's version.
  std::uint64_t fingerprint() const;
  const PlanData& data() const { return *data_; }

 private:
  std::unique_ptr<const PlanData> data_;
};

// BadInput names the field: no views, a size of zero or beyond limits, a number that is not finite, a radius missing
// where the response needs it, a map that does not overlap the image. Ranks is lent for the call and may be null.
Result<Plan> make_plan(const image::ProjectionGeometry& geometry, const Model& model, const PlanOptions& options,
                       Ranks* ranks = nullptr);

// A x over all views, on one rank. Requires the plan's geometries.
std::vector<float> forward_project(const Plan& plan, std::span<const float> volume);
// A' y.
std::vector<float> back_project(const Plan& plan, std::span<const float> projections);

// After each iteration.
struct IterationReport {
  std::size_t iteration = 0;  // of `iterations`, from 1
  std::size_t iterations = 0;
  double log_likelihood = 0;   // of the estimate this iteration began with, without the term log y!
  double expected_counts = 0;  // sum of A x + r at that estimate
  double excluded_counts = 0;  // measured in bins that nothing can reach
  double change = 0;           // of the log-likelihood since the iteration before, relative
};

// The state between two iterations; resumed from it, a run gives the bits of an uninterrupted one.
struct Checkpoint {
  std::uint64_t fingerprint = 0;  // of plan, data and settings
  std::vector<IterationReport> history;
  std::vector<float> estimate;  // in the plan's own order
};
std::vector<std::uint8_t> encode(const Checkpoint& checkpoint);
Result<Checkpoint> parse_checkpoint(std::span<const std::uint8_t> bytes);

// Maximum a posteriori by one step late (Green 1990) with the relative difference prior: the divisor A'1 grows by
// strength x (views of the subset) x dU/dx at the current estimate. 0: plain ML-EM or OSEM.
struct Penalty {
  double strength = 0;  // 0.01 smooths a little, 0.1 much
  double gamma = 2;     // larger: edges are penalised less
};

struct Settings {
  std::size_t iterations = 10;
  Millimetres filter_fwhm{0};           // Gaussian after the last iteration; 0: none
  double stop_change = 0;               // stop when the log-likelihood rises by less, relative; 0: never early
  std::span<const float> background{};  // r, as the projections; empty: none
  Penalty penalty{};
  const Checkpoint* resume = nullptr;
  const image::Volume* start = nullptr;  // of the plan's geometry; null: uniform, scaled to the counts
  // Asked before every update, on every rank; false ends the run with Cancelled. All ranks must agree.
  std::function<bool()> keep_going{};
  // Called after every iteration on every rank; false ends the run with Cancelled (all ranks must agree). `estimate`
  // makes a volume of the current state when it is called.
  std::function<bool(const IterationReport&, const std::function<image::Volume()>& estimate,
                     const std::function<Checkpoint()>& checkpoint)>
      after_iteration{};
};

struct Reconstruction {
  image::Volume volume;  // unit "counts/voxel/view"
  std::vector<IterationReport> history;
  double counts_measured = 0, counts_modelled = 0, counts_excluded = 0;
  bool stopped_early = false;
};

// Runs the plan's subsets `iterations` times. BadInput: counts that are negative, not finite, above 1e9 or of another
// size, a background that is negative, a checkpoint of another run; Cancelled.
Result<Reconstruction> reconstruct(const Plan& plan, std::span<const float> counts, const Settings& settings,
                                   Ranks* ranks = nullptr);

// Separable Gaussian, cut at 4 sigma, of unit sum; voxels outside the volume count as zero.
void smooth(image::Volume& volume, Millimetres fwhm);
// A 64-bit fingerprint of numbers, for comparing results; not a cryptographic hash.
std::uint64_t fingerprint(std::span<const float> values, std::uint64_t seed = 0);

}  // namespace tomogrid::recon
