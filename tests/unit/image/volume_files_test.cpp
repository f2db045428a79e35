// Volumes through NIfTI, Interfile and DICOM; attenuation maps; identity; pictures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "example_scan.h"
#include "image/stream_format.h"

namespace tomogrid::image {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const fs::path kSpect = fs::path(TOMOGRID_DATA) / "spect";
const fs::path kDicom = kSpect / "stir-spectub/spectub_rows00-39_coldrods_TOMO.dcm";
constexpr PatientPosition kPositions[] = {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS,
                                          PatientPosition::FFP};

void expect_near(const VolumeGeometry& a, const VolumeGeometry& b, double tolerance = 1e-9) {
  EXPECT_EQ(a.columns, b.columns);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_EQ(a.slices, b.slices);
  EXPECT_EQ(a.column_mm, b.column_mm);
  EXPECT_EQ(a.row_mm, b.row_mm);
  EXPECT_EQ(a.slice_mm, b.slice_mm);
  EXPECT_NEAR(a.x0.count(), b.x0.count(), tolerance);
  EXPECT_NEAR(a.y0.count(), b.y0.count(), tolerance);
  EXPECT_NEAR(a.z0.count(), b.z0.count(), tolerance);
}

// What a command prints on both streams, and its exit status.
std::pair<int, std::string> run(const std::string& command) {
  std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string output;
  char buffer[4096];
  while (std::size_t n = std::fread(buffer, 1, sizeof buffer, pipe)) output.append(buffer, n);
  return {::pclose(pipe), output};
}

Identity identity_of_position(PatientPosition position, const fs::path& folder) {
  EXPECT_TRUE(save_scan(folder / "who.dcm", example_scan(), {.position = position}).has_value());
  return load_scan(folder / "who.dcm").value().identity;
}

TEST(VolumeFiles, AVolumeComesBackFromEveryFormatInEveryPosition) {
  const TemporaryFolder folder;
  const Volume volume = example_volume();
  for (const PatientPosition position : kPositions) {
    const Identity identity = identity_of_position(position, folder.path());
    for (const char* name : {"v.nii", "v.nii.gz", "v.hv", "v.dcm"}) {
      SCOPED_TRACE(std::string(name) + " " + to_string(position));
      const auto saved = save_volume(folder.path() / name, volume, &identity);
      ASSERT_TRUE(saved.has_value()) << saved.error().message;
      const auto read = load_volume_with_warnings(folder.path() / name);
      ASSERT_TRUE(read.has_value()) << read.error().message;
      expect_near(read->volume.geometry, volume.geometry);
      EXPECT_EQ(read->volume.unit, "1/mm");
      ASSERT_EQ(read->volume.values.size(), volume.values.size());
      const float error = std::string(name) == "v.dcm" ? 15.0F / 65535 : 0.0F;
      for (std::size_t n = 0; n < volume.values.size(); ++n)
        EXPECT_NEAR(read->volume.values[n], volume.values[n], error) << n;
      EXPECT_EQ(read->identity.position(), std::string(name) == "v.dcm" ? position : read->identity.position());
      EXPECT_THAT(read->warnings, testing::IsEmpty());
    }
  }
}

TEST(VolumeFiles, CentredGridsComeBackExactly) {
  const TemporaryFolder folder;
  Volume volume;
  volume.geometry = centred_grid(128, 128, 64, Millimetres(4.42), Millimetres(4.42), Millimetres(3.32));
  volume.values.assign(volume.geometry.voxels(), 1.0F);
  volume.unit = "counts/voxel/view";
  for (const char* name : {"v.nii.gz", "v.hv", "v.dcm"}) {
    ASSERT_TRUE(save_volume(folder.path() / name, volume).has_value());
    const auto read = load_volume(folder.path() / name);
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_EQ(read->geometry, volume.geometry) << name;
    EXPECT_EQ(read->values, volume.values) << name;
  }
}

TEST(VolumeFiles, NiftiStatesRightAnteriorSuperiorCoordinates) {
  const TemporaryFolder folder;
  const Volume volume = example_volume();
  ASSERT_TRUE(save_volume(folder.path() / "v.nii", volume).has_value());
  const ByteString bytes = read_file(folder.path() / "v.nii", mebibytes(1)).value();
  ASSERT_EQ(bytes.size(), 352 + 60 * 4u);
  const auto at = [&](std::size_t offset) {
    float f;
    std::memcpy(&f, bytes.data() + offset, 4);
    return f;
  };
  const auto code = [&](std::size_t offset) {
    std::int16_t s;
    std::memcpy(&s, bytes.data() + offset, 2);
    return s;
  };
  EXPECT_EQ(code(252), 1);           // qform: scanner
  EXPECT_EQ(code(254), 1);           // sform
  EXPECT_FLOAT_EQ(at(280), -4.42F);  // srow_x: columns run to the left, against R
  EXPECT_FLOAT_EQ(at(292), 8.84F);
  EXPECT_FLOAT_EQ(at(300), -3.32F);  // srow_y: rows run to the back, against A
  EXPECT_FLOAT_EQ(at(308), -12.5F);
  EXPECT_FLOAT_EQ(at(320), 2.5F);  // srow_z: slices run to the head
  EXPECT_FLOAT_EQ(at(324), -101.25F);
  EXPECT_FLOAT_EQ(at(76), 1);   // qfac
  EXPECT_FLOAT_EQ(at(264), 1);  // quatern_d: half a turn about z
  EXPECT_FLOAT_EQ(at(268), 8.84F);
}

TEST(VolumeFiles, TheSameFileEveryTime) {
  const TemporaryFolder folder;
  ASSERT_TRUE(save_volume(folder.path() / "a.nii.gz", example_volume()).has_value());
  ASSERT_TRUE(save_volume(folder.path() / "b.nii.gz", example_volume()).has_value());
  EXPECT_EQ(read_file(folder.path() / "a.nii.gz", mebibytes(1)).value(),
            read_file(folder.path() / "b.nii.gz", mebibytes(1)).value());
}

TEST(VolumeFiles, DciodvfyFindsNoErrorInAnyDicomOfOurs) {
  if (run("command -v dciodvfy").first != 0) GTEST_SKIP() << "dciodvfy (dicom3tools) is not installed";
  const TemporaryFolder folder;
  std::vector<std::string> files;
  const auto path = [&](const std::string& name) {
    files.push_back((folder.path() / name).string());
    return folder.path() / name;
  };
  for (const PatientPosition position : kPositions) {
    ASSERT_TRUE(save_scan(path("scan" + to_string(position) + ".dcm"), example_scan(12, 2), {.position = position})
                    .has_value());
    const Identity identity = load_scan(files.back()).value().identity;
    ASSERT_TRUE(save_volume(path("volume" + to_string(position) + ".dcm"), example_volume(), &identity,
                            {.software_version = "0.1.0", .parameters = "OSEM 8 subsets, 4 iterations"})
                    .has_value());
  }
  ASSERT_TRUE(save_volume(path("nobody.dcm"), example_volume()).has_value());
  if (fs::exists(kDicom)) {
    const Identity identity = load_scan(kDicom).value().identity;
    ASSERT_TRUE(save_volume(path("spectub.dcm"), example_volume(), &identity).has_value());
  }
  for (const std::string& file : files) {
    const auto [status, output] = run("dciodvfy " + file);
    EXPECT_EQ(status, 0) << file << "\n" << output;
    EXPECT_THAT(output, testing::Not(HasSubstr("Error"))) << file;
  }
}

TEST(VolumeFiles, TheResultBelongsToThePatientAndPlaceOfTheScan) {
  if (!fs::exists(kDicom)) GTEST_SKIP() << kDicom << " is not there";
  const TemporaryFolder folder;
  const LoadedScan scan = load_scan(kDicom).value();
  const Volume volume = example_volume();
  // By way of the journal, as after a restart.
  const ByteString stored = scan.identity.serialise();
  const Identity identity = Identity::parse(stored).value();
  EXPECT_EQ(identity.serialise(), stored);
  ASSERT_TRUE(save_volume(folder.path() / "v.dcm", volume, &identity).has_value());
  const auto [status, dump] = run("dcmdump " + (folder.path() / "v.dcm").string());
  EXPECT_EQ(status, 0);
  for (const char* kept : {"Spectub^Phantom", "SPECTUB-001", "19700101", "1.2.826.0.1.3680043.10.511.3.1.2",
                           "1.2.826.0.1.3680043.10.511.3.1.4", "ACC-0042", "126.45", "RECON TOMO"}) {
    EXPECT_THAT(dump, HasSubstr(kept));
  }
  // A reference to the scan it was made from, and a name of its own.
  EXPECT_THAT(dump, HasSubstr("ReferencedSOPInstanceUID"));
  EXPECT_THAT(dump, HasSubstr("1.2.826.0.1.3680043.10.511.3.1.1]"));
  EXPECT_THAT(dump, HasSubstr("[2.25."));

  auto read = load_volume_with_warnings(folder.path() / "v.dcm");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_TRUE(read->identity.same_frame(scan.identity));
  // In the patient's coordinates; moved to the scan's it is where it was.
  EXPECT_NEAR(read->volume.geometry.z0.count(), volume.geometry.z0.count() + 104.58 - 19.5 * 3.32, 1e-9);
  ASSERT_TRUE(move_to_scan(read->volume, read->identity, scan.identity).has_value());
  expect_near(read->volume.geometry, volume.geometry);
  EXPECT_FALSE(move_to_scan(read->volume, Identity(), scan.identity).has_value());
}

TEST(VolumeFiles, AStoredIdentityIsReadOrRefused) {
  EXPECT_TRUE(Identity::parse(Identity().serialise()).value().empty());
  EXPECT_FALSE(Identity::parse({}).has_value());
  EXPECT_FALSE(Identity::parse(bytes_of("tomogrid-identity/1\nnonsense")).has_value());
  const TemporaryFolder folder;
  const ByteString stored = identity_of_position(PatientPosition::FFP, folder.path()).serialise();
  EXPECT_EQ(Identity::parse(stored).value().position(), PatientPosition::FFP);
  for (std::size_t length = 0; length < stored.size(); length += 7)
    (void)Identity::parse(ByteView(stored).subspan(0, length));
}

TEST(VolumeFiles, TheRealReconstructionIsReadWhereItSaysItIs) {
  const fs::path path = kSpect / "nm-dicom/recon-tomo_jaszczak_mediso.dcm";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto read = load_volume_with_warnings(path, "counts");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  const VolumeGeometry& g = read->volume.geometry;
  EXPECT_EQ(g.columns, 128u);
  EXPECT_EQ(g.slices, 45u);
  EXPECT_NEAR(g.column_mm.count(), 4.12999964, 1e-9);
  EXPECT_NEAR(g.slice_mm.count(), 4.12999964, 1e-9);
  // SpacingBetweenSlices is negative: the first slice is the one nearest the head.
  EXPECT_NEAR(g.z0.count(), -165.199986 - 44 * 4.12999964, 1e-6);
  EXPECT_THAT(read->warnings, testing::Contains(HasSubstr("SpacingBetweenSlices is negative")));
  double sum = 0;
  for (const float value : read->volume.values) sum += static_cast<double>(value);
  EXPECT_NEAR(sum, 1.25e8, 0.01e8);
}

TEST(VolumeFiles, RealNiftiVolumesAreRead) {
  const fs::path path = kSpect / "brain-template/SPECT.nii";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto read = load_volume(path, "1");
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->geometry.columns, 91u);
  EXPECT_EQ(read->geometry.rows, 109u);
  EXPECT_EQ(read->geometry.slice_mm.count(), 2);
  EXPECT_NEAR(*std::max_element(read->values.begin(), read->values.end()), 1929, 0.5);
  // The template's cerebellum lies low at the back: activity there, none high at the back.
  const VolumeGeometry& g = read->geometry;
  EXPECT_LT(g.y0.count(), 0);  // row 0 is in front
  EXPECT_LT(g.z0.count(), 0);  // slice 0 is at the neck
}

