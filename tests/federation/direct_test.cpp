// What still works when parts of the federation are gone.
#include <gtest/gtest.h>

#include "federation/federation.h"
#include "image/files.h"

namespace tomogrid::test {
namespace {

class Reduced : public testing::Test {
 protected:
  Reduced() {
    federation.start_registry();
    federation.start_manager();
    federation.start_node("alpha", {.cores = 1, .gflops = 5.0});
    federation.start_node("beta", {.cores = 2, .gflops = 5.0});
    federation.add_member("doctor", certs::Role::Clinician);
    federation.wait_nodes("doctor", 2);
    scan = federation.scan();
  }
  std::string recon(const std::string& output, const std::vector<std::string>& more) {
    std::vector<std::string> words{"recon", scan.string(), "-o", (federation.folder() / output).string(), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = federation.tomogrid("doctor", words);
    EXPECT_EQ(outcome.status, 0) << outcome.output << outcome.errors;
    return outcome.output;
  }
  Federation federation;
  std::filesystem::path scan;
};

TEST_F(Reduced, DirectModeNeedsNeitherRegistryNorManager) {
  federation.kill("registry");
  federation.kill("manager");
  const std::string result = recon("v.nii", {"--node", federation.ready("alpha").address()});
  EXPECT_EQ(json_text(result, "node"), "alpha");
  // By name: its address is remembered from the first time.
  const std::string again = recon("w.nii", {"--node", "alpha", "--fresh"});
  EXPECT_EQ(json_text(again, "node"), "alpha");
  EXPECT_EQ(image::load_volume(federation.folder() / "v.nii").or_throw().values, image::load_volume(federation.folder() / "w.nii").or_throw().values);
}

TEST_F(Reduced, WithoutAManagerTheClientPlacesByTheSameRule) {
  federation.kill("manager");
  const std::string result = recon("v.nii", {});
  EXPECT_EQ(json_text(result, "node"), "beta") << "it has the most free FLOPs";
  const Outcome explained = federation.tomogrid("doctor", {"explain", json_text(result, "job")});
  EXPECT_EQ(explained.status, 0) << explained.output << explained.errors;
}

}  // namespace
}  // namespace tomogrid::test
