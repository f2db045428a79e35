// One reconstruction as the worker program runs it, whether asked for by a job or by hand: parameters and inputs in,
// volume and passport out. No files, no channel, no clock.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "image/image.h"
#include "image/stream_format.h"
#include "job/job.h"
#include "job/service.h"
#include "recon/recon.h"
#include "recon/scatter.h"
#include "recon/slab.h"

namespace tomogrid::recon {

// The service's description, as installed: the one list of parameters, for jobs and for the command line.
const job::ServiceDescriptor& service();

// An energy window beside the photopeak. Its geometry is the projections'; its counts may come later than its header.
struct ScatterInput {
  image::ProjectionsHeader header;
  std::vector<float> counts;
};

struct Task {
  job::Parameters parameters;  // complete (job::complete_parameters)
  image::ProjectionsHeader header;
  std::optional<image::Volume> attenuation;
  std::vector<float> counts;
  std::optional<ScatterInput> scatter_lower, scatter_upper;
  std::optional<Checkpoint> resume;
};

// What the parameters and the file's facts come to. `notices` are sentences for the user; no value of the input is in
// them.
struct Notice {
  std::string code, message;
};
struct Decision {
  Model model;                     // attenuation points into the task
  std::string attenuation_reason;  // why the factor is what it is; empty without a map
  ScatterModel scatter;
  std::size_t first_slice = 0, last_slice = 0;  // from 1; 0: all
  std::size_t replicates = 0;                   // of the bootstrap; 0: none
  std::uint64_t seed = 1;
  double cps_per_mbq = 0;  // 0: no conversion
  PlanOptions options;
  std::size_t iterations = 1;
  Millimetres filter_fwhm{0};
  double stop_change = 0;
  Penalty penalty;
  std::size_t checkpoint_every = 0;
  bool previews = true;
  std::string response_name;  // "LEHR", "given", "off"
  std::vector<Notice> notices;
};
Decision decide(const Task& task);
// What no default can mend, before anything is computed. BadInput: scatter windows of another geometry or of unknown
// width, a method without its windows, too few replicates, a conversion to Bq/mL without the views' duration.
Result<void> check(const Task& task, const Decision& decision);

// Factor from the plan's unit to Bq/mL: x counts per view of mean duration T in a voxel of V mL are
// x / (T V sensitivity) * 1e6. Requires check().
double becquerels_per_millilitre(const Decision& decision, const image::ProjectionGeometry& geometry,
                                 const image::VolumeGeometry& grid);

// What was computed, and from what. Deterministic: no time, no thread count, no name; the same JSON on every machine.
struct Account {
  const Task& task;
  const Decision& decision;
  const Plan& plan;  // of the slab, if there is one
  const std::optional<Slab>& slab;
  const Reconstruction& result;
  double background_counts = 0;              // in r
  const image::Volume* deviation = nullptr;  // null: not asked
};
std::string passport(const Account& account);

}  // namespace tomogrid::recon
