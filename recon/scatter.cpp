#include "recon/scatter.h"

#include <cmath>

#include "base/result.h"
#include "recon/filter.h"

namespace tomogrid::recon {

namespace {

constexpr double kPublishedPhotopeakKev = 28, kPublishedLowerKev = 33;  // 126-154 and 92-125 keV

}  // namespace

double width_kev(const image::AcquisitionFacts& facts) {
  double width = 0;
  for (const image::EnergyWindow& window : facts.windows) width += window.upper_kev - window.lower_kev;
  return width;
}

std::vector<float> scatter_background(const ScatterModel& model, const image::ProjectionGeometry& geometry,
                                      std::span<const float> lower, std::span<const float> upper) {
  const bool dual = model.method == ScatterMethod::DualWindow;
  const bool above = !dual && model.upper_kev > 0;
  TOMOGRID_ASSERT(model.method != ScatterMethod::None && model.photopeak_kev > 0 && model.lower_kev > 0);
  TOMOGRID_ASSERT(lower.size() == geometry.elements() && (!above || upper.size() == lower.size()));
  const double of_lower =
      dual ? model.factor * (model.photopeak_kev / kPublishedPhotopeakKev) * (kPublishedLowerKev / model.lower_kev)
           : 0.5 * model.photopeak_kev / model.lower_kev;
  const double of_upper = above ? 0.5 * model.photopeak_kev / model.upper_kev : 0.0;
  std::vector<float> background(lower.size());
  for (std::size_t i = 0; i < background.size(); ++i) {
    const double up = above ? of_upper * static_cast<double>(upper[i]) : 0.0;
    background[i] = static_cast<float>(std::fma(of_lower, static_cast<double>(lower[i]), up));
  }
  smooth_planes(
      background,
      {.columns = geometry.bins, .rows = geometry.rows, .column_mm = geometry.bin_mm, .row_mm = geometry.row_mm},
      model.filter_fwhm);
  return background;
}

}  // namespace tomogrid::recon
