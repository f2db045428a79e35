// `tomogrid-recon bench`: iterations of known problems beside what this machine can do at best.
#include <omp.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "image/files.h"
#include "image/stream_format.h"
#include "recon/buffer.h"
#include "recon/by_hand.h"
#include "recon/plan_cache.h"
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
  int threads = 0;     // 0: all
  bool cached = true;  // also time a plan from a cache
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

Model model_of(const Case& c, const Problem& problem) {
  Model model;
  model.response = {.enabled = true, .sigma0 = Millimetres(1.466), .slope = 0.0163};
  model.attenuation = c.attenuated ? &problem.map : nullptr;
  return model;
}

PlanOptions options_of(const Case& c) {
  PlanOptions options;
  options.support_radius = Millimetres(240);
  options.subsets = c.subsets;
  return options;
}

// Seconds until the plan is there from a file that was just written, and so is in memory: the least of three.
double time_cached_plan(const Case& c, const Problem& problem) {
  const TemporaryFolder folder;
  double best = 1e9;
  for (int run = 0; run < 4; ++run) {
    const auto begin = Clock::now();
    const CachedPlan made =
        make_plan_cached(folder.path(), problem.geometry, model_of(c, problem), options_of(c)).or_throw();
    const double seconds = since(begin);
    if (made.notice) throw Failure(ErrorCode::Storage, *made.notice);
    if (made.reused) best = std::min(best, seconds);
  }
  return best;
}

json measure(const Case& c, const std::string& data) {
  if (c.threads > 0) omp_set_num_threads(c.threads);
  const Problem problem = make_problem(c, data);
  const auto planning = Clock::now();
  const Plan plan = make_plan(problem.geometry, model_of(c, problem), options_of(c)).or_throw();
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
  const double peak_mib = static_cast<double>(peak_memory().count()) / 1048576.0;
  return {{"name", c.name},
          {"threads", omp_get_max_threads()},
          {"subsets", plan.subsets()},
          {"iterations", c.iterations},
          {"iteration_s_median", times[times.size() / 2]},
          {"iteration_s_min", times.front()},
          {"iteration_s_max", times.back()},
          {"plan_s", plan_s},
          {"plan_cached_s", c.cached ? json(time_cached_plan(c, problem)) : json()},
          {"peak_rss_mib", peak_mib},
          {"forecast_mib", static_cast<double>(plan.forecast().memory.count()) / 1048576.0},
          {"gflop_per_iteration", plan.forecast().iteration.count() * 1e-9},
          {"instructions", kernels().name},
          {"volume_fingerprint", std::to_string(fingerprint(result.volume.values))}};
}

// Two threads over one, and the like, from runs in turn on one plan: what else the machine does meets both alike.
json measure_threads(const Case& c, const std::string& data) {
  constexpr int kPairs = 9;
  const int most = omp_get_max_threads();
  const Problem problem = make_problem(c, data);
  const Plan plan = make_plan(problem.geometry, model_of(c, problem), options_of(c)).or_throw();
  const std::vector<float> counts = problem.counts.empty() ? made_counts(plan) : problem.counts;
  const auto iteration_with = [&](int threads) {
    omp_set_num_threads(threads);
    double least = 1e9;
    auto begin = Clock::now();
    Settings settings{.iterations = 4};
    settings.after_iteration = [&](const IterationReport&, const auto&, const auto&) {
      least = std::min(least, since(begin));
      begin = Clock::now();
      return true;
    };
    reconstruct(plan, counts, settings).or_throw();
    return least;
  };
  std::vector<double> ratios;
  for (int pair = 0; pair < kPairs; ++pair) {
    const double one = iteration_with(1);
    ratios.push_back(one / iteration_with(most));
  }
  std::sort(ratios.begin(), ratios.end());
  return {{"name", c.name},
          {"threads", most},
          {"pairs", kPairs},
          {"speedup_median", ratios[ratios.size() / 2]},
          {"speedup_min", ratios.front()},
          {"speedup_max", ratios.back()}};
}

