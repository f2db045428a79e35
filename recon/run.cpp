#include "recon/run.h"

#include <omp.h>
#include <sys/resource.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "recon/plan_cache.h"
#include "recon/uncertainty.h"

namespace tomogrid::recon {

namespace {

using Clock = std::chrono::steady_clock;
Seconds since(Clock::time_point begin) {
  return Clock::now() - begin;
}

void send_text(Processes& ranks, std::string& text) {
  std::vector<std::uint8_t> bytes(text.begin(), text.end());
  ranks.broadcast(bytes);
  text.assign(bytes.begin(), bytes.end());
}

void send_floats(Processes& ranks, std::vector<float>& values) {
  const ByteView view = image::as_bytes(values);
  std::vector<std::uint8_t> bytes(view.begin(), view.end());
  ranks.broadcast(bytes);
  values.resize(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
}

void send_projections(Processes& ranks, image::ProjectionsHeader& header, std::vector<float>& counts) {
  std::string text = ranks.rank() == 0 ? image::encode_header(header.geometry, header.facts) : std::string();
  send_text(ranks, text);
  send_floats(ranks, counts);
  header = image::parse_projections_header(text).or_throw();
}

std::span<const float> counts_of(const std::optional<ScatterInput>& window) {
  return window ? std::span<const float>(window->counts) : std::span<const float>();
}

}  // namespace

std::optional<Task> share(Processes& ranks, std::optional<Task> task) {
  if (ranks.size() == 1) return task;
  std::vector<std::uint8_t> present(5, 0);
  if (task) {
    present = {1, task->attenuation.has_value(), task->resume.has_value(), task->scatter_lower.has_value(),
               task->scatter_upper.has_value()};
  }
  ranks.broadcast(present);
  if (present[0] == 0) return std::nullopt;
  if (!task) task.emplace();
  std::string parameters = job::canonical_text(task->parameters);
  send_text(ranks, parameters);
  send_projections(ranks, task->header, task->counts);
  task->parameters = job::complete_parameters(service(), job::parse_parameters(parameters).or_throw()).or_throw();
  if (present[1] != 0) {
    if (!task->attenuation) task->attenuation.emplace();
    std::string map =
        ranks.rank() == 0 ? image::encode_header(task->attenuation->geometry, task->attenuation->unit) : std::string();
    send_text(ranks, map);
    send_floats(ranks, task->attenuation->values);
    task->attenuation->geometry = image::parse_volume_header(map).or_throw().geometry;
  }
  if (present[2] != 0) {
    std::vector<std::uint8_t> bytes = ranks.rank() == 0 ? encode(*task->resume) : std::vector<std::uint8_t>();
    ranks.broadcast(bytes);
    task->resume = parse_checkpoint(bytes).or_throw();
  }
  for (const auto& [window, there] :
       {std::pair(&task->scatter_lower, present[3]), std::pair(&task->scatter_upper, present[4])}) {
    if (there == 0) continue;
    if (!*window) window->emplace();
    send_projections(ranks, (*window)->header, (*window)->counts);
  }
  return task;
}

TaskRun::TaskRun(const Task& task, Processes& ranks, const Listener& listener, Limits limits)
    : task_(task), ranks_(ranks), listener_(listener), limits_(limits), decision_(decide(task)) {}

Result<void> TaskRun::prepare() {
  if (auto sound = check(task_, decision_); !sound) return sound;
  const image::ProjectionGeometry& whole = task_.header.geometry;
  auto slab = slab_of(whole, decision_.model.response, decision_.first_slice, decision_.last_slice);
  if (!slab) return slab.error();
  slab_ = *slab;
  if (ranks_.rank() == 0 && listener_.notice) {
    for (const Notice& notice : decision_.notices) listener_.notice(notice);
  }
  PlanOptions options = decision_.options;
  options.memory_limit = limits_.memory;
  options.instructions = limits_.instructions;
  const auto begin = Clock::now();
  const image::ProjectionGeometry& part = slab_ ? rows_of(whole, *slab_) : whole;
  if (limits_.plan_cache.empty()) {
    auto plan = make_plan(part, decision_.model, options, &ranks_);
    if (!plan) return plan.error();
    plan_.emplace(*std::move(plan));
  } else {
    auto made = make_plan_cached(limits_.plan_cache, part, decision_.model, options, &ranks_);
    if (!made) return made.error();
    plan_.emplace(std::move(made->plan));
    plan_reused_ = made->reused;
    if (made->notice && ranks_.rank() == 0 && listener_.notice) listener_.notice({"plan-cache", *made->notice});
  }
  plan_time_ = since(begin);
  return {};
}

bool TaskRun::keep_going() {
  std::vector<double> stop{ranks_.rank() == 0 && listener_.cancelled && listener_.cancelled() ? 1.0 : 0.0};
  ranks_.merge(stop);
  return stop[0] == 0.0;
}

Settings TaskRun::settings() {
  Settings settings{.iterations = decision_.iterations,
                    .filter_fwhm = decision_.filter_fwhm,
                    .stop_change = decision_.stop_change,
                    .penalty = decision_.penalty};
  settings.keep_going = [this] { return keep_going(); };
  return settings;
}

std::vector<float> TaskRun::rows(std::span<const float> projections) const {
  if (slab_ && projections.size() == task_.header.geometry.elements())
    return rows_of(task_.header.geometry, projections, *slab_);
  return {projections.begin(), projections.end()};  // of a wrong size: reconstruct() says so
}

std::vector<float> TaskRun::background(std::span<const float> lower, std::span<const float> upper) const {
  if (decision_.scatter.method == ScatterMethod::None) return {};
  return rows(scatter_background(decision_.scatter, task_.header.geometry, lower, upper));
}

image::Volume TaskRun::finished(const image::Volume& volume) const {
  image::Volume result = slab_ ? slices_of(volume, *slab_) : volume;
  if (!(decision_.cps_per_mbq > 0)) return result;
  const auto factor = static_cast<float>(becquerels_per_millilitre(decision_, task_.header.geometry, volume.geometry));
  for (float& value : result.values) value *= factor;
  result.unit = "Bq/mL";
  return result;
}

Result<Reconstruction> TaskRun::iterate() {
  for (const auto* window : {&task_.scatter_lower, &task_.scatter_upper}) {
    if (*window && (*window)->counts.size() != task_.header.geometry.elements())
      return Error{ErrorCode::BadInput, "scatter: another number of counts than the projections have"};
  }
  if (decision_.replicates > 0) {
    auto sound = check_are_counts(task_.counts, task_.header.geometry.bins * task_.header.geometry.rows);
    if (!sound) return sound.error();
  }
  const auto begin = Clock::now();
  const std::vector<float> scatter = background(counts_of(task_.scatter_lower), counts_of(task_.scatter_upper));
  background_counts_ = 0;
  for (const float value : scatter) background_counts_ += static_cast<double>(value);
  Settings how = settings();
  how.background = scatter;
  if (task_.resume) how.resume = &*task_.resume;
  const std::size_t before = task_.resume ? task_.resume->history.size() : 0;
  how.after_iteration = [&](const IterationReport& report, const auto& estimate, const auto& checkpoint) {
    if (ranks_.rank() == 0 && listener_.iteration) {
      const double done = static_cast<double>(report.iteration - before),
                   left = static_cast<double>(report.iterations - report.iteration),
                   replicates = static_cast<double>(decision_.replicates * report.iterations);
      listener_.iteration(
          report, since(begin) * ((left + replicates) / done),
          [&] { return slab_ ? slices_of(estimate(), *slab_) : estimate(); }, checkpoint);
    }
    return true;
  };
  auto result = reconstruct(*plan_, slab_ ? rows(task_.counts) : task_.counts, how, &ranks_);
  if (result) result->volume = finished(result->volume);
  iterate_time_ = since(begin);
  return result;
}

Result<std::optional<image::Volume>> TaskRun::uncertainty(const Reconstruction& result) {
  if (decision_.replicates == 0) return std::optional<image::Volume>{};
  const image::ProjectionGeometry& geometry = task_.header.geometry;
  const std::size_t view_size = geometry.bins * geometry.rows;
  const auto begin = Clock::now();
  // Scatter windows are drawn anew as well; one that holds an estimate and no counts stays as it is.
  const auto resampler = [&](std::span<const float> counts, std::uint32_t window) -> std::optional<Bootstrap> {
    if (counts.empty() || !check_are_counts(counts, view_size)) return std::nullopt;
    return Bootstrap(counts, view_size, decision_.seed, window);
  };
  const std::span<const float> below = counts_of(task_.scatter_lower), above = counts_of(task_.scatter_upper);
  const auto counts = resampler(task_.counts, 0), lower = resampler(below, 1), upper = resampler(above, 2);
  Settings how = settings();
  how.iterations = result.history.size();  // as many as the volume had, whatever rule stopped it
  how.stop_change = 0;
  Spread spread;
  for (std::uint32_t i = 0; i < decision_.replicates; ++i) {
    const std::vector<float> lower_drawn = lower ? lower->replicate(i) : std::vector<float>(below.begin(), below.end());
    const std::vector<float> upper_drawn = upper ? upper->replicate(i) : std::vector<float>(above.begin(), above.end());
    const std::vector<float> scatter = background(lower_drawn, upper_drawn);
    how.background = scatter;
    const auto replicate = reconstruct(*plan_, rows(counts->replicate(i)), how, &ranks_);
    if (!replicate) return replicate.error();
    spread.add(finished(replicate->volume).values);
    if (ranks_.rank() == 0 && listener_.replicate) {
      const double left = static_cast<double>(decision_.replicates - i - 1) / static_cast<double>(i + 1);
      listener_.replicate(i + 1, decision_.replicates, since(begin) * left);
    }
  }
  uncertainty_time_ = since(begin);
  return std::optional(image::Volume{result.volume.geometry, spread.deviation(), result.volume.unit});
}

std::string TaskRun::passport(const Reconstruction& result, const std::optional<image::Volume>& deviation) const {
  return recon::passport({.task = task_,
                          .decision = decision_,
                          .plan = *plan_,
                          .slab = slab_,
                          .result = result,
                          .background_counts = background_counts_,
                          .deviation = deviation ? &*deviation : nullptr});
}

std::string TaskRun::record(Seconds waited, Seconds written) const {
  const Forecast& forecast = plan_->forecast();
  const nlohmann::json body{{"seconds",
                             {{"plan", plan_time_.count()},
                              {"wait", waited.count()},
                              {"iterate", iterate_time_.count()},
                              {"uncertainty", uncertainty_time_.count()},
                              {"write", written.count()}}},
                            {"plan_reused", plan_reused_},
                            {"threads", omp_get_max_threads()},
                            {"ranks", ranks_.size()},
                            {"bytes_sent_by_rank_0", ranks_.bytes_sent()},
                            {"instructions", kernels(limits_.instructions).name},
                            {"memory",
                             {{"forecast_bytes", forecast.memory.count()},
                              {"peak_bytes", peak_memory().count()},
                              {"attenuation_stored", forecast.attenuation_stored}}},
                            {"flop_per_iteration", forecast.iteration.count()}};
  return body.dump(2) + "\n";
}

Bytes peak_memory() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return Bytes(static_cast<std::uint64_t>(usage.ru_maxrss) * 1024);
}

}  // namespace tomogrid::recon
