#include "node/calibrate.h"

#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "node/capacity.h"

namespace tomogrid::node {

namespace {

constexpr std::size_t kRow = 2048;  // values; three rows' worth is well within 32 KiB
constexpr std::size_t kTaps = 4;
constexpr std::size_t kFloatsPerVector = 8;

struct Rows {
  alignas(64) std::array<float, kRow + kFloatsPerVector> source;
  alignas(64) std::array<float, kRow> sum;
};

// sum[i] += w0 source[i] + w1 source[i+1] + w2 source[i+2] + w3 source[i+3], for the whole row.
void add_row(Rows& rows, const std::array<float, kTaps>& weights) {
  const __m256 w0 = _mm256_set1_ps(weights[0]), w1 = _mm256_set1_ps(weights[1]);
  const __m256 w2 = _mm256_set1_ps(weights[2]), w3 = _mm256_set1_ps(weights[3]);
  const float* source = rows.source.data();
  float* sum = rows.sum.data();
  for (std::size_t i = 0; i < kRow; i += 2 * kFloatsPerVector) {  // two independent chains hide the latency
    __m256 a = _mm256_load_ps(sum + i), b = _mm256_load_ps(sum + i + kFloatsPerVector);
    a = _mm256_fmadd_ps(w0, _mm256_loadu_ps(source + i), a);
    b = _mm256_fmadd_ps(w0, _mm256_loadu_ps(source + i + 8), b);
    a = _mm256_fmadd_ps(w1, _mm256_loadu_ps(source + i + 1), a);
    b = _mm256_fmadd_ps(w1, _mm256_loadu_ps(source + i + 9), b);
    a = _mm256_fmadd_ps(w2, _mm256_loadu_ps(source + i + 2), a);
    b = _mm256_fmadd_ps(w2, _mm256_loadu_ps(source + i + 10), b);
    a = _mm256_fmadd_ps(w3, _mm256_loadu_ps(source + i + 3), a);
    b = _mm256_fmadd_ps(w3, _mm256_loadu_ps(source + i + 11), b);
    _mm256_store_ps(sum + i, a);
    _mm256_store_ps(sum + i + kFloatsPerVector, b);
  }
}

constexpr double kOperationsPerRow = 2.0 * kTaps * kRow;

// Operations per second of this thread over about `length`.
double measure_thread(std::chrono::milliseconds length) {
  Rows rows;
  rows.source.fill(1e-3F);
  rows.sum.fill(0.0F);
  const std::array<float, kTaps> weights{0.1F, 0.4F, 0.4F, 0.1F};
  const auto begin = std::chrono::steady_clock::now();
  std::uint64_t rows_done = 0;
  std::chrono::duration<double> elapsed{};
  do {
    for (int i = 0; i < 256; ++i) add_row(rows, weights);
    rows_done += 256;
    elapsed = std::chrono::steady_clock::now() - begin;
  } while (elapsed < length);
  volatile float kept = rows.sum[kRow / 2];  // so that the work is not optimised away
  (void)kept;
  return static_cast<double>(rows_done) * kOperationsPerRow / elapsed.count();
}

double measure_all(const std::vector<int>& cpus, std::chrono::milliseconds length) {
  std::vector<double> rates(cpus.size());
  std::atomic<std::size_t> ready{0};
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    threads.emplace_back([&, i] {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(static_cast<std::size_t>(cpus[i]), &set);
      ::sched_setaffinity(0, sizeof set, &set);
      ++ready;
      while (ready.load() < cpus.size()) std::this_thread::yield();
      rates[i] = measure_thread(length);
    });
  }
  double total = 0;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads[i].join();
    total += rates[i];
  }
  return total / static_cast<double>(cpus.size());
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) return printable(line.substr(colon + 2));
  }
  return "unknown";
}

}  // namespace

MachineDescriptor measure_machine(WallTime now, unsigned repeats) {
  std::vector<int> cpus = CapacitySource::allowed_cpus();
  if (cpus.empty()) cpus.push_back(0);
  measure_all(cpus, std::chrono::milliseconds(20));  // clocks and caches warm
  std::vector<double> rates;
  for (unsigned i = 0; i < std::max(1U, repeats); ++i)
    rates.push_back(measure_all(cpus, std::chrono::milliseconds(60)));
  std::sort(rates.begin(), rates.end());
  const double median = rates[rates.size() / 2];
  MachineDescriptor descriptor;
  descriptor.processor = processor_name();
  descriptor.cores_measured = static_cast<std::uint32_t>(cpus.size());
  descriptor.rate_per_core = FlopRate(median);
  descriptor.spread = (rates.back() - rates.front()) / median;
  descriptor.measured = now;
  return descriptor;
}

std::string encode(const MachineDescriptor& descriptor) {
  const nlohmann::json body{{"processor", descriptor.processor},
                            {"cores_measured", descriptor.cores_measured},
                            {"gflops_per_core", descriptor.rate_per_core.count() / 1e9},
                            {"spread", descriptor.spread},
                            {"measured", descriptor.measured.unix_ms},
                            {"edited", descriptor.edited}};
  return body.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

Result<MachineDescriptor> parse_machine_descriptor(std::string_view text) {
  try {
    const auto body = nlohmann::json::parse(text);
    MachineDescriptor descriptor;
    descriptor.processor = printable(body.at("processor").get<std::string>());
    descriptor.cores_measured = body.value("cores_measured", 0U);
    descriptor.rate_per_core = FlopRate(body.at("gflops_per_core").get<double>() * 1e9);
    descriptor.spread = body.value("spread", 0.0);
    descriptor.measured = {body.value("measured", std::int64_t{0})};
    descriptor.edited = body.value("edited", false);
    const double rate = descriptor.rate_per_core.count();
    if (!(std::isfinite(rate) && rate > 0))
      return Error{ErrorCode::BadInput, "machine descriptor: \"gflops_per_core\" is not above 0"};
    return descriptor;
  } catch (const nlohmann::json::exception& malformed) {
    return Error{ErrorCode::BadInput, std::string("machine descriptor: ") + printable(malformed.what())};
  }
}

MachineDescriptor machine_descriptor(const std::filesystem::path& file, WallTime now) {
  if (const auto text = read_file(file, mebibytes(1))) {
    auto stored = parse_machine_descriptor(text_of(*text));
    if (!stored)
      throw Failure(stored.error().code,
                    file.string() + ": " + stored.error().message + "; correct it, or remove it to measure anew");
    if (stored->edited || stored->processor == processor_name()) return *stored;
  }
  const MachineDescriptor measured = measure_machine(now);
  write_file(file, bytes_of(encode(measured))).or_throw();
  return measured;
}

}  // namespace tomogrid::node
