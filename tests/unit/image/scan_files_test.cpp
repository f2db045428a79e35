// Scans through DICOM and Interfile, made up and real.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"
#include "example_scan.h"
#include "image/energy.h"
#include "image/stream_format.h"

namespace tomogrid::image {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kSpect = fs::path(TOMOGRID_DATA) / "spect";
const fs::path kSpectub = kSpect / "stir-spectub";
const fs::path kDicom = kSpectub / "spectub_rows00-39_coldrods_TOMO.dcm";
constexpr PatientPosition kPositions[] = {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS,
                                          PatientPosition::FFP};

void expect_same(const Projections& read, const Projections& written) {
  const ProjectionGeometry& a = read.geometry;
  const ProjectionGeometry& b = written.geometry;
  EXPECT_EQ(a.bins, b.bins);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.bin_mm, b.bin_mm);
  EXPECT_EQ(a.row_mm, b.row_mm);
  EXPECT_NEAR(a.u0.count(), b.u0.count(), 1e-9);
  EXPECT_NEAR(a.v0.count(), b.v0.count(), 1e-9);
  ASSERT_EQ(a.views.size(), b.views.size());
  for (std::size_t k = 0; k < a.views.size(); ++k) {
    EXPECT_NEAR(std::remainder(a.views[k].angle.count() - b.views[k].angle.count(), 2 * std::numbers::pi), 0, 1e-9)
        << k;
    EXPECT_EQ(a.views[k].radius, b.views[k].radius) << k;
    EXPECT_EQ(a.views[k].start, b.views[k].start) << k;
    EXPECT_EQ(a.views[k].duration, b.views[k].duration) << k;
    EXPECT_EQ(a.views[k].detector, b.views[k].detector) << k;
  }
  EXPECT_EQ(read.values, written.values);
  EXPECT_EQ(read.facts.nuclide, written.facts.nuclide);
  EXPECT_EQ(read.facts.windows, written.facts.windows);
  EXPECT_EQ(read.facts.collimator, written.facts.collimator);
  EXPECT_EQ(read.facts.counts, written.facts.counts);
}

TEST(ScanFiles, AScanComesBackFromEveryFormatInEveryPosition) {
  const TemporaryFolder folder;
  for (const PatientPosition position : kPositions) {
    for (const double direction : {1.0, -1.0}) {
      const Projections scan = example_scan(12, 1, direction);
      for (const char* name : {"scan.dcm", "scan.hs", "scan.h33"}) {
        SCOPED_TRACE(std::string(name) + " " + to_string(position));
        const fs::path path = folder.path() / name;
        const auto saved = save_scan(path, scan, {.position = position});
        ASSERT_TRUE(saved.has_value()) << saved.error().message;
        const auto read = load_scan(path);
        ASSERT_TRUE(read.has_value()) << read.error().message;
        expect_same(read->projections, scan);
        EXPECT_EQ(read->identity.position(), position);
        EXPECT_THAT(read->warnings, testing::IsEmpty());
      }
    }
  }
}

TEST(ScanFiles, InterfileOfATurnedPatientIsWrittenAsTheCameraWouldWriteIt) {
  // Prone: the detector above the table sees the back, and is at 180 in the gantry's scale all the same.
  const TemporaryFolder folder;
  Projections scan = example_scan();
  const auto start_of = [&](PatientPosition position) {
    EXPECT_TRUE(save_scan(folder.path() / "s.hs", scan, {.position = position}).has_value());
    const ByteString header = read_file(folder.path() / "s.hs", mebibytes(1)).value();
    return std::string(text_of(header));
  };
  EXPECT_THAT(start_of(PatientPosition::HFS), HasSubstr("start angle := 180\n"));  // theta 0: anterior, above the table
  EXPECT_THAT(start_of(PatientPosition::HFS), HasSubstr("direction of rotation := CW\n"));
  EXPECT_THAT(start_of(PatientPosition::HFP), HasSubstr("start angle := 0\n"));  // anterior is below it
  EXPECT_THAT(start_of(PatientPosition::FFS), HasSubstr("direction of rotation := CCW\n"));
}

TEST(ScanFiles, TwoAndThreeHeadsComeBackFromDicom) {
  const TemporaryFolder folder;
  for (const std::size_t heads : {2u, 3u}) {
    Projections scan = example_scan(10, heads);
    if (heads == 3) scan.geometry.views[14].radius = Millimetres(333);  // body contour: each head its own radii
    ASSERT_TRUE(save_scan(folder.path() / "s.dcm", scan).has_value());
    const auto read = load_scan(folder.path() / "s.dcm");
    ASSERT_TRUE(read.has_value()) << read.error().message;
    expect_same(read->projections, scan);
    EXPECT_FALSE(save_scan(folder.path() / "s.hs", scan).has_value());
  }
}

