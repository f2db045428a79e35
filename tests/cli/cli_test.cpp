// Runs cases/*.cli: each file is one test in a folder and a TOMOGRID_HOME of its own; its lines run in order.
//
//   # comment
//   needs scan           $SCAN and $MU: a phantom acquisition and its attenuation map (1/mm)
//   needs federation     registry, manager and two nodes by `tomogrid up`, and a scan
//   STATUS :: SHELL COMMAND :: TEXT     TEXT is in what it prints (either stream); `- TEXT` is not; empty: anything
//
// Commands run under /bin/sh with the built programs first in PATH. $DATA is the outside data, $HERE the folder.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "support/process.h"

namespace tomogrid::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

struct Case {
  int line = 0;
  int status = 0;
  std::string command, text;
};

struct CaseFile {
  std::string name;
  bool scan = false, federation = false;
  std::vector<Case> cases;
};

std::string trimmed(const std::string& text) {
  const auto begin = text.find_first_not_of(" \t"), end = text.find_last_not_of(" \t");
  return begin == std::string::npos ? "" : text.substr(begin, end - begin + 1);
}

CaseFile read_cases(const fs::path& path) {
  CaseFile file{path.stem().string(), false, false, {}};
  std::ifstream stream(path);
  std::string text;
  for (int number = 1; std::getline(stream, text); ++number) {
    text = trimmed(text);
    if (text.empty() || text.front() == '#') continue;
    if (text == "needs scan") {
      file.scan = true;
    } else if (text == "needs federation") {
      file.scan = file.federation = true;
    } else {
      const auto first = text.find("::"), second = text.find("::", first + 2);
      if (first == std::string::npos || second == std::string::npos)
        throw std::runtime_error(path.string() + ":" + std::to_string(number) + ": not a case");
      file.cases.push_back({number, std::stoi(text.substr(0, first)),
                            trimmed(text.substr(first + 2, second - first - 2)), trimmed(text.substr(second + 2))});
    }
  }
  if (file.cases.empty()) throw std::runtime_error(path.string() + " has no case");
  return file;
}

class CommandLine : public testing::Test {
 public:
  explicit CommandLine(CaseFile file) : file_(std::move(file)) {}

  void SetUp() override {
    const fs::path home = folder_.path() / "home";
    fs::create_directory(home);
    fs::permissions(home, fs::perms::owner_all);
    environment_ = {
        {"TOMOGRID_HOME", home.string()},
        {"PATH", std::string(TOMOGRID_BIN) + ":" + (::getenv("PATH") != nullptr ? ::getenv("PATH") : "/usr/bin:/bin")},
        {"DATA", TOMOGRID_DATA},
        {"CASES", TOMOGRID_CLI_CASES},
        {"HERE", folder_.path().string()},
        {"SCAN", (folder_.path() / "scan.dcm").string()},
        {"MU", (folder_.path() / "mu.nii.gz").string()},
        {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
        {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}};
    if (file_.scan) {
      const Outcome made = shell("tomogrid phantom -o $SCAN --mu $MU --size 32 --views 32");
      ASSERT_EQ(made.status, 0) << made.errors;
    }
    if (!file_.federation) return;
    up_ = std::make_unique<Process>(std::vector<std::string>{std::string(TOMOGRID_BIN) + "/tomogrid", "up", "--json"},
                                    environment_);
    ASSERT_TRUE(
        up_->wait_line([](const std::string& line) { return line.find("\"ready\"") != std::string::npos; }, 90s))
        << up_->errors();
  }

  void TearDown() override {
    if (!up_) return;
    up_->signal(SIGTERM);
    EXPECT_TRUE(up_->wait(20s).has_value()) << "tomogrid up does not end";
  }

  void TestBody() override {
    for (const Case& one : file_.cases) {
      const Outcome outcome = shell(one.command);
      const std::string where =
          file_.name + ".cli:" + std::to_string(one.line) + ": " + one.command + "\n" + outcome.output + outcome.errors;
      EXPECT_EQ(outcome.status, one.status) << where;
      const std::string printed = outcome.output + outcome.errors;
      if (one.text.starts_with("- ")) {
        EXPECT_EQ(printed.find(one.text.substr(2)), std::string::npos) << where;
      } else {
        EXPECT_NE(printed.find(one.text), std::string::npos) << "without \"" << one.text << "\"\n" << where;
      }
    }
  }

 private:
  Outcome shell(const std::string& command) {
    return run({"/bin/sh", "-c", "cd \"$HERE\" || exit 99\n" + command}, environment_, 120s);
  }

  CaseFile file_;
  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
  std::unique_ptr<Process> up_;
};

}  // namespace
}  // namespace tomogrid::test

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(TOMOGRID_CLI_CASES)) {
    if (entry.path().extension() == ".cli") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const auto& path : paths) {
    const auto file = tomogrid::test::read_cases(path);
    testing::RegisterTest("Cli", file.name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                          [file]() -> testing::Test* { return new tomogrid::test::CommandLine(file); });
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
