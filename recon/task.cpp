#include "recon/task.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "recon/collimator.h"

namespace tomogrid::recon {

namespace {

constexpr const char* kServiceDocument =
#include "recon_service_document.inc"
    ;

constexpr std::size_t kReplicatesLeast = 16;

template <class T>
T parameter(const Task& task, const char* name) {
  const auto found = task.parameters.find(name);
  TOMOGRID_ASSERT(found != task.parameters.end() && std::holds_alternative<T>(found->second));
  return std::get<T>(found->second);
}
double number(const Task& task, const char* name) {
  return parameter<double>(task, name);
}
std::size_t whole(const Task& task, const char* name) {
  return static_cast<std::size_t>(parameter<std::int64_t>(task, name));
}
bool flag(const Task& task, const char* name) {
  return parameter<bool>(task, name);
}

void decide_response(const Task& task, Decision& decision) {
  decision.model.response.enabled = flag(task, "response");
  if (!decision.model.response.enabled) {
    decision.response_name = "off";
    return;
  }
  const double sigma0 = number(task, "sigma0-mm"), slope = number(task, "sigma-slope");
  const ChosenResponse chosen = default_response(task.header.facts.collimator);
  decision.model.response = chosen.response;
  if (sigma0 >= 0) decision.model.response.sigma0 = Millimetres(sigma0);
  if (slope >= 0) decision.model.response.slope = slope;
  decision.response_name = sigma0 >= 0 && slope >= 0 ? "given" : chosen.name;
  if (chosen.assumed && decision.response_name != "given") {
    decision.notices.push_back(
        {"collimator-assumed", "the collimator is not known; the response of " + chosen.name +
                                   " is used; give sigma0-mm and sigma-slope if it was another"});
  }
}

void decide_decay(const Task& task, Decision& decision) {
  if (!flag(task, "decay") || !task.header.facts.half_life) return;
  const auto& views = task.header.geometry.views;
  if (std::any_of(views.begin(), views.end(), [](const image::View& view) { return view.duration.count() > 0; })) {
    decision.model.half_life = task.header.facts.half_life;
  }
}

// Coefficients as tables and CT give them are those of a narrow beam. Without scatter in the model the scattered photons
// that are counted all the same make absorption look weaker, by about this in water at 140 keV.
constexpr double kBroadBeam = 0.12 / 0.154;

void decide_scatter(const Task& task, Decision& decision) {
  const std::string method = parameter<std::string>(task, "scatter-method");
  ScatterModel& model = decision.scatter;
  model.factor = number(task, "scatter-factor");
  model.filter_fwhm = Millimetres(number(task, "scatter-filter-fwhm-mm"));
  model.photopeak_kev = width_kev(task.header.facts);
  if (task.scatter_lower) model.lower_kev = width_kev(task.scatter_lower->header.facts);
  if (task.scatter_upper) model.upper_kev = width_kev(task.scatter_upper->header.facts);
  if (method == "dew" || (method == "auto" && task.scatter_lower && !task.scatter_upper))
    model.method = ScatterMethod::DualWindow;
  else if (method == "tew" || (method == "auto" && task.scatter_lower))
    model.method = ScatterMethod::TripleWindow;
  if (model.method != ScatterMethod::None) {
    char text[160];
    std::snprintf(text, sizeof text,
                  "scatter by the %s energy window method (widths %g, %g, %g keV) is added to the model",
                  model.method == ScatterMethod::DualWindow ? "dual" : "triple", model.lower_kev, model.photopeak_kev,
                  model.upper_kev);
    decision.notices.push_back({"scatter", text});
  }
}

void decide_attenuation(const Task& task, Decision& decision) {
  if (!flag(task, "attenuation-correction") || !task.attenuation) {
    decision.notices.push_back(
        {"no-attenuation", "attenuation is not corrected: there is no map, or it was turned off"});
    return;
  }
  decision.model.attenuation = &*task.attenuation;
  decision.options.support_within_attenuation = flag(task, "support-from-map");
  const double given = number(task, "attenuation-factor");
  const bool scatter = decision.scatter.method != ScatterMethod::None;
  decision.model.attenuation_factor = given > 0 ? given : scatter ? 1.0 : kBroadBeam;
  decision.attenuation_reason =
      given > 0 ? "given"
      : scatter ? "narrow beam: scatter is in the model"
                : "broad beam, 0.12/0.154: no scatter is in the model; say attenuation-factor 1 for a map that is "
                  "already effective or data without scatter";
  char text[240];
  std::snprintf(text, sizeof text, "the attenuation map is multiplied by %.4g (%s)", decision.model.attenuation_factor,
                decision.attenuation_reason.c_str());
  decision.notices.push_back({"attenuation-factor", text});
}

Error bad(std::string message) {
  return Error{ErrorCode::BadInput, std::move(message)};
}

Result<void> check_scatter(const Task& task, const ScatterModel& model) {
  if (model.method == ScatterMethod::None) {
    if (task.scatter_upper && !task.scatter_lower && parameter<std::string>(task, "scatter-method") == "auto")
      return bad("scatter: a window above the photopeak alone says nothing of scatter; give the one below");
    return {};
  }
  if (!task.scatter_lower) return bad("scatter: the method needs an energy window below the photopeak");
  if (!(model.photopeak_kev > 0)) return bad("scatter: the photopeak window's limits are not stated in the scan");
  for (const auto* input : {&task.scatter_lower, &task.scatter_upper}) {
    if (!*input || (input == &task.scatter_upper && model.method == ScatterMethod::DualWindow)) continue;
    const image::ProjectionsHeader& header = (*input)->header;
    if (!(width_kev(header.facts) > 0)) return bad("scatter: an energy window's limits are not stated");
    if (!(header.geometry == task.header.geometry))
      return bad("scatter: an energy window has other bins, rows, views or angles than the photopeak");
  }
  return {};
}

}  // namespace

const job::ServiceDescriptor& service() {
  static const job::ServiceDescriptor descriptor = job::parse_service(kServiceDocument).or_throw();
  return descriptor;
}

Decision decide(const Task& task) {
  Decision decision;
  decide_response(task, decision);
  decide_decay(task, decision);
  const bool osem = parameter<std::string>(task, "algorithm") == "osem";
  decision.iterations = whole(task, "iterations");
  decision.filter_fwhm = Millimetres(number(task, "filter-fwhm-mm"));
  decision.penalty = {.strength = number(task, "penalty"), .gamma = number(task, "penalty-gamma")};
  decision.stop_change = number(task, "stop-change");
  decision.checkpoint_every = whole(task, "checkpoint-every");
  decision.previews = flag(task, "previews");
  decision.options.subsets = osem ? std::max<std::size_t>(whole(task, "subsets"), 1) : 1;
  decision.options.size = whole(task, "image-size");
  decision.options.voxel = Millimetres(number(task, "voxel-mm"));
  decision.options.support_radius = Millimetres(number(task, "support-radius-mm"));
  decide_scatter(task, decision);
  decide_attenuation(task, decision);
  decision.first_slice = whole(task, "first-slice");
  decision.last_slice = whole(task, "last-slice");
  decision.replicates = whole(task, "uncertainty");
  decision.seed = whole(task, "uncertainty-seed");
  decision.cps_per_mbq = number(task, "cps-per-mbq");
  if (!task.header.facts.counts) {
    decision.notices.push_back(
        {"not-counts", "the projections are not plain counts; their noise is not Poisson, as the method assumes"});
  }
  return decision;
}

Result<void> check(const Task& task, const Decision& decision) {
  if (auto sound = check_scatter(task, decision.scatter); !sound) return sound;
  if (decision.replicates > 0 && decision.replicates < kReplicatesLeast) {
    return bad("uncertainty: " + std::to_string(decision.replicates) + " replicates, 16 to 64 are needed (or 0)");
  }
  if (decision.replicates > 0 && !task.header.facts.counts) {
    return bad(
        "uncertainty: the projections are not plain counts (scaled, filtered or corrected), so they cannot be "
        "drawn anew; ask without it");
  }
  if (decision.cps_per_mbq > 0) {
    for (const image::View& view : task.header.geometry.views) {
      if (!(view.duration.count() > 0))
        return bad("cps-per-mbq: the scan does not state how long each view took, which Bq/mL needs");
    }
  }
  return {};
}

double becquerels_per_millilitre(const Decision& decision, const image::ProjectionGeometry& geometry,
                                 const image::VolumeGeometry& grid) {
  double seconds = 0;
  for (const image::View& view : geometry.views) seconds += view.duration.count();
  seconds /= static_cast<double>(geometry.views.size());
  const double millilitres = grid.column_mm.count() * grid.row_mm.count() * grid.slice_mm.count() / 1000.0;
  return 1e6 / (seconds * millilitres * decision.cps_per_mbq);
}

}  // namespace tomogrid::recon
