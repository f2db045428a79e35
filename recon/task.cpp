#include "recon/task.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "recon/collimator.h"

namespace tomogrid::recon {

namespace {

constexpr const char* kServiceDocument =
#include "recon_service_document.inc"
    ;

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

std::string hexadecimal(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
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
  if (flag(task, "attenuation-correction") && task.attenuation) {
    decision.model.attenuation = &*task.attenuation;
    decision.model.attenuation_factor = number(task, "attenuation-factor");
    decision.options.support_within_attenuation = flag(task, "support-from-map");
  } else {
    decision.notices.push_back(
        {"no-attenuation", "attenuation is not corrected: there is no map, or it was turned off"});
  }
  if (!task.header.facts.counts) {
    decision.notices.push_back(
        {"not-counts", "the projections are not plain counts; their noise is not Poisson, as the method assumes"});
  }
  return decision;
}

std::string passport(const Task& task, const Decision& decision, const Plan& plan, const Reconstruction& result) {
  using nlohmann::json;
  const image::VolumeGeometry& grid = plan.volume();
  const image::ProjectionGeometry& detector = plan.projections();
  json likelihood = json::array(), expected = json::array();
  for (const IterationReport& report : result.history) {
    likelihood.push_back(report.log_likelihood);
    expected.push_back(report.expected_counts);
  }
  const Response& response = decision.model.response;
  const json body = {
      {"program", "tomogrid-recon"},
      {"version", TOMOGRID_VERSION},
      {"parameters", json::parse(job::canonical_text(task.parameters))},
      {"unit", result.volume.unit},
      {"unit_meaning",
       "expected unattenuated detected counts per voxel per view of mean duration at the start of the acquisition"},
      {"projections",
       {{"bins", detector.bins},
        {"rows", detector.rows},
        {"views", detector.views.size()},
        {"bin_mm", detector.bin_mm.count()},
        {"row_mm", detector.row_mm.count()}}},
      {"image",
       {{"columns", grid.columns},
        {"rows", grid.rows},
        {"slices", grid.slices},
        {"voxel_mm", grid.column_mm.count()},
        {"slice_mm", grid.slice_mm.count()},
        {"columns_in_support", plan.forecast().columns}}},
      {"model",
       {{"response", decision.response_name},
        {"sigma0_mm", response.enabled ? response.sigma0.count() : 0.0},
        {"sigma_slope", response.enabled ? response.slope : 0.0},
        {"attenuation", decision.model.attenuation != nullptr},
        {"attenuation_factor", decision.model.attenuation_factor},
        {"half_life_s", decision.model.half_life ? json(decision.model.half_life->count()) : json(nullptr)},
        {"scatter", "none"}}},
      {"algorithm",
       {{"subsets", plan.subsets()},
        {"iterations", result.history.size()},
        {"stopped_early", result.stopped_early},
        {"filter_fwhm_mm", decision.filter_fwhm.count()},
        {"penalty", decision.penalty.strength},
        {"penalty_gamma", decision.penalty.gamma}}},
      {"counts",
       {{"measured", result.counts_measured},
        {"modelled", result.counts_modelled},
        {"excluded", result.counts_excluded}}},
      {"log_likelihood", likelihood},
      {"expected_counts", expected},
      {"last_relative_change", result.history.empty() ? 0.0 : result.history.back().change},
      {"fingerprints",
       {{"plan", hexadecimal(plan.fingerprint())},
        {"counts", hexadecimal(fingerprint(task.counts))},
        {"volume", hexadecimal(fingerprint(result.volume.values))}}}};
  return body.dump(2) + "\n";
}

}  // namespace tomogrid::recon