TEST(VolumeFiles, AttenuationMapsNeedTheirUnit) {
  const fs::path path = kSpect / "stir-reference/n64/mumap.hv";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is not there";
  const auto map = load_attenuation(path, AttenuationUnit::PerCentimetre);
  ASSERT_TRUE(map.has_value()) << map.error().message;
  EXPECT_EQ(map->volume.unit, "1/mm");
  EXPECT_NEAR(*std::max_element(map->volume.values.begin(), map->volume.values.end()), 0.015, 1e-6);
  EXPECT_EQ(map->volume.geometry, centred_grid(64, 64, 64, Millimetres(8.84), Millimetres(8.84), Millimetres(8.84)));
  for (const AttenuationUnit wrong : {AttenuationUnit::PerMillimetre, AttenuationUnit::Hounsfield}) {
    const auto refused = load_attenuation(path, wrong, PerMillimetre(0.0154));
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().code, ErrorCode::BadInput);
  }
}

TEST(VolumeFiles, HounsfieldUnitsBecomeAttenuation) {
  const TemporaryFolder folder;
  Volume ct;
  ct.geometry = centred_grid(2, 2, 2, Millimetres(2), Millimetres(2), Millimetres(2));
  ct.values = {-1000, -2000, 0, 1000, -500, 40, 3000, -1000};
  ASSERT_TRUE(save_volume(folder.path() / "ct.nii", ct).has_value());
  const auto map = load_attenuation(folder.path() / "ct.nii", AttenuationUnit::Hounsfield, PerMillimetre(0.0154));
  ASSERT_TRUE(map.has_value()) << map.error().message;
  EXPECT_FLOAT_EQ(map->volume.values[0], 0);
  EXPECT_FLOAT_EQ(map->volume.values[1], 0);
  EXPECT_FLOAT_EQ(map->volume.values[2], 0.0154F);
  EXPECT_GT(map->volume.values[3], 0.0154F * 1.3F);
  EXPECT_LT(map->volume.values[3], 0.0154F * 2.0F);  // less than the Hounsfield number says
  EXPECT_FLOAT_EQ(map->volume.values[4], 0.0077F);
  EXPECT_FALSE(load_attenuation(folder.path() / "ct.nii", AttenuationUnit::Hounsfield).has_value());
  EXPECT_FALSE(load_attenuation(folder.path() / "ct.nii", AttenuationUnit::PerCentimetre).has_value());
}

