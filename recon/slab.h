// A reconstruction of some slices only. Nothing but the response along the axis ties a slice to its neighbours, so the
// slab is computed with two of its reaches on either side, and these are cut off again.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "recon/recon.h"

namespace tomogrid::recon {

struct Slab {
  std::size_t first = 0, count = 0;          // slices that are asked for, from 0
  std::size_t row_first = 0, row_count = 0;  // rows that are computed
  bool operator==(const Slab&) const = default;
};

// Slices `first` to `last`, from 1 and inclusive; 0 is the first or the last there is. nullopt: all of them. BadInput:
// out of order or beyond the rows. A reach is three sigma of the response at the far side of the field of view.
Result<std::optional<Slab>> slab_of(const image::ProjectionGeometry& geometry, const Response& response,
                                    std::size_t first, std::size_t last);

// The rows of the slab.
image::ProjectionGeometry rows_of(const image::ProjectionGeometry& geometry, const Slab& slab);
std::vector<float> rows_of(const image::ProjectionGeometry& geometry, std::span<const float> projections,
                           const Slab& slab);
// The slices asked for, of a volume over the slab's rows.
image::Volume slices_of(const image::Volume& volume, const Slab& slab);

}  // namespace tomogrid::recon
