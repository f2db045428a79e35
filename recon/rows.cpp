// The rows of the system matrix for one view: where each column of the image falls, and in which layer.
#include <algorithm>
#include <cmath>

#include "recon/arithmetic.h"
#include "recon/plan.h"

namespace tomogrid::recon {

namespace {

struct Placed {
  std::uint32_t level, bin, column;
};

// Cuts the sorted entries of each level into runs and derives which rows of the state are in use.
void make_layers(const std::vector<Placed>& order, const ResponseTable& response, std::uint32_t state_bins,
                 Rows& view) {
  std::uint32_t low = 0, high = 0;
  std::size_t next = 0;
  const std::uint32_t farthest = order.empty() ? 0 : order.front().level;
  for (std::uint32_t level = farthest + 1; level-- > 0;) {
    if (low < high) {  // after diffusion from the level before
      low = low > 0 ? low - 1 : 0;
      high = std::min(high + 1, state_bins);
    }
    Layer layer{};
    layer.run_begin = static_cast<std::uint32_t>(view.runs.size());
    for (; next < order.size() && order[next].level == level; ++next) {
      const std::uint32_t bin = order[next].bin, entry = static_cast<std::uint32_t>(next);
      const bool fresh = view.runs.size() == layer.run_begin || view.runs.back().bin != bin ||
                         entry - view.runs.back().begin >= kRunLimit;
      if (fresh) view.runs.push_back({bin, entry, entry});
      view.runs.back().end = entry + 1;
      low = low < high ? std::min(low, bin) : bin;
      high = std::max(high, bin + static_cast<std::uint32_t>(kTaps));
    }
    layer.run_end = static_cast<std::uint32_t>(view.runs.size());
    layer.low = low;
    layer.high = high;
    const double side_u = level > 0 ? response.side_u(level) : 0.0, side_z = level > 0 ? response.side_z(level) : 0.0;
    layer.u_side = static_cast<float>(side_u);
    layer.u_centre = static_cast<float>(1.0 - 2.0 * side_u);
    layer.z_side = static_cast<float>(side_z);
    layer.z_centre = static_cast<float>(1.0 - 2.0 * side_z);
    view.layers.push_back(layer);
  }
}

}  // namespace

Rows make_rows(const PlanData& plan, const ResponseTable& response, const ViewPlan& view) {
  const image::ProjectionGeometry& detector = plan.projections;
  const image::View& stop = detector.views[view.view];
  const SineCosine angle = exact_sine_cosine(stop.angle.count());
  const double radius = stop.radius.count();
  const double per_bin = 1.0 / detector.bin_mm.count();
  const auto state_bins = static_cast<std::int64_t>(plan.state_bins);

  std::vector<RowEntry> unsorted(plan.columns.size());
  std::vector<Placed> placed;
  placed.reserve(plan.columns.size());
  const double scale =
      static_cast<double>(view.factor) / (plan.attenuated ? static_cast<double>(kAttenuationScale) : 1.0);
  for (std::uint32_t c = 0; c < plan.columns.size(); ++c) {
    const Column& column = plan.columns[c];
    const double u = std::fma(column.x, angle.cosine, column.y * angle.sine);
    const double depth = std::fma(column.y, angle.cosine, -column.x * angle.sine);
    const double distance = radius > 0 ? radius + depth : 0.0;
    if (radius > 0 && distance <= 0) continue;  // behind the collimator's face
    const double position = (u - detector.u0.count()) * per_bin, floor = std::floor(position);
    const std::int64_t first = static_cast<std::int64_t>(floor) - 2 + static_cast<std::int64_t>(plan.margin);
    if (first < 0 || first + static_cast<std::int64_t>(kTaps) > state_bins) continue;  // too far aside to be seen
    const double sigma = response.sigma(distance);
    const std::size_t level = response.level_of(sigma);
    const auto across = response.across(level, sigma, position - floor);
    const auto along = response.along(level, sigma);
    RowEntry& entry = unsorted[c];
    entry.column = c;
    for (std::size_t k = 0; k < 3; ++k) entry.along[k] = static_cast<float>(along[k] * scale);
    for (std::size_t k = 0; k < kTaps; ++k) entry.across[k] = static_cast<float>(across[k]);
    placed.push_back({static_cast<std::uint32_t>(level), static_cast<std::uint32_t>(first), c});
  }
  std::stable_sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return a.level != b.level ? a.level > b.level : a.bin < b.bin;
  });
  Rows rows;
  rows.entries.reserve(placed.size() + 8);
  for (const Placed& p : placed) rows.entries.push_back(unsorted[p.column]);
  rows.entries.resize(placed.size() + 8, RowEntry{});
  make_layers(placed, response, static_cast<std::uint32_t>(plan.state_bins), rows);
  return rows;
}

}  // namespace tomogrid::recon
