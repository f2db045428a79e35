#include "image/energy.h"

#include <algorithm>

#include "image/numbers.h"

namespace tomogrid::image {

namespace {

EnergyWindow hull(const AcquisitionFacts& facts) {
  EnergyWindow all = facts.windows.front();
  for (const EnergyWindow& range : facts.windows) {
    all.lower_kev = std::min(all.lower_kev, range.lower_kev);
    all.upper_kev = std::max(all.upper_kev, range.upper_kev);
  }
  return all;
}

std::string in_words(const EnergyWindow& window) {
  return shortest(window.lower_kev) + " to " + shortest(window.upper_kev) + " keV";
}

}  // namespace

Result<WindowPlace> place_beside_photopeak(const AcquisitionFacts& photopeak, const AcquisitionFacts& window) {
  const auto bad = [](const std::string& what) { return Error{ErrorCode::BadInput, "scatter window: " + what}; };
  if (photopeak.windows.empty()) return bad("the photopeak's energy limits are not stated in its file");
  if (window.windows.empty()) return bad("its energy limits are not stated in its file");
  const EnergyWindow peak = hull(photopeak), own = hull(window);
  const double middle = 0.5 * (own.lower_kev + own.upper_kev);
  if (middle >= peak.lower_kev && middle <= peak.upper_kev)
    return bad(in_words(own) + " covers the photopeak of " + in_words(peak));
  return middle < peak.lower_kev ? WindowPlace::Below : WindowPlace::Above;
}

}  // namespace tomogrid::image