// The same iterations by all ranks that mpirun has started; every rank calls it, rank 0 has the result.
json measure_ranks(const Case& c, const std::string& data, Processes& ranks) {
  const Problem problem = make_problem(c, data);
  const Plan plan = make_plan(problem.geometry, model_of(c, problem), options_of(c), &ranks).or_throw();
  std::vector<float> counts = problem.counts;
  if (counts.empty()) {  // as one rank makes them
    std::vector<std::uint8_t> bytes;
    if (ranks.rank() == 0) {
      const std::vector<float> made =
          made_counts(make_plan(problem.geometry, model_of(c, problem), options_of(c)).or_throw());
      const ByteView view = image::as_bytes(made);
      bytes.assign(view.begin(), view.end());
    }
    ranks.broadcast(bytes);
    counts.resize(problem.geometry.elements());
    std::memcpy(counts.data(), bytes.data(), bytes.size());
  }
  std::vector<double> times;
  const std::uint64_t sent_before = ranks.bytes_sent();
  auto begin = Clock::now();
  Settings settings{.iterations = c.iterations};
  settings.after_iteration = [&](const IterationReport&, const auto&, const auto&) {
    times.push_back(since(begin));
    begin = Clock::now();
    return true;
  };
  const Reconstruction result = reconstruct(plan, counts, settings, &ranks).or_throw();
  std::vector<double> sent(ranks.size(), 0.0), peaks(ranks.size(), 0.0);
  sent[ranks.rank()] = static_cast<double>(ranks.bytes_sent() - sent_before);
  peaks[ranks.rank()] = static_cast<double>(peak_memory().count()) / 1048576.0;
  ranks.merge(sent);
  ranks.merge(peaks);
  double all_sent = 0;
  for (const double bytes : sent) all_sent += bytes;
  std::sort(times.begin(), times.end());
  return {{"name", c.name},
          {"ranks", ranks.size()},
          {"threads", omp_get_max_threads()},
          {"iterations", c.iterations},
          {"iteration_s_median", times[times.size() / 2]},
          {"iteration_s_min", times.front()},
          {"iteration_s_max", times.back()},
          {"bytes_sent_per_iteration", all_sent / static_cast<double>(c.iterations)},
          {"peak_rss_mib_most", *std::max_element(peaks.begin(), peaks.end())},
          {"volume_fingerprint", std::to_string(fingerprint(result.volume.values))}};
}

// Every processor again, and threads as a user's program has them: bind_threads() bound this one.
void leave_binding() {
  cpu_set_t all;
  std::memset(&all, 0xFF, sizeof all);
  ::sched_setaffinity(0, sizeof all, &all);
  ::unsetenv("OMP_PROC_BIND");
  ::unsetenv("OMP_PLACES");
}

