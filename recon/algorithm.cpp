// ML-EM (Shepp and Vardi 1982; Lange and Carson 1984) and ordered subsets (Hudson and Larkin 1994).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "recon/plan.h"

namespace tomogrid::recon {

namespace {

constexpr double kCountsMost = 1e9;  // in one bin; a camera's frame holds 65535

Error bad(std::string message) {
  return Error{ErrorCode::BadInput, std::move(message)};
}

Result<double> check_counts(const PlanData& plan, std::span<const float> counts, const char* what) {
  if (counts.size() != plan.projections.elements()) {
    return bad(std::string(what) + ": " + std::to_string(counts.size()) + " numbers, the header says " +
               std::to_string(plan.projections.elements()));
  }
  double total = 0;
  const std::size_t view_size = plan.projections.bins * plan.projections.rows;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double value = static_cast<double>(counts[i]);
    if (value >= 0 && value <= kCountsMost) {
      total += value;
      continue;
    }
    const std::string kind = std::isnan(value) ? "not a number" : value < 0 ? "negative" : "above 1e9";
    return bad(std::string(what) + ": view " + std::to_string(i / view_size) + " has a bin that is " + kind);
  }
  return total;
}

// Sum over the support in double, in blocks of one column so that the order is fixed.
double masked_sum(const PlanData& plan, const float* image) {
  double total = 0;
  for (std::size_t c = 0; c < plan.columns.size(); ++c) {
    double sum = 0;
    for (std::size_t row = 0; row < plan.axial.rows; ++row)
      sum += static_cast<double>(image[c * plan.axial.line() + plan.axial.at(row)]);
    total += sum;
  }
  return total;
}

void set_uniform(const PlanData& plan, double counts, float* image) {
  double sensitivity = 0;
  for (const SubsetPlan& subset : plan.subsets) sensitivity += masked_sum(plan, subset.sensitivity.data());
  const float value = static_cast<float>(sensitivity > 0 && counts > 0 ? counts / sensitivity : 1.0);
  std::memset(image, 0, plan.image_size() * sizeof(float));
  for (std::size_t c = 0; c < plan.columns.size(); ++c) {
    for (std::size_t row = 0; row < plan.axial.rows; ++row) image[c * plan.axial.line() + plan.axial.at(row)] = value;
  }
}

// The order of subsets: each as far as possible from those just used (bit reversal, made a permutation of any count).
std::vector<std::size_t> subset_order(std::size_t count) {
  std::vector<std::size_t> order;
  std::size_t power = 1;
  while (power < count) power *= 2;
  for (std::size_t i = 0; i < power; ++i) {
    std::size_t reversed = 0;
    for (std::size_t bit = 1; bit < power; bit *= 2) reversed = 2 * reversed + (i / bit & 1);
    if (reversed < count) order.push_back(reversed);
  }
  return order;
}

void penalise(const PlanData& plan, const Neighbours& neighbours, const Penalty& penalty, std::size_t subset,
              const float* estimate, float* out) {
  neighbours.gradient(plan, estimate, static_cast<float>(penalty.gamma), out);
  const float scale = static_cast<float>(penalty.strength * static_cast<double>(plan.subsets[subset].views.size()));
  for (std::size_t i = 0; i < plan.image_size(); ++i) out[i] *= scale;
}

std::uint64_t run_fingerprint(const Plan& plan, std::span<const float> counts, const Settings& settings) {
  std::uint64_t hash = fingerprint(settings.background, fingerprint(counts, plan.fingerprint()));
  if (settings.start != nullptr) hash = fingerprint(settings.start->values, hash);
  const float penalty[2] = {static_cast<float>(settings.penalty.strength), static_cast<float>(settings.penalty.gamma)};
  if (settings.penalty.strength > 0) hash = fingerprint(penalty, hash);
  return hash;
}

}  // namespace

