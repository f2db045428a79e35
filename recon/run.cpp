#include "recon/run.h"

#include <omp.h>
#include <sys/resource.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/text.h"

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

}  // namespace

std::optional<Task> share(Processes& ranks, std::optional<Task> task) {
  if (ranks.size() == 1) return task;
  std::vector<std::uint8_t> present{static_cast<std::uint8_t>(task ? 1 : 0),
                                    static_cast<std::uint8_t>(task && task->attenuation ? 1 : 0),
                                    static_cast<std::uint8_t>(task && task->resume ? 1 : 0)};
  ranks.broadcast(present);
  if (present[0] == 0) return std::nullopt;
  if (!task) task.emplace();
  std::string parameters = job::canonical_text(task->parameters);
  std::string header =
      ranks.rank() == 0 ? image::encode_header(task->header.geometry, task->header.facts) : std::string();
  send_text(ranks, parameters);
  send_text(ranks, header);
  send_floats(ranks, task->counts);
  task->parameters = job::complete_parameters(service(), job::parse_parameters(parameters).or_throw()).or_throw();
  task->header = image::parse_projections_header(header).or_throw();
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
  return task;
}

TaskRun::TaskRun(const Task& task, Processes& ranks, const Listener& listener, Limits limits)
    : task_(task), ranks_(ranks), listener_(listener), limits_(limits), decision_(decide(task)) {}

Result<void> TaskRun::prepare() {
  if (ranks_.rank() == 0 && listener_.notice) {
    for (const Notice& notice : decision_.notices) listener_.notice(notice);
  }
  PlanOptions options = decision_.options;
  options.memory_limit = limits_.memory;
  options.instructions = limits_.instructions;
  const auto begin = Clock::now();
  auto plan = make_plan(task_.header.geometry, decision_.model, options, &ranks_);
  if (!plan) return plan.error();
  plan_.emplace(*std::move(plan));
  plan_time_ = since(begin);
  return {};
}

bool TaskRun::keep_going() {
  std::vector<double> stop{ranks_.rank() == 0 && listener_.cancelled && listener_.cancelled() ? 1.0 : 0.0};
  ranks_.merge(stop);
  return stop[0] == 0.0;
}

Result<Reconstruction> TaskRun::iterate() {
  Settings settings{.iterations = decision_.iterations,
                    .filter_fwhm = decision_.filter_fwhm,
                    .stop_change = decision_.stop_change,
                    .penalty = decision_.penalty};
  if (task_.resume) settings.resume = &*task_.resume;
  settings.keep_going = [this] { return keep_going(); };
  const auto begin = Clock::now();
  const std::size_t before = task_.resume ? task_.resume->history.size() : 0;
  settings.after_iteration = [&](const IterationReport& report, const auto& estimate, const auto& checkpoint) {
    if (ranks_.rank() == 0 && listener_.iteration) {
      const double done = static_cast<double>(report.iteration - before),
                   left = static_cast<double>(report.iterations - report.iteration);
      listener_.iteration(report, since(begin) * (left / done), estimate, checkpoint);
    }
    return true;
  };
  auto result = reconstruct(*plan_, task_.counts, settings, &ranks_);
  iterate_time_ = since(begin);
  return result;
}

std::string TaskRun::record(Seconds waited, Seconds written) const {
  const Forecast& forecast = plan_->forecast();
  const nlohmann::json body{{"seconds",
                             {{"plan", plan_time_.count()},
                              {"wait", waited.count()},
                              {"iterate", iterate_time_.count()},
                              {"write", written.count()}}},
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
