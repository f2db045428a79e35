// `tomogrid-recon bench`: iterations of known problems beside what this machine can do at best.
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "image/stream_format.h"
#include "recon/buffer.h"
#include "recon/by_hand.h"
#include "recon/run.h"

namespace tomogrid::recon {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Case {
  std::string name;
  std::size_t n = 128, views = 120, subsets = 1, iterations = 20;
  bool attenuated = true;
  int threads = 0;  // 0: all
};

// The geometry of shared data's stir-reference: 565.76 mm across, radius 250 mm, an absorbing elliptic cylinder.
struct Problem {
  image::ProjectionGeometry geometry;
  image::Volume map;
  std::vector<float> counts;  // empty: to be made from the plan
};

bool in_body(double x, double y, double z) {
  return x * x / (165.0 * 165.0) + y * y / (120.0 * 120.0) < 1 && std::fabs(z) < 200;
}

Problem make_problem(const Case& c, const std::string& data) {
  const double voxel = 565.76 / static_cast<double>(c.n), first = -0.5 * static_cast<double>(c.n - 1) * voxel;
  Problem p;
  p.geometry = {.bins = c.n,
                .rows = c.n,
                .bin_mm = Millimetres(voxel),
                .row_mm = Millimetres(voxel),
                .u0 = Millimetres(first),
                .v0 = Millimetres(first),
                .views = {}};
  for (std::size_t k = 0; k < c.views; ++k) {
    p.geometry.views.push_back(
        {.angle = Radians(6.28318530717958647693 * static_cast<double>(k) / static_cast<double>(c.views)),
         .radius = Millimetres(250)});
  }
  p.map.geometry = image::centred_grid(c.n, c.n, c.n, Millimetres(voxel), Millimetres(voxel), Millimetres(voxel));
  p.map.unit = "1/mm";
  p.map.values.resize(c.n * c.n * c.n);
  for (std::size_t i = 0; i < p.map.values.size(); ++i) {
    const double x = first + voxel * static_cast<double>(i % c.n),
                 y = first + voxel * static_cast<double>(i / c.n % c.n),
                 z = first + voxel * static_cast<double>(i / c.n / c.n);
    p.map.values[i] = in_body(x, y, z) ? 0.015F : 0.0F;
  }
  const std::filesystem::path file = std::filesystem::path(data) / ("n" + std::to_string(c.n)) / "proj_att_noisy.s";
  if (!data.empty() && c.attenuated && std::filesystem::exists(file)) {
    p.counts = image::floats_of(read_file(file, gibibytes(1)).or_throw(), p.geometry.elements()).or_throw();
  }
  return p;
}

std::vector<float> made_counts(const Plan& plan) {
  std::vector<float> activity(plan.volume().voxels());
  const image::VolumeGeometry& g = plan.volume();
  for (std::size_t i = 0; i < activity.size(); ++i) {
    const double x = g.x0.count() + g.column_mm.count() * static_cast<double>(i % g.columns),
                 y = g.y0.count() + g.row_mm.count() * static_cast<double>(i / g.columns % g.rows);
    const double z = g.z0.count() + g.slice_mm.count() * static_cast<double>(i / g.columns / g.rows);
    activity[i] = !in_body(x, y, z)                                                        ? 0.0F
                  : (x - 70) * (x - 70) + (y - 25) * (y - 25) + (z - 90) * (z - 90) < 3600 ? 2.5F
                                                                                           : 1.0F;
  }
  std::vector<float> counts = forward_project(plan, activity);
  for (float& value : counts) value = std::floor(value + 0.5F);
  return counts;
}

json measure(const Case& c, const std::string& data) {
  if (c.threads > 0) omp_set_num_threads(c.threads);
  const Problem problem = make_problem(c, data);
  Model model;
  model.response = {.enabled = true, .sigma0 = Millimetres(1.466), .slope = 0.0163};
  model.attenuation = c.attenuated ? &problem.map : nullptr;
  PlanOptions options;
  options.support_radius = Millimetres(240);
  options.subsets = c.subsets;
  const auto planning = Clock::now();
  const Plan plan = make_plan(problem.geometry, model, options).or_throw();
  const double plan_s = since(planning);
  const std::vector<float> counts = problem.counts.empty() ? made_counts(plan) : problem.counts;
  std::vector<double> times;
  auto begin = Clock::now();
  Settings settings{.iterations = c.iterations};
  settings.after_iteration = [&](const IterationReport&, const auto&, const auto&) {
    times.push_back(since(begin));
    begin = Clock::now();
    return true;
  };
  const Reconstruction result = reconstruct(plan, counts, settings).or_throw();
  std::sort(times.begin(), times.end());
  return {{"name", c.name},
          {"threads", omp_get_max_threads()},
          {"subsets", plan.subsets()},
          {"iterations", c.iterations},
          {"iteration_s_median", times[times.size() / 2]},
          {"iteration_s_min", times.front()},
          {"iteration_s_max", times.back()},
          {"plan_s", plan_s},
          {"peak_rss_mib", static_cast<double>(peak_memory().count()) / 1048576.0},
          {"forecast_mib", static_cast<double>(plan.forecast().memory.count()) / 1048576.0},
          {"gflop_per_iteration", plan.forecast().iteration.count() * 1e-9},
          {"instructions", kernels().name},
          {"volume_fingerprint", std::to_string(fingerprint(result.volume.values))}};
}

double fma_rate() {
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const std::size_t rounds = 4000000;
    const auto begin = Clock::now();
    float sink = 0;
#pragma omp parallel reduction(+ : sink)
    sink += kernels().multiply_add(rounds);
    const double work = 24.0 * 16.0 * 2.0 * static_cast<double>(rounds) * omp_get_max_threads();
    if (std::isfinite(sink)) best = std::max(best, work / since(begin) * 1e-9);
  }
  return best;
}