Result<Reconstruction> reconstruct(const Plan& plan, std::span<const float> counts, const Settings& settings,
                                   Ranks* ranks) {
  const PlanData& p = plan.data();
  SingleRank alone;
  Ranks& all = ranks != nullptr ? *ranks : alone;
  if (!(settings.penalty.strength >= 0 && settings.penalty.strength <= 100 && settings.penalty.gamma >= 0 &&
        settings.penalty.gamma <= 100)) {
    return bad("penalty: strength and gamma are not between 0 and 100");
  }
  if (settings.iterations == 0 || settings.iterations > 10000) return bad("iterations: not between 1 and 10000");
  auto measured = check_counts(p, counts, "projections");
  if (!measured) return measured.error();
  double background_total = 0;
  if (!settings.background.empty()) {
    auto background = check_counts(p, settings.background, "background");
    if (!background) return background.error();
    background_total = *background;
  }
  if (settings.start != nullptr && !(settings.start->geometry == p.volume))
    return bad("start image: its grid is not the plan's");
  const std::uint64_t run = run_fingerprint(plan, counts, settings);

  Planes planes{to_planes(p, counts),
                settings.background.empty() ? Buffer<float>() : to_planes(p, settings.background)};
  Buffer<float> estimate(p.image_size());
  Reconstruction result;
  result.counts_measured = *measured;
  if (settings.resume != nullptr) {
    if (settings.resume->fingerprint != run || settings.resume->estimate.size() != estimate.size()) {
      return bad("checkpoint: it belongs to another scan or other parameters");
    }
    std::copy(settings.resume->estimate.begin(), settings.resume->estimate.end(), estimate.data());
    result.history = settings.resume->history;
  } else if (settings.start != nullptr) {
    to_image(p, settings.start->values, estimate.data());
  } else {
    set_uniform(p, std::max(*measured - background_total, 0.0), estimate.data());
  }

  const Error cancelled{ErrorCode::Cancelled, "the reconstruction was cancelled"};
  Projector projector(p, all);
  std::optional<Neighbours> neighbours;
  if (settings.penalty.strength > 0) neighbours.emplace(p);
  Buffer<float> penalty(neighbours ? p.image_size() : 0);
  const std::vector<std::size_t> order = subset_order(p.subsets.size());
  std::vector<PlaneTotals> totals(p.projections.views.size());
  for (std::size_t iteration = result.history.size() + 1; iteration <= settings.iterations; ++iteration) {
    for (const std::size_t subset : order) {
      if (settings.keep_going && !settings.keep_going()) return cancelled;
      if (neighbours) penalise(p, *neighbours, settings.penalty, subset, estimate.data(), penalty.data());
      // estimate <- estimate * A'(y / ybar) / (A'1 + penalty)
      projector.em_update(subset, planes, neighbours ? penalty.data() : nullptr, estimate.data(), totals);
    }
    IterationReport report{.iteration = iteration, .iterations = settings.iterations};
    for (const PlaneTotals& view : totals) {
      report.log_likelihood += view.log_term - view.expected;
      report.expected_counts += view.expected;
      report.excluded_counts += view.excluded;
    }
    if (!result.history.empty()) {
      const double before = result.history.back().log_likelihood;
      report.change = (report.log_likelihood - before) / std::max(std::fabs(before), 1e-300);
    }
    result.history.push_back(report);
    const bool settled =
        settings.stop_change > 0 && result.history.size() > 1 && std::fabs(report.change) < settings.stop_change;
    if (settings.after_iteration) {
      const auto volume = [&] { return image::Volume{p.volume, to_volume(p, estimate.data()), "counts/voxel/view"}; };
      const auto checkpoint = [&] {
        return Checkpoint{run, result.history, std::vector<float>(estimate.data(), estimate.data() + estimate.size())};
      };
      if (!settings.after_iteration(report, volume, checkpoint)) return cancelled;
    }
    if (settled && iteration < settings.iterations) {
      result.stopped_early = true;
      break;
    }
  }
  for (const SubsetPlan& subset : p.subsets) {
    for (std::size_t c = 0; c < p.columns.size(); ++c) {
      double sum = 0;
      for (std::size_t i = c * p.axial.line(); i < (c + 1) * p.axial.line(); ++i) {
        sum += static_cast<double>(subset.sensitivity.data()[i]) * static_cast<double>(estimate.data()[i]);
      }
      result.counts_modelled += sum;
    }
  }
  result.counts_modelled += background_total;
  if (!result.history.empty()) result.counts_excluded = result.history.back().excluded_counts;
  result.volume = {p.volume, to_volume(p, estimate.data()), "counts/voxel/view"};
  if (settings.filter_fwhm.count() > 0) smooth(result.volume, settings.filter_fwhm);
  return result;
}

}  // namespace tomogrid::recon
