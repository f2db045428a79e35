#include "recon/filter.h"

#include <cmath>

#include "recon/arithmetic.h"
#include "recon/recon.h"

namespace tomogrid::recon {

namespace {

constexpr double kFwhmPerSigma = 2.35482004503094938202;  // 2 sqrt(2 ln 2)

// Half of a symmetric kernel of unit sum, centre first.
std::vector<float> gaussian_taps(double sigma) {
  const auto reach = static_cast<std::size_t>(std::ceil(4.0 * sigma));
  std::vector<double> taps(reach + 1);
  double sum = 0;
  for (std::size_t i = 0; i <= reach; ++i) {
    const double x = static_cast<double>(i) / sigma;
    taps[i] = exact_exp(-0.5 * x * x);
    sum += i == 0 ? taps[i] : 2.0 * taps[i];
  }
  std::vector<float> result(taps.size());
  for (std::size_t i = 0; i < taps.size(); ++i) result[i] = static_cast<float>(taps[i] / sum);
  return result;
}

enum class Border { Zero, Mirror };

// Where a sample before the first or behind the last lies when the line is mirrored at its ends.
std::size_t mirrored(std::ptrdiff_t index, std::size_t count) {
  const auto n = static_cast<std::ptrdiff_t>(count);
  std::ptrdiff_t i = index % (2 * n);
  if (i < 0) i += 2 * n;
  return static_cast<std::size_t>(i < n ? i : 2 * n - 1 - i);
}

// Along the axis whose neighbours are `stride` apart, for a block of `width` adjacent lines of `count` voxels.
void smooth_lines(float* values, std::size_t count, std::size_t stride, std::size_t width,
                  const std::vector<float>& taps, std::vector<float>& scratch, Border border = Border::Zero) {
  scratch.resize(count * width);
  for (std::size_t i = 0; i < count; ++i) {
    float* out = scratch.data() + i * width;
    for (std::size_t w = 0; w < width; ++w) out[w] = taps[0] * values[i * stride + w];
    for (std::size_t t = 1; t < taps.size(); ++t) {
      for (const bool up : {false, true}) {
        const bool outside = up ? i + t >= count : i < t;
        if (outside && border == Border::Zero) continue;
        const std::ptrdiff_t there = static_cast<std::ptrdiff_t>(i) + (up ? 1 : -1) * static_cast<std::ptrdiff_t>(t);
        const float* from = values + (outside ? mirrored(there, count) : static_cast<std::size_t>(there)) * stride;
        for (std::size_t w = 0; w < width; ++w) out[w] = std::fma(taps[t], from[w], out[w]);
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t w = 0; w < width; ++w) values[i * stride + w] = scratch[i * width + w];
  }
}

}  // namespace

void smooth(image::Volume& volume, Millimetres fwhm) {
  const image::VolumeGeometry& g = volume.geometry;
  const double sigma = fwhm.count() / kFwhmPerSigma;
  const auto across = gaussian_taps(sigma / g.column_mm.count());
  const auto down = gaussian_taps(sigma / g.row_mm.count());
  const auto along = gaussian_taps(sigma / g.slice_mm.count());
  const std::size_t plane = g.columns * g.rows;
#pragma omp parallel
  {
    std::vector<float> scratch;
#pragma omp for schedule(static)
    for (std::size_t z = 0; z < g.slices; ++z) {
      float* slice = volume.values.data() + z * plane;
      for (std::size_t y = 0; y < g.rows; ++y) smooth_lines(slice + y * g.columns, g.columns, 1, 1, across, scratch);
      smooth_lines(slice, g.rows, g.columns, g.columns, down, scratch);
    }
#pragma omp for schedule(static)
    for (std::size_t y = 0; y < g.rows; ++y) {
      smooth_lines(volume.values.data() + y * g.columns, g.slices, plane, g.columns, along, scratch);
    }
  }
}

void smooth_planes(std::span<float> planes, const PlaneShape& shape, Millimetres fwhm) {
  if (!(fwhm.count() > 0)) return;
  const double sigma = fwhm.count() / kFwhmPerSigma;
  const auto across = gaussian_taps(sigma / shape.column_mm.count());
  const auto along = gaussian_taps(sigma / shape.row_mm.count());
  const std::size_t plane = shape.columns * shape.rows;
#pragma omp parallel
  {
    std::vector<float> scratch;
#pragma omp for schedule(static)
    for (std::size_t p = 0; p < planes.size() / plane; ++p) {
      float* values = planes.data() + p * plane;
      for (std::size_t row = 0; row < shape.rows; ++row)
        smooth_lines(values + row * shape.columns, shape.columns, 1, 1, across, scratch, Border::Mirror);
      smooth_lines(values, shape.rows, shape.columns, shape.columns, along, scratch, Border::Mirror);
    }
  }
}

}  // namespace tomogrid::recon
