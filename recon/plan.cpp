#include "recon/plan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/text.h"
#include "recon/arithmetic.h"

namespace tomogrid::recon {

namespace {

constexpr std::size_t kMaxSide = 4096, kMaxViews = 4096, kMaxGroups = 64;
constexpr double kMuMost = 1.0;  // 1/mm; lead at 140 keV has 2.7, no tissue has above 0.1

Error bad(std::string message) {
  return Error{ErrorCode::BadInput, std::move(message)};
}

Result<void> check_geometry(const image::ProjectionGeometry& g, const Model& model) {
  if (g.views.empty()) return bad("projections: no views");
  if (g.views.size() > kMaxViews) return bad("projections: " + std::to_string(g.views.size()) + " views, 4096 allowed");
  if (g.bins == 0 || g.bins > kMaxSide)
    return bad("projections: " + std::to_string(g.bins) + " bins, 1 to 4096 allowed");
  if (g.rows == 0 || g.rows > kMaxSide)
    return bad("projections: " + std::to_string(g.rows) + " rows, 1 to 4096 allowed");
  const auto positive = [](double value) { return std::isfinite(value) && value > 0 && value < 1e4; };
  if (!positive(g.bin_mm.count())) return bad("projections: the bin width is not a length");
  if (!positive(g.row_mm.count())) return bad("projections: the row height is not a length");
  if (!std::isfinite(g.u0.count()) || !std::isfinite(g.v0.count()) || std::fabs(g.u0.count()) > 1e5 ||
      std::fabs(g.v0.count()) > 1e5) {
    return bad("projections: the position of the first bin or row is not a length");
  }
  for (std::size_t k = 0; k < g.views.size(); ++k) {
    const image::View& view = g.views[k];
    const std::string where = "view " + std::to_string(k) + ": ";
    if (!std::isfinite(view.angle.count()) || std::fabs(view.angle.count()) > 1e4)
      return bad(where + "the angle is not a number");
    if (!std::isfinite(view.radius.count()) || view.radius.count() < 0 || view.radius.count() > 1e4)
      return bad(where + "the radius is not a length");
    if (model.response.enabled && view.radius.count() == 0) {
      return bad(where +
                 "the radius is unknown, which the collimator response needs; give a radius or turn the response off");
    }
    if (!std::isfinite(view.start.count()) || view.start.count() < 0 || view.start.count() > 1e7)
      return bad(where + "the start is not a time");
    if (!std::isfinite(view.duration.count()) || view.duration.count() < 0 || view.duration.count() > 1e7)
      return bad(where + "the duration is not a time");
  }
  return {};
}

Result<void> check_model(const Model& model) {
  const Response& r = model.response;
  if (r.enabled && !(std::isfinite(r.sigma0.count()) && r.sigma0.count() >= 0 && r.sigma0.count() <= 100)) {
    return bad("response: sigma0 is not between 0 and 100 mm");
  }
  if (r.enabled && !(std::isfinite(r.slope) && r.slope >= 0 && r.slope <= 1))
    return bad("response: the slope is not between 0 and 1");
  if (model.half_life && !(model.half_life->count() > 0 && std::isfinite(model.half_life->count())))
    return bad("half-life: not a time");
  if (!(std::isfinite(model.attenuation_factor) && model.attenuation_factor > 0 && model.attenuation_factor <= 10)) {
    return bad("attenuation factor: not between 0 and 10");
  }
  if (model.attenuation == nullptr) return {};
  const image::Volume& map = *model.attenuation;
  const image::VolumeGeometry& g = map.geometry;
  if (g.columns == 0 || g.rows == 0 || g.slices == 0 || g.columns > kMaxSide || g.rows > kMaxSide ||
      g.slices > kMaxSide) {
    return bad("attenuation map: its size is not between 1 and 4096");
  }
  if (map.values.size() != g.voxels())
    return bad("attenuation map: " + std::to_string(map.values.size()) + " values for " + std::to_string(g.voxels()) +
               " voxels");
  for (const double step : {g.column_mm.count(), g.row_mm.count(), g.slice_mm.count()}) {
    if (!(std::isfinite(step) && step > 0 && step < 1e4)) return bad("attenuation map: the voxel size is not a length");
  }
  for (const double first : {g.x0.count(), g.y0.count(), g.z0.count()}) {
    if (!(std::isfinite(first) && std::fabs(first) < 1e5)) return bad("attenuation map: the position is not a length");
  }
  for (const float value : map.values) {
    if (!(value >= 0.0F && static_cast<double>(value) <= kMuMost)) {
      return bad("attenuation map: a coefficient is negative, not a number or above 1 /mm; the unit must be 1/mm");
    }
  }
  return {};
}

Result<void> check_options(const PlanOptions& o) {
  if (o.size > kMaxSide) return bad("image size: " + std::to_string(o.size) + ", 4096 allowed");
  if (!(std::isfinite(o.voxel.count()) && o.voxel.count() >= 0 && o.voxel.count() < 1e3))
    return bad("voxel size: not a length");
  if (!(std::isfinite(o.support_radius.count()) && o.support_radius.count() >= 0 && o.support_radius.count() < 1e5)) {
    return bad("support radius: not a length");
  }
  if (o.groups == 0 || o.groups > kMaxGroups) return bad("groups: not between 1 and 64");
  if (o.subsets == 0 || o.subsets > kMaxViews) return bad("subsets: not between 1 and 4096");
  if (o.support_margin > 64) return bad("support margin: more than 64 voxels");
  if (!has(o.instructions)) return bad("instructions: this processor has no AVX-512");
  return {};
}

// Voxel centres of the detector's own rows; transaxially centred on the axis.
image::VolumeGeometry image_grid(const image::ProjectionGeometry& g, const PlanOptions& o) {
  const std::size_t size = o.size != 0 ? o.size : g.bins;
  const Millimetres voxel = o.voxel.count() > 0 ? o.voxel : g.bin_mm;
  image::VolumeGeometry grid = image::centred_grid(size, size, g.rows, voxel, voxel, g.row_mm);
  grid.z0 = g.v0;
  return grid;
}

// What every view sees: the circle inside the detector's edges and in front of every collimator.
double seen_radius(const image::ProjectionGeometry& g) {
  const double first = g.u0.count() - 0.5 * g.bin_mm.count();
  const double last = first + static_cast<double>(g.bins) * g.bin_mm.count();
  double radius = std::min(std::fabs(first), std::fabs(last));
  for (const image::View& view : g.views) {
    if (view.radius.count() > 0) radius = std::min(radius, view.radius.count());
  }
  return radius;
}

// For each place of the grid: within `margin` voxels of a column where the map is not zero.
std::vector<std::uint8_t> near_map(const AttenuationMap& map, const image::VolumeGeometry& grid, const Axial& axial,
                                   std::size_t margin) {
  std::vector<std::uint8_t> used(grid.columns * grid.rows, 0), near(used.size(), 0);
  for (std::size_t step = 0; step < axial.steps; ++step) {
    for (std::size_t i = 0; i < used.size(); ++i) {
      const float* lanes = map.slab(step) + ((i / grid.columns + 1) * map.stride + i % grid.columns + 1) * kLanes;
      for (std::size_t lane = 0; lane < kLanes; ++lane) used[i] |= lanes[lane] > 0.0F ? 1 : 0;
    }
  }
  const auto reach = static_cast<std::ptrdiff_t>(margin);
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (used[i] == 0) continue;
    for (std::ptrdiff_t dy = -reach; dy <= reach; ++dy) {
      for (std::ptrdiff_t dx = -reach; dx <= reach; ++dx) {
        const std::ptrdiff_t x = static_cast<std::ptrdiff_t>(i % grid.columns) + dx,
                             y = static_cast<std::ptrdiff_t>(i / grid.columns) + dy;
        const bool inside = x >= 0 && y >= 0 && x < static_cast<std::ptrdiff_t>(grid.columns) &&
                            y < static_cast<std::ptrdiff_t>(grid.rows);
        if (inside && dx * dx + dy * dy <= reach * reach)
          near[static_cast<std::size_t>(y) * grid.columns + static_cast<std::size_t>(x)] = 1;
      }
    }
  }
  return near;
}

std::vector<Column> support(const image::ProjectionGeometry& g, const image::VolumeGeometry& grid, const PlanOptions& o,
                            const std::vector<std::uint8_t>& allowed) {
  const double radius = o.support_radius.count() > 0 ? o.support_radius.count() : seen_radius(g);
  std::vector<Column> columns;
  for (std::uint32_t iy = 0; iy < grid.rows; ++iy) {
    for (std::uint32_t ix = 0; ix < grid.columns; ++ix) {
      const double x = grid.x0.count() + ix * grid.column_mm.count(), y = grid.y0.count() + iy * grid.row_mm.count();
      if (x * x + y * y > radius * radius) continue;
      if (!allowed.empty() && allowed[iy * grid.columns + ix] == 0) continue;
      columns.push_back({ix, iy, x, y});
    }
  }
  return columns;
}

// Views by angle, every subsets-th in one subset: equidistant, the heads shared out evenly, sizes differing by one at
// most.
std::vector<SubsetPlan> share_views(const image::ProjectionGeometry& g, std::size_t subset_count, std::size_t groups) {
  constexpr double kTurn = 6.28318530717958647693;
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t k = 0; k < g.views.size(); ++k) {
    const double angle = g.views[k].angle.count();
    order.emplace_back(angle - kTurn * std::floor(angle / kTurn), k);
  }
  std::sort(order.begin(), order.end());
  std::vector<SubsetPlan> subsets(subset_count);
  for (std::size_t i = 0; i < order.size(); ++i) subsets[i % subset_count].views.push_back(order[i].second);
  for (SubsetPlan& subset : subsets) {  // two views a group at least: a group costs an image to add
    subset.group_count = std::clamp<std::size_t>(subset.views.size() / 2, 1, groups);
  }
  return subsets;
}

