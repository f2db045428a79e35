// A folder of CT slices as an attenuation map. The slices are written here, with DCMTK, one element at a time.
#include <dcmtk/config/osconfig.h>
// osconfig.h first
#include <dcmtk/dcmdata/dctk.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/file.h"
#include "example_scan.h"
#include "image/ct_series.h"

namespace tomogrid::image {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::size_t kSide = 64;
constexpr PerMillimetre kWater{0.01538};

// What lies at a place, mm, in Hounsfield units.
using Body = std::function<double(double x, double y, double z)>;

struct Shape {
  double pixel_mm = 4, spacing_mm = 5, first_z = -20;
  std::size_t slices = 9;
  bool feet_to_head = true;
};

double cylinder(double x, double y, double) {
  return x * x + y * y < 80.0 * 80.0 ? 0 : -1000;
}

class CtSeriesTest : public testing::Test {
 protected:
  using Change = std::function<void(DcmDataset&, std::size_t slice)>;

  // File names are not in the order of the slices.
  void write(const Body& body, const Shape& shape = {}, const Change& change = {}) {
    for (std::size_t s = 0; s < shape.slices; ++s) {
      DcmFileFormat file;
      DcmDataset& d = *file.getDataset();
      const double z = shape.first_z + static_cast<double>(s) * shape.spacing_mm;
      const double corner = -0.5 * static_cast<double>(kSide - 1) * shape.pixel_mm;
      const auto put = [&d](const DcmTagKey& tag, const std::string& value) {
        EXPECT_TRUE(d.putAndInsertString(tag, value.c_str()).good());
      };
      put(DCM_SOPClassUID, UID_CTImageStorage);
      put(DCM_SOPInstanceUID, "1.2.3." + std::to_string(s + 1));
      put(DCM_Modality, "CT");
      put(DCM_ImageType, "ORIGINAL\\PRIMARY\\AXIAL");
      put(DCM_SeriesInstanceUID, "1.2.9");
      put(DCM_FrameOfReferenceUID, "1.2.8");
      put(DCM_PatientName, "Nobody^Known");
      put(DCM_KVP, "120");
      put(DCM_ImageOrientationPatient, "1\\0\\0\\0\\1\\0");
      put(DCM_ImagePositionPatient, std::to_string(corner) + "\\" + std::to_string(corner) + "\\" + std::to_string(z));
      put(DCM_PixelSpacing, std::to_string(shape.pixel_mm) + "\\" + std::to_string(shape.pixel_mm));
      put(DCM_SliceThickness, std::to_string(shape.spacing_mm));
      put(DCM_RescaleSlope, "1");
      put(DCM_RescaleIntercept, "-1024");
      put(DCM_PhotometricInterpretation, "MONOCHROME2");
      d.putAndInsertUint16(DCM_Rows, kSide);
      d.putAndInsertUint16(DCM_Columns, kSide);
      d.putAndInsertUint16(DCM_SamplesPerPixel, 1);
      d.putAndInsertUint16(DCM_BitsAllocated, 16);
      d.putAndInsertUint16(DCM_BitsStored, 16);
      d.putAndInsertUint16(DCM_HighBit, 15);
      d.putAndInsertUint16(DCM_PixelRepresentation, 0);
      std::vector<Uint16> pixels;
      for (std::size_t i = 0; i < kSide * kSide; ++i) {
        const double x = corner + static_cast<double>(i % kSide) * shape.pixel_mm;
        const double y = corner + static_cast<double>(i / kSide) * shape.pixel_mm;
        pixels.push_back(static_cast<Uint16>(std::lround(body(x, y, z) + 1024)));
      }
      d.putAndInsertUint16Array(DCM_PixelData, pixels.data(), pixels.size());
      if (change) change(d, s);
      const std::string name = "slice" + std::to_string((s * 7 + 3) % 100) + ".dcm";
      EXPECT_TRUE(file.saveFile((folder() / name).string().c_str(), EXS_LittleEndianExplicit).good());
    }
  }
  std::filesystem::path folder() const { return folder_.path(); }
  Result<LoadedVolume> map() const { return load_attenuation(folder(), AttenuationUnit::Hounsfield, kWater); }
  void expect_refused(const std::string& by) {
    const auto refused = map();
    ASSERT_FALSE(refused.has_value()) << by;
    EXPECT_EQ(refused.error().code, ErrorCode::BadInput);
    EXPECT_THAT(refused.error().message, HasSubstr(by));
  }
  static float at(const Volume& volume, double x, double y, double z) {
    const VolumeGeometry& g = volume.geometry;
    const auto index = [](double place, Millimetres first, Millimetres step) {
      return static_cast<std::size_t>(std::lround((place - first.count()) / step.count()));
    };
    return volume.values[(index(z, g.z0, g.slice_mm) * g.rows + index(y, g.y0, g.row_mm)) * g.columns +
                         index(x, g.x0, g.column_mm)];
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(CtSeriesTest, SlicesAreStackedByTheirPositionsAndBecomeAttenuation) {
  write([](double x, double y, double z) { return cylinder(x, y, z) + (x > 40 && y < 0 && z > 0 ? 60 : 0); });
  const auto loaded = map();
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const Volume& mu = loaded->volume;
  EXPECT_THAT(loaded->warnings, IsEmpty());
  EXPECT_EQ(mu.unit, "1/mm");
  EXPECT_EQ(mu.geometry.columns, kSide);
  EXPECT_EQ(mu.geometry.slices, 9U);
  EXPECT_NEAR(mu.geometry.z0.count(), -20, 1e-9);
  EXPECT_NEAR(mu.geometry.slice_mm.count(), 5, 1e-9);
  EXPECT_FLOAT_EQ(at(mu, 0, 0, 0), 0.01538F);
  EXPECT_FLOAT_EQ(at(mu, 110, 0, 0), 0.0F);
  EXPECT_GT(at(mu, 50, -30, 20), 0.0157F);  // left, front, head
  EXPECT_FLOAT_EQ(at(mu, 50, -30, -20), 0.01538F);
  EXPECT_FLOAT_EQ(at(mu, -50, -30, 20), 0.01538F);
}

TEST_F(CtSeriesTest, BoneFollowsTheTubeVoltage) {
  // Cortical bone as XCOM gives it: 0.295/cm at 140 keV. What CT shows of it depends on the tube: 1593 HU at 70 keV.
  double before = 0;
  for (const auto& [kvp, hounsfield] : {std::pair("80", 2438), std::pair("120", 1593), std::pair("140", 1403)}) {
    write(
        [bone = hounsfield](double x, double y, double z) { return std::hypot(x, y) < 30 ? bone : cylinder(x, y, z); },
        {}, [voltage = kvp](DcmDataset& d, std::size_t) { d.putAndInsertString(DCM_KVP, voltage); });
    const auto loaded = map();
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
    EXPECT_NEAR(static_cast<double>(at(loaded->volume, 0, 0, 0)), 0.0295, 0.0006) << kvp;
    EXPECT_FLOAT_EQ(at(loaded->volume, 60, 0, 0), 0.01538F) << kvp;
    const double slope = (static_cast<double>(at(loaded->volume, 0, 0, 0)) / 0.01538 - 1) / hounsfield;
    EXPECT_GT(slope, before) << "the softer the tube, the more bone is overstated";
    before = slope;
  }
}

TEST_F(CtSeriesTest, FineSlicesAreAveragedAndNotSampled) {
  // Stripes of one pixel, 0 and -1000 HU: their mean is half of water, wherever a voxel lies.
  write([](double x, double y,
           double) { return static_cast<int>(std::floor(x / 0.5)) % 2 == 0 && std::hypot(x, y) < 12 ? 0 : -1000; },
        {.pixel_mm = 0.5, .spacing_mm = 0.5, .first_z = -2, .slices = 8});
  const auto loaded = map();
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const VolumeGeometry& g = loaded->volume.geometry;
  EXPECT_EQ(g.columns, kSide / 4);
  EXPECT_EQ(g.slices, 2U);
  EXPECT_NEAR(g.column_mm.count(), 2, 1e-9);
  EXPECT_NEAR(g.x0.count(), -15, 1e-9);  // the middle of what was there stays where it was
  EXPECT_NEAR(static_cast<double>(at(loaded->volume, 1, 1, -1.25)), 0.5 * 0.01538, 1e-6);
  EXPECT_NEAR(static_cast<double>(at(loaded->volume, -5, 3, 0.75)), 0.5 * 0.01538, 1e-6);
}

TEST_F(CtSeriesTest, WhatIsOddIsSaid) {
  write([](double x, double y, double z) { return std::abs(y) < 60 && z < 0 ? 0 : cylinder(x, y, z); }, {},
        [](DcmDataset& d, std::size_t s) {
          d.putAndInsertString(DCM_SpacingBetweenSlices, "3");
          if (s == 4) d.putAndInsertString(DCM_ImagePositionPatient, "-126\\-126\\0.1");
          d.findAndDeleteElement(DCM_KVP);
        });
  write_file(folder() / "notes.txt", bytes_of("a text")).or_throw();
  const auto loaded = map();
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("1 files in the folder are not CT slices")));
  EXPECT_THAT(loaded->warnings, Contains(AllOf(HasSubstr("cuts the body off in 4 of 9"))));
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("not quite evenly spaced")));
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("SpacingBetweenSlices of the CT contradicts")));
  EXPECT_THAT(loaded->warnings, Contains(HasSubstr("KVP is not stated")));
}