double copy_rate() {
  const std::size_t size = std::size_t{64} << 20;  // floats; 512 MiB in both
  Buffer<float> from(size), to(size);
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < size; ++i) from.data()[i] = to.data()[i] = 1.0F;
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = Clock::now();
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < size; i += 16384) std::copy_n(from.data() + i, 16384, to.data() + i);
    best = std::max(best, 8.0 * static_cast<double>(size) / since(begin) * 1e-9);
  }
  return best;
}

// In a process of its own, so that its peak memory is its own and OpenMP starts afresh.
json in_child(const std::function<json()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) throw Failure(ErrorCode::Internal, "cannot make a pipe");
  std::cout.flush();
  const pid_t child = ::fork();
  if (child < 0) throw Failure(ErrorCode::Internal, "cannot start a process for a case");
  if (child == 0) {
    ::close(ends[0]);
    std::string text;
    try {
      text = work().dump();
    } catch (const std::exception& failure) {
      text = json{{"error", failure.what()}}.dump();
    }
    const bool sent = ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(sent ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (text.empty()) throw Failure(ErrorCode::Internal, "a case ended without a result");
  json result = json::parse(text);
  if (result.contains("error")) throw Failure(ErrorCode::Internal, result["error"].get<std::string>());
  return result;
}

// Threads must not wander while they are timed; libgomp reads this once, when a program starts.
void bind_threads() {
  if (std::getenv("OMP_PROC_BIND") != nullptr) return;
  ::setenv("OMP_PROC_BIND", "true", 1);
  ::setenv("OMP_PLACES", "cores", 1);
  std::vector<std::string> words;
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  const std::string line{std::istreambuf_iterator<char>(file), {}};
  for (std::size_t begin = 0; begin < line.size(); begin = line.find('\0', begin) + 1)
    words.emplace_back(line.c_str() + begin);
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv("/proc/self/exe", arguments.data());
}

int run_bench(const Arguments& arguments) {
  bind_threads();
  const std::string data = arguments.optional_text("data").value_or("");
  const auto iterations = static_cast<std::size_t>(arguments.integer("iterations", 1, 1000));
  std::vector<Case> cases = {{.name = "standard", .iterations = iterations},
                             {.name = "no-attenuation", .iterations = iterations, .attenuated = false},
                             {.name = "small", .n = 64, .views = 60, .iterations = 2 * iterations},
                             {.name = "osem-8", .subsets = 8, .iterations = iterations},
                             {.name = "one-thread", .iterations = iterations, .threads = 1}};
  if (arguments.flag("large")) cases.push_back({.name = "large", .n = 256, .views = 120, .iterations = 3});
  const json machine = in_child([] {
    return json{{"fma_gflop_s", fma_rate()}, {"dram_gb_s", copy_rate()}, {"threads", omp_get_max_threads()}};
  });
  json results = json::array();
  if (!arguments.flag("json")) {
    std::printf("machine: %.0f GFLOP/s fused multiply-add, %.1f GB/s copy from memory (read and written)\n",
                machine["fma_gflop_s"].get<double>(), machine["dram_gb_s"].get<double>());
    std::printf("%-15s %8s %12s %10s %10s %9s %9s %11s\n", "case", "threads", "median s", "least s", "most s", "plan s",
                "MiB", "GFLOP/s");
  }
  for (const Case& c : cases) {
    if (arguments.given("case") && arguments.text("case") != c.name) continue;
    const json r = in_child([&] { return measure(c, data); });
    results.push_back(r);
    if (arguments.flag("json")) continue;
    std::printf("%-15s %8d %12.4f %10.4f %10.4f %9.3f %9.0f %11.1f\n", c.name.c_str(), r["threads"].get<int>(),
                r["iteration_s_median"].get<double>(), r["iteration_s_min"].get<double>(),
                r["iteration_s_max"].get<double>(), r["plan_s"].get<double>(), r["peak_rss_mib"].get<double>(),
                r["gflop_per_iteration"].get<double>() / r["iteration_s_median"].get<double>());
    std::fflush(stdout);
  }
  if (arguments.flag("json")) std::cout << json{{"machine", machine}, {"cases", results}}.dump(2) << "\n";
  return 0;
}

}  // namespace

Command bench_command() {
  Command command;
  command.name = "tomogrid-recon bench";
  command.summary = "times iterations of known problems beside this machine's limits";
  command.usage = "[--json] [--data FOLDER] [options]";
  command.description =
      "standard: 128^3, 120 views, attenuation, collimator response, voxels within 240 mm of the axis. Threads are "
      "bound.\n"
      "The figures are wall time; other work on the machine shows in the median, hardly in the least.";
  command.options = {{"data", "FOLDER", "folder with n128/proj_att_noisy.s (stir-reference); else counts are made"},
                     {"iterations", "N", "timed in each case", "20"},
                     {"case", "NAME", "only this case"},
                     {"large", "", "also 256^3 with 120 views"}};
  command.examples = {"tomogrid-recon bench", "tomogrid-recon bench --json --case standard"};
  command.run = run_bench;
  return command;
}

}  // namespace tomogrid::recon