float view_factor(const image::ProjectionGeometry& g, std::size_t index, const Model& model) {
  const image::View& view = g.views[index];
  double factor = 1;
  if (model.half_life) {
    const double rate = 0.69314718055994530942 / model.half_life->count(), z = rate * view.duration.count();
    const double during = z < 1e-4 ? 1.0 - 0.5 * z + z * z / 6.0 : (1.0 - exact_exp(-z)) / z;
    factor = exact_exp(-rate * view.start.count()) * during;
  }
  double total = 0;
  for (const image::View& each : g.views) {
    if (each.duration.count() <= 0) return static_cast<float>(factor);
    total += each.duration.count();
  }
  return static_cast<float>(factor * view.duration.count() * static_cast<double>(g.views.size()) / total);
}

// The part of the attenuation table that is not all 1 and is stored, from four views.
double stored_share(const PlanData& p, const ResponseTable& response, const AttenuationMap& map) {
  RayScratch scratch;
  double kept = 0, all = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    ViewPlan view;
    view.view = p.projections.views.size() * i / 4;
    Rows rows = make_rows(p, response, view);
    all += static_cast<double>(rows.entries.size() - 8);
    kept += static_cast<double>(attenuate_view(p, map, view.view, rows.entries, scratch));
  }
  return all > 0 ? kept / all : 1.0;
}