TEST_F(CtSeriesTest, SeriesThatCannotBeRightAreRefusedByName) {
  const auto refused_when = [&](const Change& change, const std::string& by) {
    write(cylinder, {}, change);
    expect_refused(by);
  };
  const auto on_slice = [](std::size_t which, const DcmTagKey& tag, const char* value) {
    return [=](DcmDataset& d, std::size_t s) {
      if (s == which) d.putAndInsertString(tag, value);
    };
  };
  expect_refused("no CT slice");
  refused_when(on_slice(3, DCM_SeriesInstanceUID, "1.2.10"), "several series");
  refused_when(on_slice(3, DCM_FrameOfReferenceUID, "1.2.11"), "FrameOfReferenceUID differs");
  refused_when(on_slice(3, DCM_PixelSpacing, "3\\3"), "PixelSpacing differs");
  refused_when(on_slice(3, DCM_ImagePositionPatient, "-126\\-126\\-10"), "at one place");
  refused_when(on_slice(3, DCM_ImagePositionPatient, "-126\\-126\\-3"), "not evenly spaced");
  refused_when(on_slice(3, DCM_ImagePositionPatient, "-100\\-126\\-5"), "shifted");
  refused_when(on_slice(8, DCM_KVP, "100"), "KVP differs");
  refused_when([](DcmDataset& d, std::size_t) { d.putAndInsertString(DCM_KVP, "511"); }, "60 and 150");
  refused_when([](DcmDataset& d, std::size_t) { d.putAndInsertString(DCM_SOPClassUID, UID_EnhancedCTImageStorage); },
               "enhanced");
  refused_when([](DcmDataset& d, std::size_t) { d.findAndDeleteElement(DCM_RescaleIntercept); }, "RescaleIntercept");
  refused_when(
      [](DcmDataset& d, std::size_t) { d.putAndInsertString(DCM_ImageOrientationPatient, "1\\0\\0\\0\\0.940\\0.342"); },
      "");  // a tilted gantry
  write(cylinder);
  const auto unit = load_attenuation(folder(), AttenuationUnit::PerCentimetre);
  ASSERT_FALSE(unit.has_value());
  EXPECT_THAT(unit.error().message, HasSubstr("in HU"));
}