// OSEM of 8 subsets and 8 iterations by the program itself, from an Interfile scan and map to a NIfTI file: as a user waits
// for it. The median, least and most of `runs`.
json measure_files(const std::string& data, int runs) {
  const Case c{.name = "osem-8x8-files"};
  Problem problem = make_problem(c, data);
  if (problem.counts.empty())
    problem.counts = made_counts(make_plan(problem.geometry, model_of(c, problem), options_of(c)).or_throw());
  const TemporaryFolder folder;
  const std::string scan = (folder.path() / "scan.hs").string(), map = (folder.path() / "map.hv").string(),
                    volume = (folder.path() / "volume.nii").string();
  image::save_scan(scan, {problem.geometry, {}, std::move(problem.counts)}).or_throw();
  image::save_volume(map, problem.map).or_throw();
  const std::vector<std::string> words{
      "tomogrid-recon", scan,          "-o",          volume, "--attenuation",       map,    "--attenuation-unit", "1/mm",
      "--subsets",      "8",           "--iterations", "8",   "--support-from-map", "false", "--support-radius-mm", "240",
      "--sigma0-mm",    "1.466",       "--sigma-slope", "0.0163", "--attenuation-factor", "1"};
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::vector<double> times;
  for (int run = 0; run < runs; ++run) {
    const auto begin = Clock::now();
    const pid_t child = ::fork();
    if (child < 0) throw Failure(ErrorCode::Internal, "cannot start a process for a case");
    if (child == 0) {
      if (std::freopen("/dev/null", "w", stdout) == nullptr || std::freopen("/dev/null", "w", stderr) == nullptr)
        ::_exit(126);
      leave_binding();
      ::execv("/proc/self/exe", arguments.data());
      ::_exit(127);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0) throw Failure(ErrorCode::Internal, "a reconstruction from file to file failed");
    times.push_back(since(begin));
  }
  std::sort(times.begin(), times.end());
  return {{"name", c.name}, {"runs", runs}, {"wall_s_median", times[times.size() / 2]}, {"wall_s_min", times.front()},
          {"wall_s_max", times.back()}};
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

// Under mpirun: one case, one line of JSON. mpirun binds; processes are not forked and threads not bound here.
int run_ranks(const Arguments& arguments, Processes& ranks) {
  Case c{.name = "standard", .iterations = static_cast<std::size_t>(arguments.integer("iterations", 1, 1000))};
  if (arguments.given("case") && arguments.text("case") == "small")
    c = {"small", 64, 60, 1, c.iterations, true, 0, false};
  const json result = measure_ranks(c, arguments.optional_text("data").value_or(""), ranks);
  if (ranks.rank() == 0) std::cout << result.dump() << std::endl;
  return 0;
}

int run_bench(const Arguments& arguments) {
  if (started_by_mpi()) {
    const std::unique_ptr<Processes> ranks = join_processes();
    return run_ranks(arguments, *ranks);
  }
  bind_threads();
  const std::string data = arguments.optional_text("data").value_or("");
  const auto iterations = static_cast<std::size_t>(arguments.integer("iterations", 1, 1000));
  std::vector<Case> cases = {{.name = "standard", .iterations = iterations},
                             {.name = "no-attenuation", .iterations = iterations, .attenuated = false},
                             {.name = "small", .n = 64, .views = 60, .iterations = 2 * iterations},
                             {.name = "osem-8", .subsets = 8, .iterations = iterations},
                             {.name = "one-thread", .iterations = iterations, .threads = 1}};
  if (arguments.flag("large"))
    cases.push_back(
        {.name = "large", .n = 256, .views = 120, .iterations = std::min<std::size_t>(iterations, 3), .cached = false});
  const bool skipped = arguments.flag("skip-machine");
  const json machine = skipped ? json::object() : in_child([] {
    return json{{"fma_gflop_s", fma_rate()}, {"dram_gb_s", copy_rate()}, {"threads", omp_get_max_threads()}};
  });
  json results = json::array();
  if (!arguments.flag("json")) {
    if (!skipped)
      std::printf("machine: %.0f GFLOP/s fused multiply-add, %.1f GB/s copy from memory (read and written)\n",
                  machine["fma_gflop_s"].get<double>(), machine["dram_gb_s"].get<double>());
    std::printf("%-15s %8s %12s %10s %10s %9s %9s %9s %9s %11s\n", "case", "threads", "median s", "least s", "most s",
                "plan s", "cached s", "MiB", "forecast", "GFLOP/s");
  }
  for (const Case& c : cases) {
    if (arguments.given("case") && arguments.text("case") != c.name) continue;
    const json r = in_child([&] { return measure(c, data); });
    results.push_back(r);
    if (arguments.flag("json")) continue;
    const double cached = r["plan_cached_s"].is_null() ? 0.0 : r["plan_cached_s"].get<double>();
    std::printf("%-15s %8d %12.4f %10.4f %10.4f %9.3f %9.3f %9.0f %9.0f %11.1f\n", c.name.c_str(),
                r["threads"].get<int>(), r["iteration_s_median"].get<double>(), r["iteration_s_min"].get<double>(),
                r["iteration_s_max"].get<double>(), r["plan_s"].get<double>(), cached, r["peak_rss_mib"].get<double>(),
                r["forecast_mib"].get<double>(),
                r["gflop_per_iteration"].get<double>() / r["iteration_s_median"].get<double>());
    std::fflush(stdout);
  }
  if (!arguments.given("case") || arguments.text("case") == "thread-pairs") {
    const json r = in_child([&] { return measure_threads({.name = "thread-pairs"}, data); });
    results.push_back(r);
    if (!arguments.flag("json"))
      std::printf("thread-pairs: %d threads are %.2f times one (median of %d pairs, %.2f to %.2f)\n",
                  r["threads"].get<int>(), r["speedup_median"].get<double>(), r["pairs"].get<int>(),
                  r["speedup_min"].get<double>(), r["speedup_max"].get<double>());
  }
  if (!arguments.given("case") || arguments.text("case") == "osem-8x8-files") {
    const json r = in_child([&] { return measure_files(data, 5); });
    results.push_back(r);
    if (!arguments.flag("json"))
      std::printf("osem-8x8-files: %.2f s from file to file (median of %d runs, %.2f to %.2f)\n",
                  r["wall_s_median"].get<double>(), r["runs"].get<int>(), r["wall_s_min"].get<double>(),
                  r["wall_s_max"].get<double>());
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
      "cached s: the plan from a plan cache. thread-pairs: runs with one thread and with all in turn.\n"
      "osem-8x8-files: the program's whole run on the standard problem, 8 subsets x 8 iterations, from file to file.\n"
      "The figures are wall time; other work on the machine shows in the median, hardly in the least.\n"
      "Under mpirun: the standard case (or --case small) by all ranks, one line of JSON; tests/bench/recon_ranks.py "
      "makes\n"
      "curves of it.";
  command.options = {{"data", "FOLDER", "folder with n128/proj_att_noisy.s (stir-reference); else counts are made"},
                     {"iterations", "N", "timed in each case", "20"},
                     {"case", "NAME", "only this case"},
                     {"large", "", "also 256^3 with 120 views"},
                     {"skip-machine", "", "do not measure what the machine can do at best"}};
  command.examples = {"tomogrid-recon bench", "tomogrid-recon bench --json --case standard",
                      "mpirun -n 2 tomogrid-recon bench --iterations 10"};
  command.run = run_bench;
  return command;
}

}  // namespace tomogrid::recon
