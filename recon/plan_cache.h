// Plans kept in a folder between runs, so that the same scanner protocol does not build the same system matrix twice.
//
// A file holds one plan: rows, attenuation factors and sensitivities, as they lie in memory. It is mapped, not read. Its
// name and header carry the key: every number of the geometry, the model and the options, the content of the
// attenuation map, this program's version and numerical contract, and which of how many ranks it serves. A file of
// another key, size or checksum, or with an index out of range, is as good as none: the plan is made and the file
// written anew, in full or not at all (a temporary, then rename). A plan from the cache gives the same bits.
//
// A factor table is derived from a patient's attenuation map. So nothing is kept unless the user names a folder, files
// are readable by their owner only, files of other owners are not believed, and nodes never use this.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "recon/recon.h"

namespace tomogrid::recon {

struct CachedPlan {
  Plan plan;
  bool reused = false;                // it came from the folder
  std::optional<std::string> notice;  // why it could not be kept; the plan is good all the same
};

// make_plan() with the folder's help. The folder is created, for its owner only, if absent. At most 4 GiB are kept: the
// files that were not used for longest go first. Every rank must name a folder; all use theirs or none does. The plan
// needs its file's content only while it lives; a file that is replaced or removed meanwhile does not disturb it.
Result<CachedPlan> make_plan_cached(const std::filesystem::path& folder, const image::ProjectionGeometry& geometry,
                                    const Model& model, const PlanOptions& options, Ranks* ranks = nullptr);

}  // namespace tomogrid::recon