TEST_F(CtSeriesTest, AMissingSliceIsNoticed) {
  write(cylinder);
  std::filesystem::remove(folder() / "slice31.dcm");  // the fifth
  expect_refused("is one missing?");
}

TEST_F(CtSeriesTest, ItIsRegisteredByFrameOfReferenceOrRefused) {
  write(cylinder, {.first_z = 80});
  TemporaryFolder scans;
  const auto scan_in_frame = [&](const char* frame, const LoadOptions& options = {}) {
    const std::string path = (scans.path() / "scan.dcm").string();
    EXPECT_TRUE(save_scan(path, example_scan()).has_value());
    DcmFileFormat file;
    EXPECT_TRUE(file.loadFile(path.c_str()).good());
    file.getDataset()->putAndInsertString(DCM_FrameOfReferenceUID, frame);
    DcmItem* detector = nullptr;
    EXPECT_TRUE(file.getDataset()->findAndGetSequenceItem(DCM_DetectorInformationSequence, detector, 0).good());
    detector->putAndInsertString(DCM_ImagePositionPatient, "0\\0\\104.875");  // the middle row is at z = 100
    EXPECT_TRUE(file.saveFile(path.c_str()).good());
    return load_scan(path, options).or_throw();
  };
  LoadedVolume same = map().or_throw(), other = same;
  const LoadedScan scan = scan_in_frame("1.2.8");
  ASSERT_TRUE(place_attenuation(same, scan.identity, scan.projections.geometry).has_value());
  EXPECT_NEAR(same.volume.geometry.z0.count(), -20, 1e-6);
  EXPECT_THAT(same.warnings, IsEmpty());
  LoadedVolume aside = map().or_throw();
  const double x0 = aside.volume.geometry.x0.count(), y0 = aside.volume.geometry.y0.count();
  const LoadedScan told = scan_in_frame("1.2.8", {.axis = std::array{Millimetres(4), Millimetres(-154.5)}});
  ASSERT_TRUE(place_attenuation(aside, told.identity, told.projections.geometry).has_value());
  EXPECT_NEAR(aside.volume.geometry.x0.count(), x0 - 4, 1e-6) << "the axis is where x = 0 is";
  EXPECT_NEAR(aside.volume.geometry.y0.count(), y0 + 154.5, 1e-6);
  const LoadedScan elsewhere = scan_in_frame("1.2.7");
  const auto refused = place_attenuation(other, elsewhere.identity, elsewhere.projections.geometry);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("FrameOfReferenceUID"));
}

