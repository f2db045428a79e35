#include <nlohmann/json.hpp>

#include "recon/task.h"

namespace tomogrid::recon {

namespace {

using nlohmann::json;

std::string hexadecimal(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

const char* meaning_of(const std::string& unit) {
  if (unit == "Bq/mL")
    return "activity concentration at the start of the acquisition, by the sensitivity that was given";
  return "expected unattenuated detected counts per voxel per view of mean duration at the start of the acquisition";
}

json scatter_of(const Account& account) {
  const ScatterModel& model = account.decision.scatter;
  if (model.method == ScatterMethod::None) {
    json none = json::object();
    none["method"] = "none";
    return none;
  }
  json scatter{{"method", model.method == ScatterMethod::DualWindow ? "dual energy window" : "triple energy window"},
               {"photopeak_kev", model.photopeak_kev},
               {"lower_kev", model.lower_kev},
               {"upper_kev", model.upper_kev},
               {"filter_fwhm_mm", model.filter_fwhm.count()},
               {"counts", account.background_counts}};
  if (model.method == ScatterMethod::DualWindow) scatter["factor"] = model.factor;
  return scatter;
}

json model_of(const Account& account) {
  const Decision& decision = account.decision;
  const Response& response = decision.model.response;
  const bool attenuated = decision.model.attenuation != nullptr;
  return {{"response", decision.response_name},
          {"sigma0_mm", response.enabled ? response.sigma0.count() : 0.0},
          {"sigma_slope", response.enabled ? response.slope : 0.0},
          {"attenuation", attenuated},
          {"attenuation_factor", attenuated ? json(decision.model.attenuation_factor) : json(nullptr)},
          {"attenuation_factor_reason", decision.attenuation_reason},
          {"half_life_s", decision.model.half_life ? json(decision.model.half_life->count()) : json(nullptr)},
          {"scatter", scatter_of(account)}};
}

json image_of(const Account& account) {
  const image::VolumeGeometry& grid = account.result.volume.geometry;
  json image{{"columns", grid.columns},
             {"rows", grid.rows},
             {"slices", grid.slices},
             {"voxel_mm", grid.column_mm.count()},
             {"slice_mm", grid.slice_mm.count()},
             {"columns_in_support", account.plan.forecast().columns}};
  if (account.slab) {
    image["first_slice"] = account.slab->first + 1;
    image["rows_computed"] = account.slab->row_count;
  }
  return image;
}

}  // namespace

std::string passport(const Account& account) {
  const Decision& decision = account.decision;
  const Reconstruction& result = account.result;
  const image::ProjectionGeometry& detector = account.task.header.geometry;
  json likelihood = json::array(), expected = json::array();
  for (const IterationReport& report : result.history) {
    likelihood.push_back(report.log_likelihood);
    expected.push_back(report.expected_counts);
  }
  json body = {{"program", "tomogrid-recon"},
               {"version", TOMOGRID_VERSION},
               {"parameters", json::parse(job::canonical_text(account.task.parameters))},
               {"unit", result.volume.unit},
               {"unit_meaning", meaning_of(result.volume.unit)},
               {"projections",
                {{"bins", detector.bins},
                 {"rows", detector.rows},
                 {"views", detector.views.size()},
                 {"bin_mm", detector.bin_mm.count()},
                 {"row_mm", detector.row_mm.count()}}},
               {"image", image_of(account)},
               {"model", model_of(account)},
               {"algorithm",
                {{"subsets", account.plan.subsets()},
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
                {{"plan", hexadecimal(account.plan.fingerprint())},
                 {"counts", hexadecimal(fingerprint(account.task.counts))},
                 {"volume", hexadecimal(fingerprint(result.volume.values))}}}};
  if (account.deviation != nullptr) {
    body["uncertainty"] = {{"method", "Poisson bootstrap"},
                           {"replicates", decision.replicates},
                           {"seed", decision.seed},
                           {"meaning", "standard deviation of each voxel, in the volume's unit"}};
    body["fingerprints"]["deviation"] = hexadecimal(fingerprint(account.deviation->values));
  }
  return body.dump(2) + "\n";
}

}  // namespace tomogrid::recon
