#include "recon/collimator.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace tomogrid::recon {

namespace {

struct Row {
  std::string_view name;
  double diameter_mm, length_mm, septal_mu_per_mm;  // mu of lead at 140, 245 and 364 keV
};
// Typical cameras; nominal figures that manufacturers publish. Longer names first: the first that fits is taken.
constexpr std::array<Row, 10> kTable = {{{"LEUHR", 1.16, 35.8, 2.7},
                                         {"LEHRHS", 1.9, 35.0, 2.7},
                                         {"LEHR", 1.11, 24.05, 2.7},
                                         {"LEAP", 1.45, 24.05, 2.7},
                                         {"LEGP", 1.45, 24.05, 2.7},
                                         {"LEHS", 2.54, 24.05, 2.7},
                                         {"MEGP", 2.94, 40.64, 0.66},
                                         {"MELP", 2.94, 40.64, 0.66},
                                         {"HEGP", 4.0, 59.7, 0.29},
                                         {"HEHR", 3.8, 66.0, 0.29}}};
constexpr double kIntrinsicFwhm = 3.8;  // of a 3/8 inch crystal at 140 keV

}  // namespace

Response response_of(const Holes& holes, Millimetres intrinsic_fwhm) {
  constexpr double kPerSigma = 2.35482004503094938202;
  const double length = std::max(holes.length.count() - 2.0 / holes.septal_mu_per_mm, 1.0);
  const auto sigma = [&](double distance) {
    const double geometric = holes.diameter.count() * (length + distance) / length / kPerSigma;
    const double intrinsic = intrinsic_fwhm.count() / kPerSigma;
    return std::sqrt(geometric * geometric + intrinsic * intrinsic);
  };
  const double slope = (sigma(325.0) - sigma(75.0)) / 250.0;
  return {.enabled = true, .sigma0 = Millimetres(sigma(75.0) - 75.0 * slope), .slope = slope};
}

std::optional<NamedCollimator> find_collimator(std::string_view text) {
  std::string letters;
  for (const char c : text) {
    if (c >= 'a' && c <= 'z')
      letters += static_cast<char>(c - 'a' + 'A');
    else if (c >= 'A' && c <= 'Z')
      letters += c;
  }
  for (const Row& row : kTable) {
    if (letters.substr(0, row.name.size()) == row.name) {
      return NamedCollimator{std::string(row.name),
                             {Millimetres(row.diameter_mm), Millimetres(row.length_mm), row.septal_mu_per_mm}};
    }
  }
  return std::nullopt;
}

ChosenResponse default_response(std::string_view collimator) {
  const auto found = find_collimator(collimator);
  const NamedCollimator used = found ? *found : *find_collimator("LEHR");
  return {response_of(used.holes, Millimetres(kIntrinsicFwhm)), used.name, !found};
}

}  // namespace tomogrid::recon