TEST_F(CtSeriesTest, AMapThatIsTooShortIsSaidAndOneOfAnotherPlaceRefused) {
  write(cylinder, {.spacing_mm = 3, .first_z = 0, .slices = 2});
  LoadedVolume map_of_part = map().or_throw();
  const Projections scan = example_scan();  // rows at -4.875, -1.625, 1.625, 4.875
  const auto lost = place_attenuation(map_of_part, Identity(), scan.geometry);
  ASSERT_FALSE(lost.has_value()) << "where the scan lay is not known, and a CT is nowhere near its centre by itself";
  map_of_part.identity = Identity();
  ASSERT_TRUE(place_attenuation(map_of_part, Identity(), scan.geometry).has_value());
  EXPECT_THAT(map_of_part.warnings, Contains(HasSubstr("covers 1 of the scan's 4 slices")));
  LoadedVolume far_away = map().or_throw();
  far_away.identity = Identity();
  far_away.volume.geometry.z0 = Millimetres(300);
  EXPECT_FALSE(place_attenuation(far_away, Identity(), scan.geometry).has_value());
}

TEST(RealCt, ThreeSlicesOfAPhantomAreACoarseMap) {
  const std::filesystem::path slices = std::filesystem::path(TOMOGRID_DATA) / "spect" / "ct-catphan604";
  if (!std::filesystem::exists(slices)) GTEST_SKIP() << "outside data is absent: " << slices;
  // Slices 20, 40 and 60 are evenly spaced: a volume, if a coarse one.
  const auto map = load_attenuation(slices, AttenuationUnit::Hounsfield, kWater);
  ASSERT_TRUE(map.has_value()) << map.error().message;
  const VolumeGeometry& g = map->volume.geometry;
  EXPECT_EQ(g.slices, 3U);
  // The phantom's body is near water.
  const float middle = map->volume.values[(g.rows / 2) * g.columns + g.columns / 2];
  EXPECT_NEAR(static_cast<double>(middle), 0.0154, 0.003);
}

}  // namespace
}  // namespace tomogrid::image