TEST(VolumeFiles, WhatCannotBeSavedLeavesNothing) {
  const TemporaryFolder folder;
  Volume volume = example_volume();
  EXPECT_FALSE(can_save_volume(folder.path() / "v.txt").has_value());
  EXPECT_FALSE(save_volume(folder.path() / "v.txt", volume).has_value());
  EXPECT_EQ(save_volume(folder.path() / "no/such/folder/v.nii", volume).error().code, ErrorCode::Storage);
  volume.values[3] = std::nanf("");
  for (const char* name : {"v.nii", "v.nii.gz", "v.hv", "v.dcm", "v.png"}) {
    EXPECT_TRUE(can_save_volume(folder.path() / name).has_value()) << name;
    EXPECT_FALSE(save_volume(folder.path() / name, volume).has_value()) << name;
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(VolumeFiles, OtherVolumesAreRefusedByName) {
  if (!fs::exists(kDicom)) GTEST_SKIP() << kDicom << " is not there";
  EXPECT_THAT(load_volume(kDicom).error().message, HasSubstr("a tomographic acquisition"));
  EXPECT_THAT(load_volume(kSpect / "nm-dicom/static_fourbar_mediso.dcm").error().message, HasSubstr("STATIC"));
  EXPECT_THAT(load_volume(kSpect / "stir-reference/n64/proj_att_noisy.hs").error().message, HasSubstr("projections"));
  EXPECT_THAT(load_volume(fs::path(TOMOGRID_DATA) / "fmri/4d/example4d.nii.gz").error().message,
              HasSubstr("a series of 2 volumes"));
}

TEST(VolumeFiles, AMosaicIsAPicture) {
  const TemporaryFolder folder;
  Volume volume = example_volume();
  ASSERT_TRUE(save_volume(folder.path() / "v.png", volume).has_value());
  ASSERT_TRUE(save_mosaic(folder.path() / "c.png", volume, Palette::Colour).has_value());
  for (const char* name : {"v.png", "c.png"}) {
    const ByteString bytes = read_file(folder.path() / name, mebibytes(4)).value();
    ASSERT_GT(bytes.size(), 200u);
    EXPECT_EQ(text_of(ByteView(bytes).subspan(1, 3)), "PNG");
    EXPECT_EQ(bytes[18] * 256 + bytes[19], 6 + 4 * 246);  // width
  }
  volume.values.assign(volume.values.size(), 0.0F);
  EXPECT_TRUE(save_volume(folder.path() / "dark.png", volume).has_value());
}

}  // namespace
}  // namespace tomogrid::image
