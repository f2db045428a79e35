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

namespace tomogrid::recon {

// The service's description, as installed: the one list of parameters, for jobs and for the command line.
const job::ServiceDescriptor& service();

struct Task {
  job::Parameters parameters;  // complete (job::complete_parameters)
  image::ProjectionsHeader header;
  std::optional<image::Volume> attenuation;
  std::vector<float> counts;
  std::optional<Checkpoint> resume;
};

// What the parameters and the file's facts come to. `notices` are sentences for the user; no value of the input is in
// them.
struct Notice {
  std::string code, message;
};
struct Decision {
  Model model;  // attenuation points into the task
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

// Deterministic: no time, no thread count, no name. The same JSON on every machine.
std::string passport(const Task& task, const Decision& decision, const Plan& plan, const Reconstruction& result);

}  // namespace tomogrid::recon
