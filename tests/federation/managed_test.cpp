// Managed mode, end to end, on a real acquisition and on a phantom: what a user gets is right, and the same by every way in.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numbers>

#include "federation/federation.h"
#include "image/files.h"

namespace tomogrid::test {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

const std::filesystem::path kSpectub = std::filesystem::path(TOMOGRID_DATA) / "spect" / "stir-spectub";

// The attenuation map that SOURCES.md gives for this set: a cylinder, R = 10.0 cm, effective mu = 0.092 /cm.
std::filesystem::path cylinder_map(const std::filesystem::path& folder) {
  const image::VolumeGeometry grid =
      image::centred_grid(128, 128, 40, Millimetres(3.32), Millimetres(3.32), Millimetres(3.32));
  image::Volume map{grid, std::vector<float>(grid.voxels()), "1/mm"};
  for (std::size_t i = 0; i < map.values.size(); ++i) {
    const double x = grid.x0.count() + static_cast<double>(i % 128) * 3.32,
                 y = grid.y0.count() + static_cast<double>(i / 128 % 128) * 3.32;
    map.values[i] = x * x + y * y < 100.0 * 100.0 ? 0.0092F : 0.0F;
  }
  const auto path = folder / "mu.nii.gz";
  image::save_volume(path, map).or_throw();
  return path;
}

double mean_in_disc(const image::Volume& volume, double radius, double degrees, double disc) {
  const image::VolumeGeometry& g = volume.geometry;
  const double cx = radius * std::cos(degrees * std::numbers::pi / 180),
               cy = radius * std::sin(degrees * std::numbers::pi / 180);
  double sum = 0;
  int count = 0;
  for (std::size_t z = 6; z <= 15; ++z) {  // the slices that hold the rods whole
    for (std::size_t y = 0; y < g.rows; ++y) {
      for (std::size_t x = 0; x < g.columns; ++x) {
        const double dx = g.x0.count() + static_cast<double>(x) * g.column_mm.count() - cx,
                     dy = g.y0.count() + static_cast<double>(y) * g.row_mm.count() - cy;
        if (dx * dx + dy * dy > disc * disc) continue;
        sum += volume.values[(z * g.rows + y) * g.columns + x];
        ++count;
      }
    }
  }
  return sum / count;
}

class Managed : public testing::Test {
 protected:
  Managed() {
    federation.start_registry();
    federation.start_manager();
    federation.start_node("small", {.cores = 1, .gflops = 10.0});
    federation.start_node("large", {.cores = 2, .gflops = 10.0});
    federation.add_member("doctor", certs::Role::Clinician);
    federation.wait_nodes("doctor", 2);
  }
  image::Volume reconstruct(const std::filesystem::path& scan, const std::filesystem::path& volume,
                            const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"recon", scan.string(), "-o", volume.string(), "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome outcome = federation.tomogrid("doctor", words);
    EXPECT_EQ(outcome.status, 0) << outcome.output << outcome.errors;
    if (outcome.status != 0) throw std::runtime_error("recon failed");
    last = outcome.output;
    return image::load_volume(volume).or_throw();
  }
  Federation federation;
  std::string last;
};

TEST_F(Managed, ColdRodsOfARealAcquisitionShowAndEveryWayInGivesTheSameBits) {
  if (!std::filesystem::exists(kSpectub)) GTEST_SKIP() << "outside data is absent: " << kSpectub;
  const auto map = cylinder_map(federation.folder());
  const std::vector<std::string> how{"--attenuation",
                                     map.string(),
                                     "--attenuation-unit",
                                     "1/mm",
                                     "--iterations",
                                     "10",
                                     "--subsets",
                                     "8",
                                     "--param",
                                     "sigma0-mm=1.466",
                                     "--param",
                                     "sigma-slope=0.0163",
                                     "--param",
                                     "attenuation-factor=1",  // the map's coefficient is an effective one already
                                     "--param",
                                     "decay=false"};  // SimSET simulated no decay; the .hs says nothing of times
  const auto dicom = kSpectub / "spectub_rows00-39_coldrods_TOMO.dcm";
  const image::Volume volume = reconstruct(dicom, federation.folder() / "dicom.nii", how);
  EXPECT_EQ(json_text(last, "node"), "large") << "it has the most free FLOPs";

  // Contrast 1 - rod / background, background between the rods at the same radius. From the largest rod to the smallest.
  double background = 0;
  for (const int between : {30, 90, 150, 210, 270, 330}) background += mean_in_disc(volume, 67, between, 5) / 6;
  EXPECT_GT(background, 0);
  const std::vector<std::pair<int, double>> rods{{300, 0.93}, {240, 0.90}, {180, 0.85},
                                                 {120, 0.75}, {60, 0.60},  {0, 0.40}};
  double before = 1.1;
  for (const auto& [degrees, least] : rods) {
    const double contrast = 1 - mean_in_disc(volume, 67, degrees, 5) / background;
    RecordProperty("contrast_" + std::to_string(degrees), std::to_string(contrast));
    std::printf("rod at %3d degrees: contrast %.3f (at least %.2f)\n", degrees, contrast, least);
    EXPECT_GT(contrast, least) << "rod at " << degrees << " degrees";
    EXPECT_LT(contrast, before + 0.02) << "a smaller rod never shows more contrast";
    before = contrast;
  }

  // The same integers as Interfile: the same bits.
  const image::Projections integers = image::load_scan(dicom).or_throw().projections;
  const auto interfile = federation.folder() / "integers.hs";
  image::save_scan(interfile, integers).or_throw();
  const image::Volume same = reconstruct(interfile, federation.folder() / "interfile.nii", how);
  EXPECT_EQ(same.values, volume.values);

  // The unrounded numbers: within 1 % NRMSE.
  const image::Volume unrounded =
      reconstruct(kSpectub / "spectub_rows00-39_coldrods.hs", federation.folder() / "float.nii", how);
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < volume.values.size(); ++i) {
    difference += std::pow(static_cast<double>(unrounded.values[i]) - static_cast<double>(volume.values[i]), 2);
    norm += std::pow(static_cast<double>(volume.values[i]), 2);
  }
  std::printf("unrounded against rounded: NRMSE %.4f %%\n", 100 * std::sqrt(difference / norm));
  EXPECT_LT(std::sqrt(difference / norm), 0.01);
}

