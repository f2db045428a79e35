// What a scan and a volume are, in memory: numbers with their geometry, and never a patient's identity.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "image/geometry.h"

namespace tomogrid::image {

// Activity, attenuation, or any other scalar on a grid. values.size() == geometry.voxels().
struct Volume {
  VolumeGeometry geometry;
  std::vector<float> values;
  std::string unit;            // "counts/voxel/view", "1/mm", "Bq/mL"
};

struct EnergyWindow {
  double lower_kev = 0, upper_kev = 0;
  bool operator==(const EnergyWindow&) const = default;
};

// What is known about the acquisition that the physics needs. Nothing that says who, where or on which day.
struct AcquisitionFacts {
  std::string nuclide;                       // "Tc-99m"; empty: unknown
  std::optional<Seconds> half_life;
  std::vector<EnergyWindow> windows;         // of these projections
  std::string collimator;                    // "LEHR"; empty: unknown
  bool counts = true;                        // integer Poisson counts (false: scaled or filtered)
  bool operator==(const AcquisitionFacts&) const = default;
};

// An emission acquisition: y of "y ~ Poisson(A x + r)". values.size() == geometry.elements().
struct Projections {
  ProjectionGeometry geometry;
  AcquisitionFacts facts;
  std::vector<float> values;
};

}  // namespace tomogrid::image
