#include "recon/presets.h"

#include <algorithm>

namespace tomogrid::recon {

namespace {

job::Parameters osem(std::int64_t iterations, double filter_mm) {
  return {{"algorithm", std::string("osem")},
          {"subsets", std::int64_t{8}},
          {"iterations", iterations},
          {"filter-fwhm-mm", filter_mm}};
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      {"bone", "bone scintigraphy, Tc-99m phosphonates", osem(5, 8.0)},
      {"brain", "perfusion or dopamine transporters, Tc-99m or I-123", osem(8, 7.0)},
      {"heart", "myocardial perfusion, Tc-99m", osem(4, 12.0)},
      {"lung", "ventilation and perfusion, Tc-99m", osem(3, 10.0)},
      {"small", "parathyroid, sentinel nodes: small hot foci", osem(6, 6.0)},
      {"quantify", "activity in volumes: near convergence, no filter", osem(12, 0.0)},
  };
  return all;
}

const Preset* find_preset(std::string_view name) {
  const auto found = std::find_if(presets().begin(), presets().end(), [&](const Preset& p) { return p.name == name; });
  return found == presets().end() ? nullptr : &*found;
}

std::string list_of_presets() {
  std::string text;
  for (const Preset& preset : presets()) {
    text += preset.name + std::string(preset.name.size() < 10 ? 10 - preset.name.size() : 1, ' ') + preset.study +
            "\n" + std::string(10, ' ') + job::canonical_text(preset.parameters) + "\n";
  }
  return text;
}

}  // namespace tomogrid::recon