TEST_F(Managed, APhantomComesBackInEveryFormatWithAReceiptThatVerifies) {
  const auto scan = federation.scan();
  const auto nifti = federation.folder() / "v.nii.gz", dicom = federation.folder() / "v.dcm",
             picture = federation.folder() / "v.png";
  const image::Volume volume = reconstruct(scan, nifti, {"-o", dicom.string(), "-o", picture.string()});
  EXPECT_EQ(image::load_volume(dicom).or_throw().geometry.slices, volume.geometry.slices);
  EXPECT_GT(std::filesystem::file_size(picture), 1000U);
  const std::string receipt = nifti.string() + ".receipt";
  const Outcome good = federation.tomogrid("doctor", {"verify", nifti.string(), receipt, "--scan", scan.string()});
  EXPECT_EQ(good.status, 0) << good.output << good.errors;

  image::Volume altered = volume;
  altered.values[altered.values.size() / 2] += 1;
  image::save_volume(federation.folder() / "altered.nii.gz", altered).or_throw();
  const Outcome bad =
      federation.tomogrid("doctor", {"verify", (federation.folder() / "altered.nii.gz").string(), receipt});
  EXPECT_EQ(bad.status, 12) << bad.output << bad.errors;
  const auto other = federation.scan("other.dcm", {"--seed", "7"});
  EXPECT_EQ(federation.tomogrid("doctor", {"verify", nifti.string(), receipt, "--scan", other.string()}).status, 12);
}

double nrmse(const std::vector<float>& test, const std::vector<float>& reference) {
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < test.size(); ++i) {
    difference += std::pow(static_cast<double>(test[i]) - static_cast<double>(reference[i]), 2);
    norm += std::pow(static_cast<double>(reference[i]), 2);
  }
  return std::sqrt(difference / norm);
}