Forecast make_forecast(const PlanData& p, std::size_t levels, double share, const PlanOptions& o) {
  const double views = static_cast<double>(p.projections.views.size());
  const double columns = static_cast<double>(p.columns.size()), line = static_cast<double>(p.axial.line());
  const double image = 4.0 * columns * line, plane = 4.0 * static_cast<double>(p.state_bins) * line;
  Forecast forecast;
  forecast.columns = p.columns.size();
  const double table = p.attenuated ? 2.0 * views * columns * line * share : 0.0;
  forecast.attenuation_stored = p.attenuated && table <= static_cast<double>(o.attenuation_memory.count());
  std::size_t groups = 1;
  for (const SubsetPlan& subset : p.subsets) groups = std::max(groups, subset.group_count);
  // The caller's map, the resampled one and its making; the result and copies of it on the way to a file. As measured.
  const double volumes = 4.0 * static_cast<double>(p.volume.voxels()) * (p.attenuated ? 8.0 : 4.0);
  const double projections = 4.0 * static_cast<double>(p.projections.elements()) + views * plane;
  forecast.memory = Bytes(static_cast<std::uint64_t>(
      (forecast.attenuation_stored ? table : 0.0) + views * columns * (sizeof(RowEntry) + 1.0) +
      image * static_cast<double>(groups + p.subsets.size() + 3) + volumes + projections + 6.0 * 1024 * 1024));
  const double per_voxel = 2.0 * (2.0 * kTaps + 2.0 * 5.0 + 2.0), per_bin = 2.0 * 10.0;
  forecast.iteration =
      FlopCount(views * line * (columns * per_voxel + static_cast<double>(levels * p.projections.bins) * per_bin));
  return forecast;
}

