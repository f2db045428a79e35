// Attenuation maps: from what a file's numbers mean to 1/mm.
#include <algorithm>
#include <cmath>

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
// Bone per water above 0 HU: mu(HU) = water * (1 + slope * HU / 1000). Cortical bone, 1.85 g/cm3, is 1.7 times water at
// 140 keV and near 1500 HU at 120 kVp (NIST XCOM composition data), so its HU overstate it.
constexpr double kBoneSlope = 0.47;

float of_hounsfield(float hounsfield, double water) {
  const double h = std::max(-1000.0, static_cast<double>(hounsfield));
  return static_cast<float>(h <= 0 ? water * (1 + h / 1000) : water * (1 + kBoneSlope * h / 1000));
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
  auto loaded = load_volume_with_warnings(path);
  if (!loaded) return loaded;
  return guarded<LoadedVolume>(path, [&] {
    std::vector<float>& values = loaded->volume.values;
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    if (*least == *most) refuse("every voxel of this attenuation map is the same: nothing is in it");
    if (unit == AttenuationUnit::Hounsfield) {
      if (*most <= 20 && *least >= -1)
        refuse("these cannot be Hounsfield units: all values are small; is it 1/cm or 1/mm?");
      for (float& value : values) value = of_hounsfield(value, water->count());
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

}  // namespace tomogrid::image
