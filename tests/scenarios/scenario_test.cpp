// Runs every *.scenario of this folder; a failure names file and line.
#include "scenarios/scenario.h"

#include <gtest/gtest.h>

#include <fstream>

namespace tomogrid::test {

namespace {

std::vector<std::string> scenario_files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(TOMOGRID_SOURCE) + "/tests/scenarios")) {
    if (entry.path().extension() == ".scenario") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = std::filesystem::path(info.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

class ScenarioFile : public ::testing::TestWithParam<std::string> {};

TEST_P(ScenarioFile, HoldsLineByLine) {
  std::ifstream stream(GetParam());
  ASSERT_TRUE(stream) << GetParam();
  std::string line;
  std::unique_ptr<Scenario> scenario;
  int number = 0, expectations = 0;
  while (std::getline(stream, line)) {
    ++number;
    if (line.starts_with("seed ")) {
      ASSERT_FALSE(scenario) << GetParam() << ":" << number << ": the seed comes first";
      scenario = std::make_unique<Scenario>(std::stoull(line.substr(5)));
      continue;
    }
    if (line.empty() || line.front() == '#') continue;
    if (!scenario) scenario = std::make_unique<Scenario>(1);
    expectations += line.starts_with("expect ") ? 1 : 0;
    try {
      scenario->run(line);
    } catch (const std::exception& wrong) {
      FAIL() << GetParam() << ":" << number << ": " << line << "\n    " << wrong.what();
    }
  }
  EXPECT_GT(expectations, 0) << GetParam() << " expects nothing";
}

INSTANTIATE_TEST_SUITE_P(Scenarios, ScenarioFile, ::testing::ValuesIn(scenario_files()), test_name);

// A runner that never fails would prove nothing.
TEST(ScenarioRunner, FailsWhereItShould) {
  const char* wrong[] = {"expect lost 2",       "expect listed 1",    "expect placed 9 on 1",
                         "expect waiting 9",    "expect held 1 3",    "fly 2",
                         "advance 4",           "partition 9",        "place client9 1",
                         "expect registered 7", "nodes 1 colour=red", "free 1"};
  for (const char* line : wrong) {
    Scenario scenario(1);
    scenario.run("nodes 2 lease=3s");
    EXPECT_THROW(scenario.run(line), std::exception) << line;
  }
}

}  // namespace

}  // namespace tomogrid::test
