// Scatter from energy windows beside the photopeak: the expected background r of "y ~ Poisson(A x + r)".
//
//   dual window    r = k C_lower (w_peak / 28 keV) (33 keV / w_lower)      Jaszczak, Greer, Floyd et al., J Nucl Med 1984
//   triple window  r = (C_lower / w_lower + C_upper / w_upper) w_peak / 2  Ogawa, Harata, Ichihara et al., IEEE TMI 1991
//
// C are counts of a bin, w widths in keV. k = 0.5 was found for a lower window of 92-125 keV and a photopeak of 126-154
// keV; the two quotients carry it to other widths. Without an upper window the triple window method takes C_upper as 0,
// as Ogawa does for Tc-99m, above whose photopeak there is nothing. The estimate is low-pass filtered, because its
// noise would otherwise be that of a narrow window; it is added to the model and never taken from the data.
#pragma once

#include <span>
#include <vector>

#include "base/quantity.h"
#include "image/image.h"

namespace tomogrid::recon {

enum class ScatterMethod { None, DualWindow, TripleWindow };

struct ScatterModel {
  ScatterMethod method = ScatterMethod::None;
  double photopeak_kev = 0, lower_kev = 0, upper_kev = 0;  // widths; 0: no such window
  double factor = 0.5;                                     // k
  Millimetres filter_fwhm{20};
};

// All energy ranges of a window together; 0 when they are not stated.
double width_kev(const image::AcquisitionFacts& facts);

// r in counts per bin, [view][row][bin]. Requires method != None, a photopeak and a lower width above 0, lower.size()
// of the geometry, and upper of that size when upper_kev > 0.
std::vector<float> scatter_background(const ScatterModel& model, const image::ProjectionGeometry& geometry,
                                      std::span<const float> lower, std::span<const float> upper);

}  // namespace tomogrid::recon