TEST(ScanFiles, AMissingViewComesBackFromDicomAtItsAngle) {
  const TemporaryFolder folder;
  Projections scan = example_scan();
  const std::size_t view = scan.geometry.bins * scan.geometry.rows;
  scan.geometry.views.erase(scan.geometry.views.begin() + 5);
  scan.values.erase(scan.values.begin() + static_cast<std::ptrdiff_t>(5 * view),
                    scan.values.begin() + static_cast<std::ptrdiff_t>(6 * view));
  ASSERT_TRUE(save_scan(folder.path() / "s.dcm", scan).has_value());
  const auto read = load_scan(folder.path() / "s.dcm");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  expect_same(read->projections, scan);
}

TEST(ScanFiles, AnAxisOffCentreComesBackFromDicom) {
  const TemporaryFolder folder;
  Projections scan = example_scan();
  scan.geometry.u0 += Millimetres(1.25);
  ASSERT_TRUE(save_scan(folder.path() / "s.dcm", scan).has_value());
  const auto read = load_scan(folder.path() / "s.dcm");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  expect_same(read->projections, scan);
  ASSERT_EQ(read->warnings.size(), 1u);
  EXPECT_THAT(read->warnings[0], HasSubstr("CenterOfRotationOffset"));
}

TEST(ScanFiles, FractionsGoToInterfileAsFloatsAndNotToDicom) {
  const TemporaryFolder folder;
  Projections scan = example_scan();
  scan.values[7] = 0.5F;
  EXPECT_FALSE(save_scan(folder.path() / "s.dcm", scan).has_value());
  EXPECT_FALSE(fs::exists(folder.path() / "s.dcm"));
  ASSERT_TRUE(save_scan(folder.path() / "s.hs", scan).has_value());
  const auto read = load_scan(folder.path() / "s.hs");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  scan.facts.counts = false;
  expect_same(read->projections, scan);
}

TEST(ScanFiles, TheSpectubScanIsWhatItsDescriptionSays) {
  if (!fs::exists(kDicom)) GTEST_SKIP() << kDicom << " is not there";
  const auto scan = load_scan(kDicom);
  ASSERT_TRUE(scan.has_value()) << scan.error().message;
  const ProjectionGeometry& g = scan->projections.geometry;
  EXPECT_EQ(g.bins, 128u);
  EXPECT_EQ(g.rows, 40u);
  ASSERT_EQ(g.views.size(), 120u);
  for (std::size_t k = 0; k < 120; ++k) {
    EXPECT_NEAR(g.views[k].angle.count(), 2 * std::numbers::pi * static_cast<double>(k) / 120, 1e-14);
    EXPECT_EQ(g.views[k].radius.count(), 150);
    EXPECT_EQ(g.views[k].start.count(), 30.0 * static_cast<double>(k));
  }
  EXPECT_EQ(scan->projections.facts.nuclide, "Tc-99m");
  EXPECT_EQ(scan->projections.facts.collimator, "LEHR");
  EXPECT_EQ(scan->projections.facts.windows, (std::vector<EnergyWindow>{{126.45, 154.55}}));
  EXPECT_TRUE(scan->projections.facts.counts);
  EXPECT_THAT(scan->warnings, testing::IsEmpty());
  // The first row of the file, nearest the head, is at 104.58 mm; ours are centred, so the middle is 19.5 rows below.
  EXPECT_NEAR(scan->identity.origin()[2].count(), 104.58 - 19.5 * 3.32, 1e-9);
  EXPECT_EQ(scan->identity.position(), PatientPosition::HFS);
}