// Everything that decides the bits of a result.
std::uint64_t plan_fingerprint(const PlanData& p, const Model& model, const AttenuationMap& map) {
  std::uint64_t hash = fingerprint({}, kNumericalContract);
  const auto mix = [&](double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const float halves[2] = {std::bit_cast<float>(static_cast<std::uint32_t>(bits)),
                             std::bit_cast<float>(static_cast<std::uint32_t>(bits >> 32))};
    hash = fingerprint(halves, hash);
  };
  const image::ProjectionGeometry& g = p.projections;
  for (const double value : {static_cast<double>(g.bins), static_cast<double>(g.rows), g.bin_mm.count(),
                             g.row_mm.count(), g.u0.count(), g.v0.count(), static_cast<double>(p.volume.columns),
                             p.volume.column_mm.count(), static_cast<double>(p.columns.size()),
                             static_cast<double>(p.subsets.size()), static_cast<double>(p.options.groups),
                             model.response.enabled ? 1.0 : 0.0, model.response.sigma0.count(), model.response.slope}) {
    mix(value);
  }
  for (const image::View& view : g.views) {
    mix(view.angle.count());
    mix(view.radius.count());
  }
  for (std::size_t k = 0; k < g.views.size(); ++k) mix(static_cast<double>(view_factor(g, k, model)));
  for (const Column& column : p.columns) mix(static_cast<double>(column.iy) * 65536.0 + static_cast<double>(column.ix));
  return fingerprint({map.values.data(), map.values.size()}, hash);
}

void build_views(PlanData& p, const ResponseTable& response, const Model& model, AttenuationMap& map, Ranks& ranks) {
  for (SubsetPlan& subset : p.subsets) {
    subset.own_begin = subset.group_count * ranks.rank() / ranks.size();
    const std::size_t own_end = subset.group_count * (ranks.rank() + 1) / ranks.size();
    for (std::size_t group = subset.own_begin; group < own_end; ++group) {
      const std::size_t first = subset.views.size() * group / subset.group_count;
      const std::size_t last = subset.views.size() * (group + 1) / subset.group_count;
      subset.groups.push_back({p.views.size(), p.views.size() + last - first});
      for (std::size_t i = first; i < last; ++i) {
        ViewPlan view;
        view.view = subset.views[i];
        view.factor = view_factor(p.projections, view.view, model);
        p.views.push_back(std::move(view));
      }
    }
  }
  p.rows.resize(p.views.size());
  constexpr std::size_t kBlock = std::size_t{8} << 20;  // numbers; 16 MiB
#pragma omp parallel
  {
    RayScratch scratch;
    std::uint16_t* free_space = nullptr;
    std::size_t free_size = 0;
#pragma omp for schedule(dynamic)
    for (std::size_t v = 0; v < p.views.size(); ++v) {
      ViewPlan& view = p.views[v];
      Rows& rows = p.rows[v];
      rows = make_rows(p, response, view);
      view.entries = rows.entries;
      view.runs = rows.runs;
      view.layers = rows.layers;
      if (!p.forecast.attenuation_stored) continue;
      const std::size_t kept = attenuate_view(p, map, view.view, rows.entries, scratch) * p.axial.line();
      if (kept > free_size || free_space == nullptr) {
        Buffer<std::uint16_t> block(std::max(kept, kBlock));
        free_space = block.data();
        free_size = block.size();
#pragma omp critical
        p.factors.push_back(std::move(block));
      }
      std::copy_n(scratch.table.data(), kept, free_space);
      view.attenuation = free_space;
      free_space += kept;
      free_size -= kept;
    }
  }
  if (p.attenuated && !p.forecast.attenuation_stored) p.map = std::move(map);
}

}  // namespace

Axial::Axial(std::size_t row_count)
    : rows(row_count), steps(std::max<std::size_t>(2, (row_count + kLanes - 1) / kLanes)) {
  offset = (steps * kLanes - rows) / 2;
}

Plan::Plan(std::unique_ptr<const PlanData> data) : data_(std::move(data)) {}
Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Plan::~Plan() = default;
const image::ProjectionGeometry& Plan::projections() const {
  return data_->projections;
}
const image::VolumeGeometry& Plan::volume() const {
  return data_->volume;
}
std::size_t Plan::subsets() const {
  return data_->subsets.size();
}
std::size_t Plan::views_in_subset(std::size_t subset) const {
  return data_->subsets[subset].views.size();
}
const Forecast& Plan::forecast() const {
  return data_->forecast;
}
std::uint64_t Plan::fingerprint() const {
  return data_->fingerprint;
}

