// A fingerprint of everything that a plan holds, whichever way it came to be and however many ranks share it.
#pragma once

#include <cstring>
#include <vector>

#include "recon/plan.h"

namespace tomogrid::recon {

template <class T>
std::uint64_t fingerprint_of(const T* data, std::size_t count, std::uint64_t seed) {
  static_assert(sizeof(T) % sizeof(float) == 0 || sizeof(T) == 2);
  std::vector<float> words((count * sizeof(T) + 3) / sizeof(float), 0.0F);
  if (count > 0) std::memcpy(words.data(), data, count * sizeof(T));
  return fingerprint(words, seed);
}

// Rows, attenuation factors and sensitivities of all views. Every rank calls it, and gets the same.
inline std::uint64_t plan_content(const Plan& plan, Ranks& ranks) {
  const PlanData& p = plan.data();
  std::vector<double> halves(2 * p.projections.views.size(), 0.0);  // each 32 bits of a view's fingerprint
  for (const ViewPlan& view : p.views) {
    std::uint64_t hash = fingerprint_of(view.entries.data(), view.entries.size() - 8, 1);
    hash = fingerprint_of(view.runs.data(), view.runs.size(), hash);
    hash = fingerprint_of(view.layers.data(), view.layers.size(), hash);
    for (const RowEntry& entry : view.entries.first(view.entries.size() - 8)) {
      if (view.attenuation == nullptr || entry.factors == kUnattenuated) continue;
      hash = fingerprint_of(view.attenuation + entry.factors * p.axial.line(), p.axial.line(), hash);
    }
    halves[2 * view.view] = static_cast<double>(hash >> 32);
    halves[2 * view.view + 1] = static_cast<double>(hash & 0xffffffffU);
  }
  ranks.merge(halves);
  std::uint64_t hash = fingerprint_of(halves.data(), halves.size(), plan.fingerprint());
  for (const SubsetPlan& subset : p.subsets)
    hash = fingerprint({subset.sensitivity.data(), subset.sensitivity.size()}, hash);
  return hash;
}

}  // namespace tomogrid::recon
