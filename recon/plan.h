// What a plan is made of. Private to recon/ and its tests.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "recon/buffer.h"
#include "recon/recon.h"
#include "recon/response.h"

namespace tomogrid::recon {

// Raised whenever the same inputs may give other bits. The test with stored bits (determinism_test.cpp) holds its value
// beside them; plan caches and fingerprints depend on it.
inline constexpr std::uint64_t kNumericalContract = 2;

// Where a row lies in a line of [step][lane] (kernels.h). Rows are padded evenly at both ends.
struct Axial {
  std::size_t rows = 0, steps = 0, offset = 0;
  explicit Axial(std::size_t row_count = 1);
  std::size_t line() const { return steps * kLanes; }
  std::size_t at(std::size_t row) const { return (row + offset) % steps * kLanes + (row + offset) / steps; }
};

// A column of the image: where it is, in the grid and in mm.
struct Column {
  std::uint32_t ix, iy;
  double x, y;
};

// The rows of the system matrix for one view.
struct Rows {
  std::vector<RowEntry> entries;  // padded by 8 for prefetch
  std::vector<Run> runs;
  std::vector<Layer> layers;
};

// One view as this rank works on it. What it points to is in PlanData::rows and ::factors, or in PlanData::mapping.
struct ViewPlan {
  std::size_t view = 0;  // index in the geometry
  float factor = 1;      // decay and duration
  std::span<const RowEntry> entries;
  std::span<const Run> runs;
  std::span<const Layer> layers;
  const std::uint16_t* attenuation = nullptr;  // lines of factors that are not all 1
};

// A unit of parallel work: views [begin, end) of this rank's list.
struct Group {
  std::size_t begin = 0, end = 0;
};

struct SubsetPlan {
  std::vector<std::size_t> views;  // all of them, in angular order
  std::size_t group_count = 0;     // over all ranks
  std::size_t own_begin = 0;       // first group of this rank
  std::vector<Group> groups;       // of this rank
  Buffer<float> sensitivity;       // A'1 over this subset, on every rank
};

// A map on the image's grid with a border of zeros: [step][iy + 1][ix + 1][lane].
struct AttenuationMap {
  std::size_t stride = 0, rows = 0;  // columns and rows with the border
  Buffer<float> values;
  std::uint32_t x_low = 0, x_high = 0, y_low = 0, y_high = 0;  // where it is not zero; empty if low >= high
  const float* slab(std::size_t step) const { return values.data() + step * stride * rows * kLanes; }
};

struct PlanData {
  image::ProjectionGeometry projections;
  image::VolumeGeometry volume;
  PlanOptions options;
  Forecast forecast;
  std::uint64_t fingerprint = 0;
  const Kernels* kernels = nullptr;
  Axial axial;
  std::vector<Column> columns;
  std::size_t margin = 0, state_bins = 0;  // bins beyond each side of the detector; in all
  std::size_t batch = 1;                   // views that go through the image together
  std::vector<ViewPlan> views;             // this rank's, by subset and group
  std::vector<Rows> rows;                  // theirs; empty in a plan that comes from a cache
  std::vector<SubsetPlan> subsets;
  bool attenuated = false;
  std::vector<Buffer<std::uint16_t>> factors;  // many views' tables in each, on huge pages; empty: made each time
  AttenuationMap map;                          // kept only when factors are computed again each time
  Buffer<float> mask;                          // [step][lane]: 1 on real rows
  std::shared_ptr<const void> mapping;         // a plan cache's file (plan_cache.cpp)

  std::size_t image_size() const { return columns.size() * axial.line(); }
  std::size_t plane_size() const { return projections.bins * axial.line(); }
};

// plan.cpp. What make_plan() asks of its arguments; and everything in a plan that follows from them at once.
Result<void> check_plan_inputs(const image::ProjectionGeometry& geometry, const Model& model,
                               const PlanOptions& options);
void set_frame(PlanData& plan, const image::ProjectionGeometry& geometry, const PlanOptions& options);

// rows.cpp: the entries, runs and layers of one view; its index and factor are used.
Rows make_rows(const PlanData& plan, const ResponseTable& response, const ViewPlan& view);
// attenuation.cpp
AttenuationMap resample_map(const image::Volume& map, double factor, const image::VolumeGeometry& grid,
                            const Axial& axial);
// exp(-integral of the map from each entry's column to the detector), [entry][step][lane]; `scratch` is reused.
struct RayScratch {
  std::vector<RaySample> samples, entries;
  Buffer<float> integrals;
  Buffer<std::uint16_t> table;
};
// Lines that are all 1 are left out of the table, and the entries told. Returns the lines kept, in scratch.table.
std::size_t attenuate_view(const PlanData& plan, const AttenuationMap& map, std::size_t view,
                           std::span<RowEntry> entries, RayScratch& scratch);

// projector.cpp. Counts and background of this rank's views, [view][bin][step][lane].
struct Planes {
  Buffer<float> measured, background;
};
Buffer<float> to_planes(const PlanData& plan, std::span<const float> projections);
void to_image(const PlanData& plan, std::span<const float> volume, float* image);
std::vector<float> to_volume(const PlanData& plan, const float* image);

// penalty.cpp. The columns beside each column, and the derivative of the relative difference prior by every voxel.
class Neighbours final {
 public:
  explicit Neighbours(const PlanData& plan);
  void gradient(const PlanData& plan, const float* image, float gamma, float* out) const;

 private:
  std::vector<std::array<std::int32_t, 4>> columns_;
};

// Group images and thread memory, made once per run.
class Projector final {
 public:
  Projector(const PlanData& plan, Ranks& ranks);
  // estimate *= A'(y / (A estimate + r)) / (A'1 + penalty) over one subset; totals by view of the geometry, on every
  // rank. `penalty` may be null; the divisor is held above a tenth of A'1.
  void em_update(std::size_t subset, const Planes& planes, const float* penalty, float* estimate,
                 std::vector<PlaneTotals>& totals);
  // out = A'(planes) over one subset, on every rank. Null planes: of ones on real rows.
  void backward(std::size_t subset, const float* planes, float* out);
  // planes = A image for this rank's views.
  void forward(const float* image, float* planes);

 private:
  struct Thread;
  template <class Work>
  void for_groups(std::size_t subset, Work work);
  // Adds the group images of all ranks in the fixed tree; finish(offset, n, sum) then makes `out` from it, chunk by
  // chunk, and `out` is made whole on every rank.
  template <class Finish>
  void combine(std::size_t subset, float* out, Finish finish);
  // Rows of the views [begin, begin + count) of this rank's list, with their attenuation.
  std::array<ViewRows, kBatch> rows_of(std::size_t begin, std::size_t count, Thread& thread) const;
  template <class Work>
  void for_batches(const Group& group, Work work) const;
  // image = sum over the batches of what `batch` back projects.
  void backward_group(const Group& group, Buffer<float>& image, Thread& thread,
                      const std::function<void(std::size_t, std::size_t)>& batch) const;

  const PlanData& plan_;
  Ranks& ranks_;
  std::vector<Buffer<float>> group_images_;
  std::vector<std::unique_ptr<Thread>> threads_;

 public:
  ~Projector();
};

}  // namespace tomogrid::recon