// One DICOM file of three energy windows: half as many scattered counts again lie under the photopeak, and the windows
// beside it see them, each in proportion to its width.
TEST_F(Managed, ScatterWindowsOfOneFileTravelAndTheirScatterIsModelled) {
  const image::Projections clean = image::load_scan(federation.scan()).or_throw().projections;
  image::Projections peak = clean, below = clean, above = clean;
  peak.facts.windows = {{126, 154}};
  below.facts.windows = {{92, 125}};
  above.facts.windows = {{155, 165}};
  const std::size_t size = clean.geometry.bins * clean.geometry.rows;
  for (std::size_t view = 0; view < clean.geometry.views.size(); ++view) {
    double sum = 0;
    for (std::size_t i = view * size; i < (view + 1) * size; ++i) sum += static_cast<double>(clean.values[i]);
    const double scattered = std::round(0.5 * sum / static_cast<double>(size));
    for (std::size_t i = view * size; i < (view + 1) * size; ++i) {
      peak.values[i] += static_cast<float>(scattered);
      below.values[i] = static_cast<float>(std::round(scattered * 33 / 28));
      above.values[i] = static_cast<float>(std::round(scattered * 10 / 28));
    }
  }
  const auto file = federation.folder() / "windows.dcm";
  image::save_scan(file, peak, {}, std::vector{below, above}).or_throw();
  const auto volume = [&](const std::filesystem::path& scan, const char* name, const std::vector<std::string>& more) {
    return reconstruct(scan, federation.folder() / name, more).values;
  };
  const std::vector<std::string> windows{"--window", "1", "--scatter-window", "2", "--scatter-window", "3"};
  const auto wanted = volume(federation.scan(), "clean.nii", {}), plain = volume(file, "plain.nii", {"--window", "1"}),
             corrected = volume(file, "corrected.nii", windows);
  std::printf("NRMSE to the scan without scatter: %.3f, modelled %.3f\n", nrmse(plain, wanted), nrmse(corrected, wanted));
  EXPECT_LT(nrmse(corrected, wanted), 0.5 * nrmse(plain, wanted));
  std::ifstream passport(federation.folder() / "corrected.passport.json");
  EXPECT_EQ(json::parse(passport)["model"]["scatter"]["method"], "triple energy window");

  std::vector<std::string> words{std::string(TOMOGRID_BIN) + "/tomogrid-recon", file.string(), "-o",
                                 (federation.folder() / "hand.nii").string()};
  words.insert(words.end(), windows.begin(), windows.end());
  const Outcome by_hand = run(words);
  ASSERT_EQ(by_hand.status, 0) << by_hand.errors;
  EXPECT_EQ(image::load_volume(federation.folder() / "hand.nii").or_throw().values, corrected);
}

TEST_F(Managed, AnotherNodeComputesItAgainAndEveryBitIsTheSame) {
  const auto scan = federation.scan(), volume = federation.folder() / "v.nii";
  reconstruct(scan, volume);
  ASSERT_EQ(json_text(last, "node"), "large");
  const Outcome again = federation.tomogrid("doctor", {"verify", volume.string(), volume.string() + ".receipt", "--scan",
                                                       scan.string(), "--on", "small", "--json"});
  EXPECT_EQ(again.status, 0) << again.output << again.errors;
  EXPECT_EQ(json_text(again.output, "computed_again_by"), "small");
}

TEST_F(Managed, TheDecisionExplainsItself) {
  reconstruct(federation.scan(), federation.folder() / "v.nii");
  const Outcome explained = federation.tomogrid("doctor", {"explain", json_text(last, "job")});
  EXPECT_EQ(explained.status, 0) << explained.errors;
  EXPECT_NE(explained.output.find("large"), std::string::npos) << explained.output;
}

TEST_F(Managed, TheScanIsJudgedByTheSamePath) {
  const Outcome good = federation.tomogrid("doctor", {"qa", "check", federation.scan().string(), "--json"});
  EXPECT_EQ(good.status, 0) << good.output << good.errors;
  EXPECT_NE(json_text(good.output, "grade"), "poor") << good.output;

  image::Projections broken = image::load_scan(federation.scan()).or_throw().projections;
  const std::size_t plane = broken.geometry.bins * broken.geometry.rows;
  for (std::size_t view = 20; view < 24; ++view)
    std::fill_n(broken.values.begin() + static_cast<std::ptrdiff_t>(view * plane), plane, 0.0F);
  const auto path = federation.folder() / "broken.hs";
  image::save_scan(path, broken).or_throw();
  const Outcome bad = federation.tomogrid("doctor", {"qa", "check", path.string(), "--json"});
  EXPECT_EQ(json_text(bad.output, "grade"), "poor") << bad.output << bad.errors;
}

TEST_F(Managed, WrongInputIsRefusedByNameBeforeAnythingIsSent) {
  const auto nm = std::filesystem::path(TOMOGRID_DATA) / "spect" / "nm-dicom" / "static_fourbar_mediso.dcm";
  if (!std::filesystem::exists(nm)) GTEST_SKIP() << "outside data is absent: " << nm;
  const Outcome refused =
      federation.tomogrid("doctor", {"recon", nm.string(), "-o", (federation.folder() / "v.nii").string()});
  EXPECT_EQ(refused.status, 3);
  EXPECT_NE(refused.errors.find("STATIC"), std::string::npos) << refused.errors;
  EXPECT_FALSE(std::filesystem::exists(federation.folder() / "v.nii"));
}

}  // namespace
}  // namespace tomogrid::test
