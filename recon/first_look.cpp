#include "recon/first_look.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace tomogrid::recon {

namespace {

constexpr std::size_t kIterations = 4;
constexpr double kTurn = 6.28318530717958647693;

// `by` bins or rows become one; what is beyond the detector's end counts as nothing.
std::size_t coarseness(std::size_t count) {
  return (count + FirstLook::kSide - 1) / FirstLook::kSide;
}

image::ProjectionGeometry coarse(const image::ProjectionGeometry& fine, const std::vector<std::size_t>& views) {
  image::ProjectionGeometry g = fine;
  const std::size_t across = coarseness(fine.bins), along = coarseness(fine.rows);
  g.bins = (fine.bins + across - 1) / across;
  g.rows = (fine.rows + along - 1) / along;
  g.bin_mm = fine.bin_mm * static_cast<double>(across);
  g.row_mm = fine.row_mm * static_cast<double>(along);
  g.u0 = fine.u0 + fine.bin_mm * (0.5 * static_cast<double>(across - 1));
  g.v0 = fine.v0 + fine.row_mm * (0.5 * static_cast<double>(along - 1));
  g.views.clear();
  for (const std::size_t view : views) g.views.push_back(fine.views[view]);
  return g;
}

void add_coarse(const image::ProjectionGeometry& fine, const std::vector<float>& counts,
                const image::ProjectionGeometry& to, float* plane) {
  const std::size_t across = coarseness(fine.bins), along = coarseness(fine.rows);
  for (std::size_t row = 0; row < fine.rows; ++row) {
    for (std::size_t bin = 0; bin < fine.bins; ++bin)
      plane[row / along * to.bins + bin / across] += counts[row * fine.bins + bin];
  }
}

// How far around the views go, in radians: what is left of a turn without the widest gap, and half a step at each end.
double arc_of(const image::ProjectionGeometry& geometry, const std::vector<std::size_t>& views) {
  std::vector<double> angles;
  for (const std::size_t view : views) {
    const double angle = geometry.views[view].angle.count();
    angles.push_back(angle - kTurn * std::floor(angle / kTurn));
  }
  std::sort(angles.begin(), angles.end());
  double gap = angles.front() + kTurn - angles.back();
  for (std::size_t i = 1; i < angles.size(); ++i) gap = std::max(gap, angles[i] - angles[i - 1]);
  const double n = static_cast<double>(angles.size());
  return (kTurn - gap) * n / (n - 1);
}

}  // namespace

FirstLook::FirstLook(image::ProjectionGeometry geometry, Response response)
    : geometry_(std::move(geometry)), response_(response) {}

void FirstLook::available(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t all = std::uint64_t{geometry_.elements()} * sizeof(float);
  std::uint64_t begin = std::min(offset, all), end = begin + std::min(length, all - begin);
  if (begin == end) return;
  auto next = ranges_.upper_bound(begin);
  if (next != ranges_.begin() && std::prev(next)->second >= begin) --next;
  while (next != ranges_.end() && next->first <= end) {
    begin = std::min(begin, next->first);
    end = std::max(end, next->second);
    next = ranges_.erase(next);
  }
  ranges_[begin] = end;
}

std::vector<std::size_t> FirstLook::views() const {
  const std::uint64_t each = view_bytes();
  std::vector<std::size_t> whole;
  for (const auto& [begin, end] : ranges_) {
    for (std::uint64_t view = (begin + each - 1) / each; (view + 1) * each <= end; ++view) whole.push_back(view);
  }
  return whole;
}

bool FirstLook::due() const {
  const std::vector<std::size_t> here = views();
  return here.size() >= shown_ + kViewsLeast && here.size() < geometry_.views.size() &&
         arc_of(geometry_, here) >= 0.5 * kTurn - 1e-9;
}

Result<FirstLook::Picture> FirstLook::look(
    const std::function<Result<std::vector<float>>(std::size_t view)>& read_view) {
  const std::vector<std::size_t> here = views();
  shown_ = here.size();
  const image::ProjectionGeometry small = coarse(geometry_, here);
  const std::size_t plane = small.bins * small.rows;
  std::vector<float> counts(small.elements(), 0.0F);
  double least = 0, most = 0;
  for (std::size_t i = 0; i < here.size(); ++i) {
    const auto values = read_view(here[i]);
    if (!values) return values.error();
    add_coarse(geometry_, *values, small, counts.data() + i * plane);
    double sum = 0;
    for (const float value : *values) sum += static_cast<double>(value);
    least = i == 0 ? sum : std::min(least, sum);
    most = std::max(most, sum);
  }
  Model model;
  model.response = response_;
  const auto plan = make_plan(small, model, {.subsets = std::max<std::size_t>(1, here.size() / kViewsLeast)});
  if (!plan) return plan.error();
  auto result = reconstruct(*plan, counts, {.iterations = kIterations});
  if (!result) return result.error();
  const auto whole = [](double count) { return std::to_string(static_cast<std::uint64_t>(count + 0.5)); };
  return Picture{std::move(result->volume),
                 "partial " + std::to_string(here.size()) + "/" + std::to_string(geometry_.views.size()) +
                     ": without attenuation; counts per view " + whole(least) + " to " + whole(most)};
}

}  // namespace tomogrid::recon