Result<void> check_plan_inputs(const image::ProjectionGeometry& geometry, const Model& model,
                               const PlanOptions& options) {
  if (auto checked = check_geometry(geometry, model); !checked) return checked.error();
  if (auto checked = check_model(model); !checked) return checked.error();
  return check_options(options);
}

void set_frame(PlanData& p, const image::ProjectionGeometry& geometry, const PlanOptions& options) {
  p.projections = geometry;
  p.options = options;
  p.kernels = &kernels(options.instructions);
  p.axial = Axial(geometry.rows);
  p.volume = image_grid(geometry, options);
  p.mask = Buffer<float>(p.axial.line());
  p.mask.clear();
  for (std::size_t row = 0; row < p.axial.rows; ++row) p.mask.data()[p.axial.at(row)] = 1.0F;
}

Result<Plan> make_plan(const image::ProjectionGeometry& geometry, const Model& model, const PlanOptions& options,
                       Ranks* ranks) {
  if (auto checked = check_plan_inputs(geometry, model, options); !checked) return checked.error();
  SingleRank alone;
  Ranks& all = ranks != nullptr ? *ranks : alone;

  auto plan = std::make_unique<PlanData>();
  PlanData& p = *plan;
  set_frame(p, geometry, options);
  AttenuationMap map;
  std::vector<std::uint8_t> allowed;
  if (model.attenuation != nullptr) {
    map = resample_map(*model.attenuation, model.attenuation_factor, p.volume, p.axial);
    if (map.x_low >= map.x_high)
      return bad("attenuation map: zero everywhere inside the image; is it of this body and in 1/mm?");
    p.attenuated = true;
    if (options.support_within_attenuation) allowed = near_map(map, p.volume, p.axial, options.support_margin);
  }
  p.columns = support(geometry, p.volume, options, allowed);
  if (p.columns.empty()) return bad("support: no voxel is inside the radius");
  double distance_most = 0;
  for (const Column& column : p.columns)
    distance_most = std::max(distance_most, std::sqrt(column.x * column.x + column.y * column.y));
  double radius_most = 0;
  for (const image::View& view : geometry.views) radius_most = std::max(radius_most, view.radius.count());
  const bool responds = model.response.enabled;
  const ResponseTable response({.sigma0_mm = responds ? model.response.sigma0.count() : 0.0,
                                .slope = responds ? model.response.slope : 0.0,
                                .bin_mm = geometry.bin_mm.count(),
                                .row_mm = geometry.row_mm.count(),
                                .voxel_mm = p.volume.column_mm.count(),
                                .distance_most_mm = radius_most + distance_most});
  p.margin = response.levels() + 3;
  p.state_bins = geometry.bins + 2 * p.margin;
  const std::size_t state_bytes =
      p.state_bins * p.axial.line() * sizeof(float);  // a batch's states use a quarter of L2
  p.batch = std::clamp<std::size_t>((std::size_t{512} << 10) / state_bytes, 1, kBatch);
  p.subsets = share_views(
      geometry, std::clamp<std::size_t>(options.subsets, 1, std::max<std::size_t>(1, geometry.views.size() / 4)),
      options.groups);
  const double share = p.attenuated ? stored_share(p, response, map) : 0.0;
  p.forecast = make_forecast(p, response.levels(), share, options);
  const std::uint64_t limit = options.memory_limit.count();
  if (limit > 0 && p.forecast.memory.count() > limit) {  // slower but smaller, with the same bits
    PlanOptions smaller = options;
    smaller.attenuation_memory = Bytes(0);
    p.forecast = make_forecast(p, response.levels(), share, smaller);
  }
  if (limit > 0 && p.forecast.memory.count() > limit) {
    return Error{ErrorCode::Unplaceable, "the reconstruction needs " + human_bytes(p.forecast.memory.count()) +
                                             " of memory, " + human_bytes(limit) +
                                             " are granted; grant more or ask for a smaller image"};
  }
  p.fingerprint = plan_fingerprint(p, model, map);
  build_views(p, response, model, map, all);

  Projector projector(p, all);
  for (std::size_t s = 0; s < p.subsets.size(); ++s) {
    p.subsets[s].sensitivity = Buffer<float>(p.image_size());
    projector.backward(s, nullptr, p.subsets[s].sensitivity.data());
  }
  return Plan(std::move(plan));
}

}  // namespace tomogrid::recon
