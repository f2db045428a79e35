// The relative difference prior (Nuyts et al., IEEE TNS 49, 2002): U = sum over neighbours of
// (x_j - x_k)^2 / (x_j + x_k + gamma |x_j - x_k|). Scale-free: the same strength suits any dose; edges are kept by
// gamma.
#include <algorithm>
#include <cmath>
#include <vector>

#include "recon/plan.h"

namespace tomogrid::recon {

namespace {

constexpr std::int32_t kNoColumn = -1;

float slope(float here, float there, float gamma) {
  const float difference = here - there, size = std::fabs(difference);
  const float denominator = here + there + gamma * size;
  if (!(denominator > 1e-20F)) return 0.0F;
  return difference * (gamma * size + here + 3.0F * there) / (denominator * denominator);
}

}  // namespace

Neighbours::Neighbours(const PlanData& plan) : columns_(plan.columns.size()) {
  const std::size_t nx = plan.volume.columns, ny = plan.volume.rows;
  std::vector<std::int32_t> at(nx * ny, kNoColumn);
  for (std::size_t c = 0; c < plan.columns.size(); ++c)
    at[plan.columns[c].iy * nx + plan.columns[c].ix] = static_cast<std::int32_t>(c);
  for (std::size_t c = 0; c < plan.columns.size(); ++c) {
    const std::size_t x = plan.columns[c].ix, y = plan.columns[c].iy;
    columns_[c] = {x > 0 ? at[y * nx + x - 1] : kNoColumn, x + 1 < nx ? at[y * nx + x + 1] : kNoColumn,
                   y > 0 ? at[(y - 1) * nx + x] : kNoColumn, y + 1 < ny ? at[(y + 1) * nx + x] : kNoColumn};
  }
}

void Neighbours::gradient(const PlanData& plan, const float* image, float gamma, float* out) const {
  const std::size_t line = plan.axial.line(), rows = plan.axial.rows;
  const float axial_weight = static_cast<float>(plan.volume.column_mm.count() / plan.volume.slice_mm.count());
#pragma omp parallel for schedule(static)
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    const float* own = image + c * line;
    float* target = out + c * line;
    std::fill_n(target, line, 0.0F);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t i = plan.axial.at(row);
      float sum = 0.0F;
      for (const std::int32_t neighbour : columns_[c]) {
        if (neighbour != kNoColumn) sum += slope(own[i], image[static_cast<std::size_t>(neighbour) * line + i], gamma);
      }
      float along = 0.0F;
      if (row > 0) along += slope(own[i], own[plan.axial.at(row - 1)], gamma);
      if (row + 1 < rows) along += slope(own[i], own[plan.axial.at(row + 1)], gamma);
      target[i] = sum + axial_weight * along;
    }
  }
}

}  // namespace tomogrid::recon