TEST(ScanFiles, DicomAndInterfileOfTheSameIntegersGiveTheSameProjections) {
  if (!fs::exists(kDicom)) GTEST_SKIP() << kDicom << " is not there";
  const auto dicom = load_scan(kDicom);
  ASSERT_TRUE(dicom.has_value()) << dicom.error().message;
  // The publisher's header, with the numbers of its float file rounded to 16-bit integers.
  const TemporaryFolder folder;
  std::string header(text_of(read_file(kSpectub / "spectub_rows00-39_coldrods.hs", mebibytes(1)).value()));
  const ByteString raw = read_file(kSpectub / "spectub_rows00-39_coldrods.s", mebibytes(16)).value();
  const auto floats = floats_of(raw, raw.size() / 4).value();
  for (const bool big_endian : {false, true}) {
    std::string integers = header;
    const auto replace = [&integers](const std::string& from, const std::string& to) {
      ASSERT_NE(integers.find(from), std::string::npos) << from;
      integers.replace(integers.find(from), from.size(), to);
    };
    replace("number format := float", "number format := unsigned integer");
    replace("number of bytes per pixel := 4", "number of bytes per pixel := 2");
    if (big_endian) replace("LITTLEENDIAN", "BIGENDIAN");
    ByteString data;
    for (const float value : floats) {
      const auto n = static_cast<std::uint16_t>(std::nearbyint(value));  // halves to even, as its maker did
      const auto low = static_cast<std::uint8_t>(n & 255), high = static_cast<std::uint8_t>(n >> 8);
      data.push_back(big_endian ? high : low);
      data.push_back(big_endian ? low : high);
    }
    ASSERT_TRUE(write_file(folder.path() / "i.hs", bytes_of(integers)).has_value());
    ASSERT_TRUE(write_file(folder.path() / "spectub_rows00-39_coldrods.s", data).has_value());
    const auto interfile = load_scan(folder.path() / "i.hs");
    ASSERT_TRUE(interfile.has_value()) << interfile.error().message;
    ProjectionGeometry untimed = dicom->projections.geometry;  // this Interfile header says nothing of time
    for (View& view : untimed.views) view.start = view.duration = Seconds(0);
    EXPECT_EQ(interfile->projections.geometry, untimed);
    EXPECT_EQ(interfile->projections.values, dicom->projections.values);
  }
}

TEST(ScanFiles, TheStirReferenceHasTheAnglesItsDescriptionSays) {
  const fs::path path = kSpect / "stir-reference/n64/proj_att_noisy.hs";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto scan = load_scan(path);
  ASSERT_TRUE(scan.has_value()) << scan.error().message;
  const ProjectionGeometry& g = scan->projections.geometry;
  ASSERT_EQ(g.views.size(), 60u);
  for (std::size_t k = 0; k < 60; ++k) {
    EXPECT_NEAR(g.views[k].angle.count(), 2 * std::numbers::pi * static_cast<double>(k) / 60, 1e-14);
    EXPECT_EQ(g.views[k].radius.count(), 250);
  }
  double counts = 0;
  for (const float value : scan->projections.values) counts += static_cast<double>(value);
  EXPECT_NEAR(counts, 4.0e6, 1e4);
}

TEST(ScanFiles, TheStirReferenceProjectsWhereItsPhantomIs) {
  const fs::path folder = kSpect / "stir-reference/n64";
  if (!fs::exists(folder / "phantom.hv")) GTEST_SKIP() << folder << " is not there";
  const auto scan = load_scan(folder / "fp_3D_att_s2.hs");
  const auto phantom = load_volume(folder / "phantom.hv", "1");
  ASSERT_TRUE(scan.has_value()) << scan.error().message;
  ASSERT_TRUE(phantom.has_value()) << phantom.error().message;
  // The activity is off centre along z; projections and phantom agree on which way, and by how much.
  double counts = 0, activity = 0, row = 0, slice = 0;
  for (std::size_t n = 0; n < phantom->values.size(); ++n) {
    activity += static_cast<double>(phantom->values[n]);
    slice += static_cast<double>(phantom->values[n]) * (static_cast<double>(n / (64 * 64)) - 31.5);
  }
  for (std::size_t n = 0; n < scan->projections.values.size(); ++n) {
    counts += static_cast<double>(scan->projections.values[n]);
    row += static_cast<double>(scan->projections.values[n]) * (static_cast<double>(n / 64 % 64) - 31.5);
  }
  EXPECT_LT(slice / activity, -0.2);  // its liver and spleen are at the file's high z: the feet
  EXPECT_NEAR(row / counts, slice / activity, 0.25);
  // In the first view, from the front, u is x: the liver is at the file's +x, the patient's left.
  double u = 0, x = 0, first = 0;
  for (std::size_t n = 0; n < 64 * 64; ++n) {
    first += static_cast<double>(scan->projections.values[n]);
    u += static_cast<double>(scan->projections.values[n]) * (static_cast<double>(n % 64) - 31.5);
  }
  for (std::size_t n = 0; n < phantom->values.size(); ++n)
    x += static_cast<double>(phantom->values[n]) * (static_cast<double>(n % 64) - 31.5);
  EXPECT_GT(x / activity, 0.2);
  EXPECT_GT(u / first, 0.2);
}

