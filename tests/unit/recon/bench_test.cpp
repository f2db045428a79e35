// What the benchmark's problems take of memory, beside what the plan foretold and what the limits are.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace {

// The JSON of one case, from a process of its own; empty when it failed.
std::string bench(const std::string& arguments) {
  const std::string command =
      std::string(TOMOGRID_BIN) + "/tomogrid-recon bench --json --skip-machine --iterations 1 " + arguments;
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string text;
  if (pipe == nullptr) return text;
  std::array<char, 4096> buffer;
  for (std::size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) text.append(buffer.data(), n);
  return ::pclose(pipe) == 0 ? text : std::string();
}

double number(const std::string& text, const std::string& name) {
  const std::size_t at = text.find("\"" + name + "\":");
  return at == std::string::npos ? -1.0 : std::strtod(text.c_str() + at + name.size() + 3, nullptr);
}

double available_mib() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  for (double kib = 0; file >> word;) {
    if (word == "MemAvailable:" && file >> kib) return kib / 1024;
  }
  return 0;
}

void expect_memory(const std::string& arguments, double most_mib) {
  const std::string text = bench(arguments);
  const double peak = number(text, "peak_rss_mib"), forecast = number(text, "forecast_mib");
  ASSERT_GT(peak, 0) << text;
  std::printf("  %s: peak %.0f MiB, forecast %.0f MiB\n", arguments.c_str(), peak, forecast);
  EXPECT_LT(peak, most_mib);
  EXPECT_NEAR(forecast / peak, 1.0, 0.10);
}

TEST(Bench, MemoryIsWhatTheForecastSaysAndWithinTheLimits) {
  expect_memory("--case standard", 600);
  expect_memory("--case no-attenuation", 600);
  expect_memory("--case osem-8", 600);
}

TEST(Bench, ALargeProblemFitsInFourGibibytes) {
  if (available_mib() < 5000) GTEST_SKIP() << "less than 5000 MiB of memory are free on this machine";
  expect_memory("--large --case large", 4096);
}

}  // namespace
