// Angles, axes, words and text headers: the pure parts beneath the file formats.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "image/interfile_header.h"
#include "image/nuclides.h"
#include "image/numbers.h"
#include "image/orientation.h"
#include "image/refusal.h"

namespace tomogrid::image {
namespace {

constexpr double kPi = std::numbers::pi;
constexpr PatientPosition kPositions[] = {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS,
                                          PatientPosition::FFP};

TEST(Angles, DicomZeroIsThePatientsBackAndNinetyTheLeft) {
  EXPECT_DOUBLE_EQ(theta_of_dicom(0).count(), kPi);       // posterior
  EXPECT_DOUBLE_EQ(theta_of_dicom(90).count(), kPi / 2);  // left
  EXPECT_DOUBLE_EQ(theta_of_dicom(180).count(), 0);       // anterior
  EXPECT_DOUBLE_EQ(theta_of_dicom(270).count(), 3 * kPi / 2);
}

TEST(Angles, ClockwiseFromOneHundredAndEightyIsTwoPiKOverV) {
  for (int k = 0; k < 120; ++k)
    EXPECT_NEAR(theta_of_dicom(180 - 3.0 * k).count(), 2 * kPi * k / 120, 1e-15 + 1e-15 * k);
}

TEST(Angles, ComeBackInOneTurn) {
  for (const double degrees : {0.0, 2.8125, 90.0, 177.5, 180.0, 359.0}) {
    EXPECT_DOUBLE_EQ(dicom_of_theta(theta_of_dicom(degrees)), degrees);
    EXPECT_DOUBLE_EQ(dicom_of_theta(theta_of_dicom(degrees + 720)), degrees);
    EXPECT_DOUBLE_EQ(dicom_of_theta(theta_of_dicom(degrees - 360)), degrees);
  }
}

// The gantry's mapping is derived again here from vectors: a point seen in the gantry's frame must be seen at the same
// u, v and depth in the patient's.
TEST(Angles, APatientTurnedInTheGantryIsSeenByTheSameDetector) {
  const double X = 31, Y = -17, Z = 11, R = 200;  // file axes of the gantry
  for (const PatientPosition position : kPositions) {
    const FileAxes axes = gantry_axes(position);
    const GantryView view = gantry_view(position);
    const double x = axes.x * X, y = axes.y * Y, z = axes.z * Z;
    for (const double gantry_theta : {0.0, 0.4, 1.9, 3.5, 5.1}) {
      const double theta = view.turn * gantry_theta + view.shift_degrees * kPi / 180;
      const double u_file = X * std::cos(gantry_theta) + Y * std::sin(gantry_theta);
      const double d_file = R - X * std::sin(gantry_theta) + Y * std::cos(gantry_theta);
      const double u = x * std::cos(theta) + y * std::sin(theta);
      const double d = R - x * std::sin(theta) + y * std::cos(theta);
      EXPECT_NEAR(u, view.bins_reversed ? -u_file : u_file, 1e-12) << to_string(position);
      EXPECT_NEAR(d, d_file, 1e-12) << to_string(position);
      EXPECT_DOUBLE_EQ(z, view.rows_reversed ? -Z : Z) << to_string(position);
    }
  }
}

TEST(Angles, TheFileAxesOfAnInterfileAreALeftHandedSetWhereverThePatientLies) {
  // Left, back, feet: a mirror image of left, back, head. Turning the patient keeps the handedness.
  for (const PatientPosition position : kPositions) {
    const FileAxes axes = gantry_axes(position);
    EXPECT_EQ(axes.x * axes.y * axes.z, -1) << to_string(position);
  }
}

TEST(Grids, AreTurnedAlongThePatientsAxes) {
  // File: i towards the feet, j to the right, k to the back.
  FileGrid grid;
  grid.size = {2, 3, 4};
  grid.step = {{{0, 0, -5}, {-2, 0, 0}, {0, 3, 0}}};
  grid.origin = {10, 20, 30};
  std::vector<float> values(24);
  for (std::size_t n = 0; n < values.size(); ++n) values[n] = static_cast<float>(n);
  const Volume volume = along_axes(grid, values, "1");
  EXPECT_EQ(volume.geometry.columns, 3u);
  EXPECT_EQ(volume.geometry.rows, 4u);
  EXPECT_EQ(volume.geometry.slices, 2u);
  EXPECT_EQ(volume.geometry.x0.count(), 6);  // 10 - 2 x 2
  EXPECT_EQ(volume.geometry.y0.count(), 20);
  EXPECT_EQ(volume.geometry.z0.count(), 25);
  EXPECT_EQ(volume.geometry.slice_mm.count(), 5);
  // Voxel (column 0, row 1, slice 1): j = 2, k = 1, i = 0.
  EXPECT_EQ(volume.values[(1 * 4 + 1) * 3 + 0], static_cast<float>(0 + 2 * (2 + 3 * 1)));
}

TEST(Grids, ObliqueAndSingularOnesAreRefused) {
  FileGrid grid;
  grid.size = {2, 2, 2};
  grid.step = {{{2, 0.1, 0}, {-0.1, 2, 0}, {0, 0, 2}}};
  EXPECT_THROW(along_axes(grid, std::vector<float>(8), ""), Refusal);
  grid.step = {{{2, 0, 0}, {2, 0, 0}, {0, 0, 2}}};
  EXPECT_THROW(along_axes(grid, std::vector<float>(8), ""), Refusal);
  grid.step = {{{2, 0, 0}, {0, 0, 0}, {0, 0, 2}}};
  EXPECT_THROW(along_axes(grid, std::vector<float>(8), ""), Refusal);
  grid.step = {{{2, 0, 0}, {0, 2e-5, 2}, {0, 2, 0}}};
  EXPECT_NO_THROW(along_axes(grid, std::vector<float>(8), ""));
}

TEST(Words, NuclidesAreFoundInTheWaysFilesWriteThem) {
  for (const char* word :
       {"^99m^Technetium", "Technetium Tc^99m^", "Tc99m", "TC-99M", "99mTc", "Tc-99m MIBI", "technetium 99m"}) {
    EXPECT_EQ(nuclide_in(word).value_or("none"), "Tc-99m") << word;
  }
  EXPECT_EQ(nuclide_in("^123^Iodine").value_or("none"), "I-123");
  EXPECT_EQ(nuclide_in("Lu 177 PSMA").value_or("none"), "Lu-177");
  EXPECT_FALSE(nuclide_in("99Technetium Smith").has_value());
  EXPECT_FALSE(nuclide_in("Mr Smith, 67").has_value());
  EXPECT_NEAR(half_life_of("Tc-99m")->count(), 6.0 * 3600, 60);
  EXPECT_FALSE(half_life_of("Xx-1").has_value());
}

TEST(Words, CollimatorsAreOnlyThoseWeKnow) {
  EXPECT_EQ(collimator_in("SY-LEHR").value_or("none"), "LEHR");
  EXPECT_EQ(collimator_in("lehr par").value_or("none"), "LEHR");
  EXPECT_FALSE(collimator_in("Room of Dr Smith").has_value());
}

TEST(Numbers, DecimalStringsFitDicomAndKeepTheirValue) {
  for (const double value :
       {0.0, -0.0, 3.32, -210.82, 1e-300, 1.0 / 3, -1.0 / 3, 123456789.123456789, 2.2250738585072014e-308}) {
    const std::string text = decimal_string(value);
    EXPECT_LE(text.size(), 16u) << text;
    EXPECT_NEAR(parse_double(text).value(), value, std::abs(value) * 1e-8) << text;
  }
  EXPECT_EQ(decimal_string(3.32), "3.32");
  EXPECT_EQ(widen(3.32F), 3.32);
  for (const char* bad : {"", "1,5", "1 2", "nan", "inf", "0x10", "1e999", "+-1"})
    EXPECT_FALSE(parse_double(bad)) << bad;
}

TEST(InterfileText, KeysIgnoreCaseBlanksUnderscoresAndMarks) {
  const InterfileHeader header(
      "!INTERFILE :=\n!Matrix_Size [1] := 128 ; across\r\nradius := {1, 2.5,3}\n;a comment\n!END OF INTERFILE "
      ":=\nrest");
  EXPECT_EQ(header.count("matrix size[1]", 1, 200), 128u);
  EXPECT_EQ(header.numbers("Radius"), (std::vector<double>{1, 2.5, 3}));
  EXPECT_FALSE(header.has("rest"));
}

TEST(InterfileText, NonsenseIsRefused) {
  for (const std::string& text :
       {std::string(""), std::string("INTERFILE\n"), std::string("a := b\n"), std::string("!INTERFILE :=\na := 1\n"),
        std::string("!INTERFILE :=\nno sign\n"), std::string("!INTERFILE :=\na := 1\nA := 2\n"),
        std::string("!INTERFILE :=\nx := \0y\n", 21), "!INTERFILE :=\nx := " + std::string(70000, 'x') + "\n"}) {
    EXPECT_THROW(InterfileHeader{text}, Refusal) << text.substr(0, 40);
  }
  const InterfileHeader header(
      "!INTERFILE :=\nn := 1.5\nbig := 1e30\nlist := 1,,2\nbrace := {1,2\n!END OF INTERFILE :=\n");
  EXPECT_THROW(header.count("n", 1, 10), Refusal);
  EXPECT_THROW(header.count("big", 1, 10), Refusal);
  EXPECT_THROW(header.count("absent", 1, 10), Refusal);
  EXPECT_THROW(header.numbers("list"), Refusal);
  EXPECT_THROW(header.numbers("brace"), Refusal);
}

}  // namespace
}  // namespace tomogrid::image