TEST(ScanFiles, ARadiusThatIsNotStatedIsAskedFor) {
  const TemporaryFolder folder;
  Projections scan = example_scan();
  for (View& view : scan.geometry.views) view.radius = Millimetres(0);
  ASSERT_TRUE(save_scan(folder.path() / "s.dcm", scan).has_value());
  const auto bare = load_scan(folder.path() / "s.dcm");
  ASSERT_TRUE(bare.has_value()) << bare.error().message;
  ASSERT_EQ(bare->warnings.size(), 1u);
  EXPECT_THAT(bare->warnings[0], HasSubstr("--radius"));
  const auto told = load_scan(folder.path() / "s.dcm", {.radius = Millimetres(210), .collimator_gap = Millimetres(4)});
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->projections.geometry.views[3].radius.count(), 214);
  EXPECT_THAT(told->warnings, testing::IsEmpty());
}

TEST(ScanFiles, InterfileVariantsAreReadOrRefusedByKey) {
  const TemporaryFolder folder;
  ASSERT_TRUE(save_scan(folder.path() / "s.hs", example_scan()).has_value());
  const std::string good(text_of(read_file(folder.path() / "s.hs", mebibytes(1)).value()));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    const std::size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    EXPECT_TRUE(write_file(folder.path() / "c.hs", bytes_of(changed)).has_value());
    return load_scan(folder.path() / "c.hs");
  };
  const std::vector<std::array<std::string, 3>> refused{
      {"Tomographic", "Static", "type of data"},
      {"!process status := acquired", "!process status := reconstructed", "process status"},
      {"direction of rotation := CW", "direction of rotation := up", "direction of rotation"},
      {"extent of rotation := 360", "extent of rotation := -1", "extent of rotation"},
      {"!matrix size [1] := 6", "!matrix size [1] := 100000", "matrix size [1]"},
      {"!matrix size [1] := 6", "", "matrix size [1]"},
      {"!matrix size [1] := 6", "!matrix size [1] := 4096", "truncated"},
      {"!number of projections := 12", "!number of projections := 0", "number of projections"},
      {"!number of projections := 12", "!number of projections := 13", "radius"},
      {"scaling factor (mm/pixel) [2] := 3.25", "scaling factor (mm/pixel) [2] := 0", "scaling factor (mm/pixel) [2]"},
      {"scaling factor (mm/pixel) [2] := 3.25", "scaling factor (mm/pixel) [2] := nan",
       "scaling factor (mm/pixel) [2]"},
      {"unsigned integer", "ASCII", "number format"},
      {"bytes per pixel := 2", "bytes per pixel := 3", "number of bytes per pixel"},
      {"LITTLEENDIAN", "MIDDLE", "byte order"},
      {"name of data file := s.s", "name of data file := /etc/passwd", "name of data file"},
      {"name of data file := s.s", "name of data file := ../s.s", "name of data file"},
      {"name of data file := s.s", "name of data file := absent.s", "absent.s"},
      {"number of energy windows := 1", "number of energy windows := 2", "--window"},
      {"patient rotation := supine", "patient rotation := other", "patient rotation"},
      {"orbit := non-circular", "orbit := spiral", "orbit"}};
  for (const auto& [from, to, name] : refused) {
    const auto scan = with(from, to);
    ASSERT_FALSE(scan.has_value()) << to;
    EXPECT_EQ(scan.error().code, ErrorCode::BadInput);
    EXPECT_THAT(scan.error().message, HasSubstr(name));
  }
  EXPECT_TRUE(with("patient orientation := head_in", "").has_value());
  const auto counter = with("direction of rotation := CW", "direction of rotation := CCW");
  ASSERT_TRUE(counter.has_value());
  EXPECT_NEAR(counter->projections.geometry.views[1].angle.count(), 2 * std::numbers::pi * 11 / 12, 1e-12);
}

TEST(ScanFiles, WhatIsNotThereOrNotAScanIsSaid) {
  const TemporaryFolder folder;
  EXPECT_EQ(load_scan(folder.path() / "none.dcm").error().code, ErrorCode::NotFound);
  EXPECT_EQ(load_scan(folder.path()).error().code, ErrorCode::BadInput);
  ASSERT_TRUE(write_file(folder.path() / "empty.dcm", {}).has_value());
  EXPECT_THAT(load_scan(folder.path() / "empty.dcm").error().message, HasSubstr("empty"));
  ASSERT_TRUE(save_volume(folder.path() / "v.nii.gz", example_volume()).has_value());
  EXPECT_THAT(load_scan(folder.path() / "v.nii.gz").error().message, HasSubstr("a volume, not projections"));
  ASSERT_TRUE(save_volume(folder.path() / "v.hv", example_volume()).has_value());
  EXPECT_THAT(load_scan(folder.path() / "v.hv").error().message, HasSubstr("reconstructed"));
}

