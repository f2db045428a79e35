// Attenuation maps: from what a file's numbers mean to 1/mm.
#include <algorithm>
#include <array>
#include <cmath>

#include "image/ct_series.h"
#include "image/files.h"
#include "image/numbers.h"
#include "image/refusal.h"

namespace tomogrid::image {

namespace {

// Above this nothing in a patient attenuates as an emission scan sees it (bone 0.03, CT saturates below 0.04 at 140
// keV), and maps in 1/cm of water alone are (0.096 at 511 keV).
constexpr double kMostPerMillimetre = 0.06;
// Below this a map in the stated unit has no water in it (water at 511 keV is 0.0096/mm).
constexpr double kLeastWaterPerMillimetre = 0.004;
constexpr double kUsualKvp = 120;
constexpr double kFinestMillimetres = 2;  // a CT is averaged to about this: half of what any SPECT voxel is

// Mass attenuation, cm2/g, of water and of cortical bone of 1.92 g/cm3 (ICRU 44): Hubbell and Seltzer, NIST XCOM.
struct MassAttenuation {
  double kev, water, bone;
};
constexpr std::array<MassAttenuation, 10> kMassAttenuation{{{40, 0.2683, 0.6655},
                                                            {50, 0.2269, 0.4242},
                                                            {60, 0.2059, 0.3148},
                                                            {80, 0.1837, 0.2229},
                                                            {100, 0.1707, 0.1855},
                                                            {150, 0.1505, 0.1480},
                                                            {200, 0.1370, 0.1309},
                                                            {300, 0.1186, 0.1113},
                                                            {400, 0.1061, 0.09908},
                                                            {500, 0.09687, 0.09022}}};
constexpr double kBoneDensity = 1.92;

struct Coefficients {
  double water, bone;  // 1/cm
};
// Straight in both logarithms between the table's energies.
Coefficients coefficients_at(double kev) {
  std::size_t i = 0;
  while (i + 2 < kMassAttenuation.size() && kev > kMassAttenuation[i + 1].kev) ++i;
  const MassAttenuation &low = kMassAttenuation[i], &high = kMassAttenuation[i + 1];
  const double t = std::log(kev / low.kev) / std::log(high.kev / low.kev);
  return {low.water * std::pow(high.water / low.water, t), kBoneDensity * low.bone * std::pow(high.bone / low.bone, t)};
}

// The energy at which water attenuates so.
double energy_of_water(double per_cm) {
  double low = kMassAttenuation.front().kev, high = kMassAttenuation.back().kev;
  for (int i = 0; i < 50; ++i) {
    const double middle = 0.5 * (low + high);
    (coefficients_at(middle).water > per_cm ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

// What a tube's spectrum behaves like after a body: 80 kVp 52 keV, 120 kVp 70 keV, 140 kVp 77 keV.
double effective_energy(double kvp) {
  return kvp <= 120 ? 52 + (kvp - 80) * (70 - 52) / 40 : 70 + (kvp - 120) * (77 - 70) / 20;
}

// mu(HU) = water (1 + slope HU / 1000) above 0, so that cortical bone, which CT shows as denser than it is to photons of
// higher energy, gets its own coefficient (Brown et al., Med Phys 2008; Patton and Turkington, J Nucl Med Technol 2008).
double bone_slope(double kvp, double water_per_mm) {
  const Coefficients seen = coefficients_at(effective_energy(kvp));
  const Coefficients emitted = coefficients_at(energy_of_water(10 * water_per_mm));
  const double slope = (emitted.bone / emitted.water - 1) / (seen.bone / seen.water - 1);
  return std::round(slope * 1e6) / 1e6;  // the same on every machine, whichever logarithm it has
}

struct HounsfieldScale {
  double water, slope;
  float of(float hounsfield) const {
    const double h = std::max(-1000.0, static_cast<double>(hounsfield)) / 1000;
    return static_cast<float>(h <= 0 ? water * (1 + h) : water * (1 + slope * h));
  }
};

// Means over blocks of voxels; what lies beyond the grid is air.
Volume averaged(const Volume& fine) {
  const VolumeGeometry& from = fine.geometry;
  const auto blocks = [](Millimetres step) {
    return std::max<std::size_t>(1, static_cast<std::size_t>(kFinestMillimetres / step.count() + 1e-6));
  };
  const std::array<std::size_t, 3> block{blocks(from.column_mm), blocks(from.row_mm), blocks(from.slice_mm)};
  if (block == std::array<std::size_t, 3>{1, 1, 1}) return fine;
  Volume coarse{from, {}, fine.unit};
  VolumeGeometry& to = coarse.geometry;
  const auto reduce = [](std::size_t& count, Millimetres& step, Millimetres& first, std::size_t by) {
    first += step * (0.5 * static_cast<double>(by - 1));
    step = step * static_cast<double>(by);
    count = (count + by - 1) / by;
  };
  reduce(to.columns, to.column_mm, to.x0, block[0]);
  reduce(to.rows, to.row_mm, to.y0, block[1]);
  reduce(to.slices, to.slice_mm, to.z0, block[2]);
  std::vector<double> sums(to.voxels());
  for (std::size_t i = 0; i < fine.values.size(); ++i) {
    const std::size_t x = i % from.columns, y = i / from.columns % from.rows, z = i / from.columns / from.rows;
    sums[(z / block[2] * to.rows + y / block[1]) * to.columns + x / block[0]] += static_cast<double>(fine.values[i]);
  }
  const double share = 1.0 / static_cast<double>(block[0] * block[1] * block[2]);
  for (const double sum : sums) coarse.values.push_back(static_cast<float>(sum * share));
  return coarse;
}

Result<LoadedVolume> from_ct_series(const std::filesystem::path& folder, AttenuationUnit unit, double water) {
  if (unit != AttenuationUnit::Hounsfield)
    return Error{ErrorCode::BadInput, folder.string() + ": a folder is read as a CT series, which is in HU: say so"};
  auto series = load_ct_series(folder);
  if (!series) return series.error();
  const HounsfieldScale scale{water, bone_slope(series->kvp, water)};
  LoadedVolume& loaded = series->loaded;
  for (float& value : loaded.volume.values) value = scale.of(value);
  loaded.volume = averaged(loaded.volume);
  loaded.volume.unit = "1/mm";
  return std::move(loaded);
}

}  // namespace

std::optional<AttenuationUnit> parse_attenuation_unit(std::string_view text) {
  const std::string word = lower_case(trimmed(text));
  if (word == "1/mm") return AttenuationUnit::PerMillimetre;
  if (word == "1/cm") return AttenuationUnit::PerCentimetre;
  if (word == "hu") return AttenuationUnit::Hounsfield;
  return std::nullopt;
}

Result<LoadedVolume> load_attenuation(const std::filesystem::path& path, AttenuationUnit unit,
                                      std::optional<PerMillimetre> water) {
  if (unit == AttenuationUnit::Hounsfield && (!water || !(water->count() > 0) || water->count() > kMostPerMillimetre)) {
    return Error{ErrorCode::BadInput, "an attenuation map in Hounsfield units needs mu of water at the photon energy"};
  }
  std::error_code absent;
  if (std::filesystem::is_directory(path, absent)) return from_ct_series(path, unit, water ? water->count() : 0);
  auto loaded = load_volume_with_warnings(path);
  if (!loaded) return loaded;
  return guarded<LoadedVolume>(path, [&] {
    std::vector<float>& values = loaded->volume.values;
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    if (*least == *most) refuse("every voxel of this attenuation map is the same: nothing is in it");
    if (unit == AttenuationUnit::Hounsfield) {
      if (*most <= 20 && *least >= -1)
        refuse("these cannot be Hounsfield units: all values are small; is it 1/cm or 1/mm?");
      const HounsfieldScale scale{water->count(), bone_slope(kUsualKvp, water->count())};
      for (float& value : values) value = scale.of(value);
    } else {
      const float scale = unit == AttenuationUnit::PerCentimetre ? 0.1F : 1.0F;
      const char* name = unit == AttenuationUnit::PerCentimetre ? "1/cm" : "1/mm";
      const double top = static_cast<double>(*most * scale);
      if (top > kMostPerMillimetre) {
        refuse("its largest value is " + shortest(static_cast<double>(*most)) + ", too much for " + name +
               ": is it in another unit (1/cm, HU)?");
      }
      if (top < kLeastWaterPerMillimetre) {
        refuse("its largest value is " + shortest(static_cast<double>(*most)) + ", less than water attenuates, for " +
               name + ": is it in another unit?");
      }
      std::size_t below = 0;
      for (float& value : values) {
        if (value < 0) ++below;
        value = std::max(value, 0.0F) * scale;
      }
      if (below > 0)
        loaded->warnings.push_back(std::to_string(below) + " negative values of the attenuation map were set to 0");
    }
    loaded->volume.unit = "1/mm";
    return std::move(*loaded);
  });
}

Result<void> place_attenuation(LoadedVolume& map, const Identity& of_scan, const ProjectionGeometry& scan) {
  if (!map.identity.has_frame()) {
    map.warnings.push_back(
        "the attenuation map says nothing of where the patient lay: it is taken to be centred as the scan is");
  } else if (auto moved = move_to_scan(map.volume, map.identity, of_scan); !moved) {
    return moved;
  }
  const VolumeGeometry& grid = map.volume.geometry;
  const double map_low = (grid.z0 - grid.slice_mm * 0.5).count();
  const double map_high = map_low + static_cast<double>(grid.slices) * grid.slice_mm.count();
  std::size_t beyond = 0;
  for (std::size_t row = 0; row < scan.rows; ++row) {
    const double z = (scan.v0 + scan.row_mm * static_cast<double>(row)).count();
    if (z < map_low - 1e-6 || z > map_high + 1e-6) ++beyond;
  }
  if (beyond == scan.rows)
    return Error{ErrorCode::BadInput,
                 "the attenuation map lies wholly above or below the scan: is it of this patient?"};
  if (beyond > 0) {
    map.warnings.push_back("the attenuation map covers " + std::to_string(scan.rows - beyond) + " of the scan's " +
                           std::to_string(scan.rows) + " slices: the others are reconstructed as in air");
  }
  return {};
}

}  // namespace tomogrid::image
