// Collimators by name: the straight line sigma(d) = sigma0 + slope d that stands for their response.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "recon/recon.h"

namespace tomogrid::recon {

// Parallel holes (Anger 1964): FWHM of the geometric response is D (L + d) / L at distance d from the face, with hole
// diameter D and length L less 2 / mu of lead at the photon energy.
struct Holes {
  Millimetres diameter, length;
  double septal_mu_per_mm = 2.7;  // of lead, at 140 keV
};

// Geometric and intrinsic parts added in quadrature; the line meets that curve at 75 and 325 mm.
Response response_of(const Holes& holes, Millimetres intrinsic_fwhm);

struct NamedCollimator {
  std::string name;  // of the table: "LEHR"
  Holes holes;
};
// Found by its name at the beginning of `text`, whatever case, hyphens or spaces: "LEHR", "le-hr para".
std::optional<NamedCollimator> find_collimator(std::string_view text);

// Response for what a file says: the collimator's when its name is known, else that of LEHR. `assumed` tells.
struct ChosenResponse {
  Response response;
  std::string name;
  bool assumed = false;
};
ChosenResponse default_response(std::string_view collimator);

}  // namespace tomogrid::recon