TEST(ScanFiles, OtherKindsOfNuclearMedicineImagesAreRefusedByName) {
  const fs::path nm = kSpect / "nm-dicom";
  if (!fs::exists(nm)) GTEST_SKIP() << nm << " is not there";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"static_fourbar_mediso.dcm", "STATIC"},
      {"static_uniformity_mediso.dcm", "STATIC"},
      {"static_syringe_siemens.dcm", "STATIC"},
      {"dynamic_anyscan_mediso.dcm", "DYNAMIC"},
      {"wholebody_NM1_jpeg2000.dcm", "WHOLE BODY"},
      {"wholebody_NM1_uncompressed.dcm", "WHOLE BODY"},
      {"recon-tomo_jaszczak_mediso.dcm", "already reconstructed"}};
  for (const auto& [file, name] : cases) {
    const auto scan = load_scan(nm / file);
    ASSERT_FALSE(scan.has_value()) << file;
    EXPECT_THAT(scan.error().message, HasSubstr(name)) << file;
  }
  const auto ct = load_scan(kSpect / "ct-catphan604/Image_20.dcm");
  ASSERT_FALSE(ct.has_value());
  EXPECT_THAT(ct.error().message, HasSubstr("not a nuclear medicine image but CT"));
}

TEST(ScanFiles, DescriptionsNameNobody) {
  if (!fs::exists(kDicom)) GTEST_SKIP() << kDicom << " is not there";
  const auto scan = load_scan(kDicom);
  ASSERT_TRUE(scan.has_value());
  const std::string text = describe(scan->projections);
  EXPECT_THAT(text, HasSubstr("120 views by 1 detector, each 40 rows of 128 bins of 3.32 x 3.32 mm"));
  EXPECT_THAT(text, HasSubstr("radius 150 mm"));
  const std::string header = encode_header(scan->projections.geometry, scan->projections.facts);
  for (const char* secret : {"Spectub", "SPECTUB-001", "19700101", "1.2.826", "Referrer", "ACC-0042"}) {
    EXPECT_THAT(text, testing::Not(HasSubstr(secret)));
    EXPECT_THAT(header, testing::Not(HasSubstr(secret)));
  }
}

TEST(ScanFiles, SeveralEnergyWindowsAreReadOneByOneAndKnowTheirPlace) {
  const TemporaryFolder folder;
  Projections photopeak = example_scan(), lower = photopeak, upper = photopeak;
  photopeak.facts.windows = {{126, 154}};
  lower.facts.windows = {{92, 125}};
  upper.facts.windows = {{154, 160}};
  for (float& value : lower.values) value = std::floor(value / 3);
  for (float& value : upper.values) value = std::floor(value / 7);
  const std::array<Projections, 2> scatter{lower, upper};
  for (const char* name : {"windows.dcm", "windows.hs"}) {
    const auto path = folder.path() / name;
    ASSERT_TRUE(save_scan(path, photopeak, {}, scatter).has_value()) << name;
    EXPECT_FALSE(load_scan(path).has_value()) << "which window is not said";
    for (std::size_t number = 1; number <= 3; ++number) {
      const Projections& saved = number == 1 ? photopeak : scatter[number - 2];
      LoadOptions options;
      options.window = number;
      const auto read = load_scan(path, options);
      ASSERT_TRUE(read.has_value()) << read.error().message;
      EXPECT_EQ(read->projections.values, saved.values) << name << number;
      EXPECT_EQ(read->projections.facts.windows, saved.facts.windows) << name << number;
    }
    LoadOptions fourth;
    fourth.window = 4;
    EXPECT_FALSE(load_scan(path, fourth).has_value());
  }
  EXPECT_EQ(*place_beside_photopeak(photopeak.facts, lower.facts), WindowPlace::Below);
  EXPECT_EQ(*place_beside_photopeak(photopeak.facts, upper.facts), WindowPlace::Above);
  EXPECT_FALSE(place_beside_photopeak(photopeak.facts, photopeak.facts).has_value());
  EXPECT_FALSE(place_beside_photopeak(photopeak.facts, AcquisitionFacts{}).has_value());
  lower.geometry.bins = 5;
  EXPECT_FALSE(save_scan(folder.path() / "other.dcm", photopeak, {}, std::span(&lower, 1)).has_value());
}

}  // namespace
}  // namespace tomogrid::image
