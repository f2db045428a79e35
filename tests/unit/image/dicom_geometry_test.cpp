// How each element of a DICOM acquisition moves or stops a scan. Files of ours, changed one element at a time.
#include <dcmtk/config/osconfig.h>
// osconfig.h first
#include <dcmtk/dcmdata/dctk.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "base/file.h"
#include "example_scan.h"

namespace tomogrid::image {
namespace {

using testing::HasSubstr;
constexpr double kDegree = std::numbers::pi / 180;

class DicomGeometry : public testing::Test {
 protected:
  using Change = std::function<void(DcmDataset&)>;

  // A scan of ours, saved, changed and read again.
  Result<LoadedScan> with(const Projections& scan, const Change& change, const LoadOptions& options = {}) {
    const std::string path = (folder_.path() / "s.dcm").string();
    EXPECT_TRUE(save_scan(path, scan).has_value());
    DcmFileFormat file;
    EXPECT_TRUE(file.loadFile(path.c_str()).good());
    change(*file.getDataset());
    EXPECT_TRUE(file.saveFile(path.c_str()).good());
    return load_scan(path, options);
  }
  Result<LoadedScan> with(const Change& change, const LoadOptions& options = {}) {
    return with(scan_, change, options);
  }

  static DcmItem& detector(DcmDataset& dataset, signed long number = 0) {
    DcmItem* item = nullptr;
    EXPECT_TRUE(dataset.findAndGetSequenceItem(DCM_DetectorInformationSequence, item, number).good());
    return *item;
  }
  static DcmItem& rotation(DcmDataset& dataset) {
    DcmItem* item = nullptr;
    EXPECT_TRUE(dataset.findAndGetSequenceItem(DCM_RotationInformationSequence, item, 0).good());
    return *item;
  }
  static std::vector<double> numbers_of(DcmItem& item, const DcmTagKey& tag) {
    std::vector<double> values;
    Float64 value = 0;
    for (unsigned long i = 0; item.findAndGetFloat64(tag, value, i).good(); ++i) values.push_back(value);
    return values;
  }
  void expect_refused(const Change& change, const std::string& by, const LoadOptions& options = {}) {
    const auto scan = with(change, options);
    ASSERT_FALSE(scan.has_value()) << by;
    EXPECT_EQ(scan.error().code, ErrorCode::BadInput);
    EXPECT_THAT(scan.error().message, HasSubstr(by));
  }
  static double degrees(const Result<LoadedScan>& scan, std::size_t view) {
    return scan->projections.geometry.views.at(view).angle.count() / kDegree;
  }

  TemporaryFolder folder_;
  Projections scan_ = example_scan();
};

TEST_F(DicomGeometry, APhysicallyRightFileOfALeftSidedSourceIsOnTheLeft) {
  // Built from PS3.3's words alone. A source at the patient's left, in front, high. Detector at the back first (0
  // degrees), turning counter-clockwise seen from the feet: towards the left. Seen from behind, head up, the patient's
  // left is on the left of the picture: column 1. Seen from the left, front is on the left of the picture.
  Projections scan = example_scan(4);
  std::fill(scan.values.begin(), scan.values.end(), 0.0F);
  const auto change = [](DcmDataset& d) {
    for (DcmItem* item : {&detector(d), &rotation(d)}) item->putAndInsertString(DCM_StartAngle, "0");
    rotation(d).putAndInsertString(DCM_RotationDirection, "CC");
    detector(d).findAndDeleteElement(DCM_ImageOrientationPatient);
    detector(d).findAndDeleteElement(DCM_ImagePositionPatient);
    std::vector<Uint16> pixels(4 * 4 * 6, 0);
    const auto set = [&pixels](std::size_t view, std::size_t column) {
      pixels[(view * 4 + 0) * 6 + column] = 100;
    };          // first row: head
    set(0, 1);  // from the back: left of the patient is on the left
    set(1, 1);  // from the left: front is on the left
    set(2, 4);  // from the front: left is on the right
    set(3, 4);  // from the right: front is on the right
    d.putAndInsertUint16Array(DCM_PixelData, pixels.data(), static_cast<unsigned long>(pixels.size()));
  };
  const auto read = with(scan, change);
  ASSERT_TRUE(read.has_value()) << read.error().message;
  const ProjectionGeometry& g = read->projections.geometry;
  const double x = 1.5 * 4.5, y = -1.5 * 4.5;  // left, front
  for (std::size_t k = 0; k < 4; ++k) {
    const double theta = g.views[k].angle.count();
    const double u = x * std::cos(theta) + y * std::sin(theta);
    const auto bin = static_cast<std::size_t>(std::lround((u - g.u0.count()) / g.bin_mm.count()));
    const std::size_t head_row = 3;
    EXPECT_EQ(read->projections.values[(k * 4 + head_row) * 6 + bin], 100) << "view " << k;
  }
}

TEST_F(DicomGeometry, FramesAreFoundThroughTheVectorsAndNotByOrder) {
  // All frames and their vector reversed: the same scan.
  const auto read = with([](DcmDataset& d) {
    std::vector<Uint16> views(12), pixels(12 * 24);
    const Uint16* old = nullptr;
    EXPECT_TRUE(d.findAndGetUint16Array(DCM_PixelData, old).good());
    for (std::size_t k = 0; k < 12; ++k) {
      views[k] = static_cast<Uint16>(12 - k);
      std::copy_n(old + (11 - k) * 24, 24, pixels.begin() + static_cast<std::ptrdiff_t>(k * 24));
    }
    d.putAndInsertUint16Array(DCM_AngularViewVector, views.data(), 12);
    d.putAndInsertUint16Array(DCM_PixelData, pixels.data(), static_cast<unsigned long>(pixels.size()));
  });
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_EQ(read->projections.values, scan_.values);
  EXPECT_EQ(read->projections.geometry.views[5].radius.count(), 205);
}

TEST_F(DicomGeometry, EachDetectorHasItsOwnStartAngle) {
  const auto read =
      with(example_scan(6, 2), [](DcmDataset& d) { detector(d, 1).putAndInsertString(DCM_StartAngle, "90"); });
  ASSERT_TRUE(read.has_value()) << read.error().message;
  EXPECT_NEAR(degrees(read, 0), 0, 1e-9);
  EXPECT_NEAR(degrees(read, 6), 90, 1e-9);
  EXPECT_NEAR(degrees(read, 7), 150, 1e-9);
  EXPECT_EQ(read->projections.geometry.views[7].start.count(), 20);  // heads move together
}

TEST_F(DicomGeometry, ContinuousMotionAddsHalfAStepInItsDirection) {
  for (const bool clockwise : {true, false}) {
    const auto read = with([clockwise](DcmDataset& d) {
      d.putAndInsertString(DCM_TypeOfDetectorMotion, "CONTINUOUS");
      rotation(d).putAndInsertString(DCM_RotationDirection, clockwise ? "CW" : "CC");
    });
    ASSERT_TRUE(read.has_value()) << read.error().message;
    EXPECT_NEAR(degrees(read, 0), clockwise ? 15 : 345, 1e-9);
    EXPECT_NEAR(degrees(read, 1), clockwise ? 45 : 315, 1e-9);
    EXPECT_THAT(read->warnings, testing::Contains(HasSubstr("half an angular step")));
  }
}

TEST_F(DicomGeometry, TheRadiusMayBeOneOrPerViewOrInTheDetector) {
  const auto one = with([](DcmDataset& d) { rotation(d).putAndInsertString(DCM_RadialPosition, "250"); });
  ASSERT_TRUE(one.has_value());
  EXPECT_EQ(one->projections.geometry.views[7].radius.count(), 250);
  const auto inside = with([](DcmDataset& d) { detector(d).putAndInsertString(DCM_RadialPosition, "260"); });
  ASSERT_TRUE(inside.has_value());
  EXPECT_EQ(inside->projections.geometry.views[7].radius.count(), 260);
  const auto none =
      with([](DcmDataset& d) { rotation(d).findAndDeleteElement(DCM_RadialPosition); }, {.radius = Millimetres(222)});
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->projections.geometry.views[7].radius.count(), 222);
  expect_refused([](DcmDataset& d) { rotation(d).putAndInsertString(DCM_RadialPosition, "1\\2\\3"); },
                 "RadialPosition");
  expect_refused([](DcmDataset& d) { rotation(d).putAndInsertString(DCM_RadialPosition, "-5"); }, "RadialPosition");
}

TEST_F(DicomGeometry, WhereTheAxisLiesInThePatientIsAskedForWhenTheFileLeavesItOpen) {
  const auto origin = [](const Result<LoadedScan>& scan) { return scan->identity.origin(); };
  const auto plain = with([](DcmDataset&) {});
  ASSERT_TRUE(plain.has_value());
  EXPECT_THAT(plain->warnings, testing::Not(testing::Contains(HasSubstr("--axis"))));
  EXPECT_EQ(origin(plain)[0].count(), 0);
  const auto table = with([](DcmDataset& d) { rotation(d).putAndInsertString(DCM_TableHeight, "154.5"); });
  ASSERT_TRUE(table.has_value());
  EXPECT_THAT(table->warnings, testing::Contains(HasSubstr("TableHeight (0018,1130) is 154.5 mm")));
  EXPECT_EQ(origin(table)[1].count(), 0);
  const auto beside = [](DcmDataset& d) {
    const std::vector<double> place = numbers_of(detector(d), DCM_ImagePositionPatient),
                              along = numbers_of(detector(d), DCM_ImageOrientationPatient);
    char moved[80];
    std::snprintf(moved, sizeof moved, "%.6g\\%.6g\\%.6g", place[0] + 30 * along[0], place[1] + 30 * along[1], place[2]);
    detector(d).putAndInsertString(DCM_ImagePositionPatient, moved);
  };
  const auto shifted = with(beside);
  ASSERT_TRUE(shifted.has_value());
  EXPECT_THAT(shifted->warnings, testing::Contains(HasSubstr("30 mm beside the origin")));
  const auto told = with(beside, {.axis = std::array{Millimetres(4), Millimetres(-154.5)}});
  ASSERT_TRUE(told.has_value());
  EXPECT_THAT(told->warnings, testing::Not(testing::Contains(HasSubstr("--axis"))));
  EXPECT_EQ(origin(told)[0].count(), 4);
  EXPECT_EQ(origin(told)[1].count(), -154.5);
}

TEST(Axis, IsTwoNumbers) {
  EXPECT_EQ(parse_axis("4,-154.5").value()[1].count(), -154.5);
  for (const char* wrong : {"", "4", "4,", ",4", "4,5,6", "x,y", "1e9,0", "nan,0"})
    EXPECT_FALSE(parse_axis(wrong).has_value()) << wrong;
}

TEST_F(DicomGeometry, TheAxisIsMovedByItsOffsetOnceOnly) {
  const auto moved = with([](DcmDataset& d) { detector(d).putAndInsertString(DCM_CenterOfRotationOffset, "2"); });
  ASSERT_TRUE(moved.has_value());
  EXPECT_NEAR(moved->projections.geometry.u0.count(), -2.5 * 4.5 - 2, 1e-12);
  const auto corrected = with([](DcmDataset& d) {
    detector(d).putAndInsertString(DCM_CenterOfRotationOffset, "2");
    d.putAndInsertString(DCM_CorrectedImage, "UNIF\\COR");
  });
  ASSERT_TRUE(corrected.has_value());
  EXPECT_NEAR(corrected->projections.geometry.u0.count(), -2.5 * 4.5, 1e-12);
  EXPECT_THAT(corrected->warnings, testing::Contains(HasSubstr("not applied again")));
}

TEST_F(DicomGeometry, WhatIsAlreadyCorrectedIsNotCorrectedAgain) {
  const auto decayed = with([](DcmDataset& d) { d.putAndInsertString(DCM_CorrectedImage, "DECY\\ATTN\\SCAT"); });
  ASSERT_TRUE(decayed.has_value());
  EXPECT_FALSE(decayed->projections.facts.half_life.has_value());
  EXPECT_FALSE(decayed->projections.facts.counts);
  EXPECT_EQ(decayed->warnings.size(), 3u);
}

TEST_F(DicomGeometry, RowsFollowTheOrientation) {
  const auto feet_first =
      with([](DcmDataset& d) { detector(d).putAndInsertString(DCM_ImageOrientationPatient, "1\\0\\0\\0\\0\\1"); });
  ASSERT_TRUE(feet_first.has_value());
  EXPECT_EQ(feet_first->projections.values[0],
            scan_.values[3 * 6]);  // what was the last row in the file is now highest
  const auto mirrored =
      with([](DcmDataset& d) { detector(d).putAndInsertString(DCM_ImageOrientationPatient, "-1\\0\\0\\0\\0\\-1"); });
  ASSERT_TRUE(mirrored.has_value());
  EXPECT_EQ(mirrored->projections.values[0], scan_.values[5]);
  EXPECT_THAT(mirrored->warnings, testing::Contains(HasSubstr("reversed")));
  const auto nonsense =
      with([](DcmDataset& d) { detector(d).putAndInsertString(DCM_ImageOrientationPatient, "1\\0\\0\\0\\1\\0"); });
  ASSERT_TRUE(nonsense.has_value());
  EXPECT_EQ(nonsense->projections.values, scan_.values);
  EXPECT_THAT(nonsense->warnings, testing::Contains(HasSubstr("ImageOrientationPatient")));
}

TEST_F(DicomGeometry, AnEnergyWindowOfSeveralIsChosen) {
  Projections scan = example_scan(4);
  const auto two = [](DcmDataset& d) {
    const Uint16 windows[] = {1, 2, 1, 2}, views[] = {1, 1, 2, 2};
    d.putAndInsertUint16Array(DCM_EnergyWindowVector, windows, 4);
    d.putAndInsertUint16Array(DCM_AngularViewVector, views, 4);
    DcmItem *window = nullptr, *range = nullptr;
    d.findOrCreateSequenceItem(DCM_EnergyWindowInformationSequence, window, 1);
    window->findOrCreateSequenceItem(DCM_EnergyWindowRangeSequence, range, 0);
    range->putAndInsertString(DCM_EnergyWindowLowerLimit, "110");
    range->putAndInsertString(DCM_EnergyWindowUpperLimit, "126");
  };
  const auto all = with(scan, two);
  ASSERT_FALSE(all.has_value());
  EXPECT_THAT(all.error().message, HasSubstr("--window: 1 (126.5 to 154.5 keV), 2 (110 to 126 keV)"));
  const auto second = with(scan, two, {.window = 2});
  ASSERT_TRUE(second.has_value()) << second.error().message;
  ASSERT_EQ(second->projections.geometry.views.size(), 2u);
  EXPECT_EQ(second->projections.facts.windows, (std::vector<EnergyWindow>{{110, 126}}));
  EXPECT_EQ(second->projections.values[0], scan.values[24]);
  EXPECT_FALSE(with(scan, two, {.window = 3}).has_value());
}

TEST_F(DicomGeometry, GatesAreSummedWhenAsked) {
  Projections scan = example_scan(4);
  const auto gated = [](DcmDataset& d) {
    d.putAndInsertString(DCM_ImageType, "ORIGINAL\\PRIMARY\\GATED TOMO\\EMISSION");
    const Uint16 slots[] = {1, 2, 1, 2}, ones[] = {1, 1, 1, 1}, views[] = {1, 1, 2, 2};
    auto* pointer = new DcmAttributeTag(DCM_FrameIncrementPointer);
    const DcmTagKey tags[] = {DCM_EnergyWindowVector, DCM_DetectorVector, DCM_RotationVector,
                              DCM_RRIntervalVector,   DCM_TimeSlotVector, DCM_AngularViewVector};
    for (unsigned long i = 0; i < 6; ++i) pointer->putTagVal(tags[i], i);
    d.insert(pointer, true);
    d.putAndInsertUint16Array(DCM_RRIntervalVector, ones, 4);
    d.putAndInsertUint16Array(DCM_TimeSlotVector, slots, 4);
    d.putAndInsertUint16Array(DCM_AngularViewVector, views, 4);
  };
  const auto refused = with(scan, gated);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("--sum-gates"));
  const auto summed = with(scan, gated, {.sum_gates = true});
  ASSERT_TRUE(summed.has_value()) << summed.error().message;
  ASSERT_EQ(summed->projections.geometry.views.size(), 2u);
  for (std::size_t n = 0; n < 24; ++n) EXPECT_EQ(summed->projections.values[n], scan.values[n] + scan.values[24 + n]);
}

TEST_F(DicomGeometry, PixelsOfEightSixteenAndThirtyTwoBitsSignedOrNot) {
  const std::size_t n = scan_.values.size();
  for (const unsigned bits : {8u, 16u, 32u}) {
    for (const bool is_signed : {false, true}) {
      SCOPED_TRACE(std::to_string(bits) + (is_signed ? " signed" : ""));
      const auto read = with([=](DcmDataset& d) {
        d.putAndInsertUint16(DCM_BitsAllocated, static_cast<Uint16>(bits));
        d.putAndInsertUint16(DCM_BitsStored, static_cast<Uint16>(bits));
        d.putAndInsertUint16(DCM_HighBit, static_cast<Uint16>(bits - 1));
        d.putAndInsertUint16(DCM_PixelRepresentation, is_signed ? 1 : 0);
        std::vector<Uint8> bytes(n * bits / 8, 0);
        for (std::size_t i = 0; i < n; ++i) {
          bytes[i * bits / 8] = 100;
          if (bits == 32) bytes[i * 4 + 2] = 1;  // 65636
        }
        if (is_signed) {  // one pixel of -1
          for (std::size_t b = 0; b < bits / 8; ++b) bytes[b] = 0xFF;
        }
        if (bits == 8)
          d.putAndInsertUint8Array(DCM_PixelData, bytes.data(), static_cast<unsigned long>(bytes.size()));
        else
          d.putAndInsertUint16Array(DCM_PixelData, reinterpret_cast<const Uint16*>(bytes.data()),
                                    static_cast<unsigned long>(bytes.size() / 2));
      });
      ASSERT_TRUE(read.has_value()) << read.error().message;
      const float expected = bits == 32 ? 65636.0F : 100.0F;
      EXPECT_EQ(std::count(read->projections.values.begin(), read->projections.values.end(), expected),
                static_cast<std::ptrdiff_t>(n - (is_signed ? 1 : 0)));
      if (is_signed) {  // clamped and said
        EXPECT_EQ(std::count(read->projections.values.begin(), read->projections.values.end(), 0.0F), 1);
        EXPECT_THAT(read->warnings, testing::Contains(HasSubstr("negative")));
      }
    }
  }
}

TEST_F(DicomGeometry, ManyNegativeCountsAreRefused) {
  expect_refused(
      [](DcmDataset& d) {
        d.putAndInsertUint16(DCM_PixelRepresentation, 1);
        std::vector<Uint16> pixels(12 * 24, 1000);
        for (std::size_t i = 0; i < 12; ++i) pixels[i] = static_cast<Uint16>(65536 - 100);
        d.putAndInsertUint16Array(DCM_PixelData, pixels.data(), static_cast<unsigned long>(pixels.size()));
      },
      "0.1 %");
}

TEST_F(DicomGeometry, WhatCannotBeReconstructedIsRefusedByName) {
  const std::vector<std::pair<Change, std::string>> cases{
      {[](DcmDataset& d) { detector(d).putAndInsertString(DCM_CollimatorType, "FANB"); }, "fan-beam"},
      {[](DcmDataset& d) { detector(d).putAndInsertString(DCM_CollimatorType, "CONE"); }, "cone-beam"},
      {[](DcmDataset& d) { detector(d).putAndInsertString(DCM_CollimatorType, "PINH"); }, "pinhole"},
      {[](DcmDataset& d) { detector(d).putAndInsertString(DCM_GantryDetectorTilt, "5"); }, "tilted"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_ImageType, "ORIGINAL\\PRIMARY\\GATED\\EMISSION"); },
       "gated planar"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_ImageType, "ORIGINAL\\PRIMARY\\TOMO\\TRANSMISSION"); },
       "transmission"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_ImageType, "ORIGINAL\\PRIMARY"); }, "ImageType"},
      {[](DcmDataset& d) {
         const Uint16 rotations[] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2};
         d.putAndInsertUint16Array(DCM_RotationVector, rotations, 12);
         DcmItem* second = new DcmItem(rotation(d));
         rotation(d).putAndInsertString(DCM_TableTraverse, "0");
         second->putAndInsertString(DCM_TableTraverse, "400");
         d.insertSequenceItem(DCM_RotationInformationSequence, second);
       },
       "the table moves"},
      {[](DcmDataset& d) { rotation(d).putAndInsertString(DCM_AngularStep, "0"); }, "AngularStep"},
      {[](DcmDataset& d) { rotation(d).putAndInsertString(DCM_AngularStep, "nan"); }, "AngularStep"},
      {[](DcmDataset& d) { rotation(d).findAndDeleteElement(DCM_AngularStep); }, "AngularStep"},
      {[](DcmDataset& d) { rotation(d).putAndInsertString(DCM_RotationDirection, "UP"); }, "RotationDirection"},
      {[](DcmDataset& d) { d.findAndDeleteElement(DCM_FrameIncrementPointer); }, "FrameIncrementPointer"},
      {[](DcmDataset& d) { d.findAndDeleteElement(DCM_AngularViewVector); }, "AngularViewVector"},
      {[](DcmDataset& d) {
         const Uint16 short_vector[] = {1, 2, 3};
         d.putAndInsertUint16Array(DCM_AngularViewVector, short_vector, 3);
       },
       "AngularViewVector"},
      {[](DcmDataset& d) {
         const Uint16 v[] = {1, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
         d.putAndInsertUint16Array(DCM_AngularViewVector, v, 12);
       },
       "same detector"},
      {[](DcmDataset& d) {
         const Uint16 v[] = {0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
         d.putAndInsertUint16Array(DCM_AngularViewVector, v, 12);
       },
       "not an index"},
      {[](DcmDataset& d) {
         const Uint16 v[] = {1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2};
         d.putAndInsertUint16Array(DCM_DetectorVector, v, 12);
       },
       "DetectorInformationSequence"},
      {[](DcmDataset& d) { d.findAndDeleteElement(DCM_PixelData); }, "PixelData"},
      {[](DcmDataset& d) { d.putAndInsertUint16(DCM_Rows, 4000); }, "truncated"},
      {[](DcmDataset& d) { d.putAndInsertUint16(DCM_Rows, 65535); }, "Rows"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_NumberOfFrames, "100000000000"); }, "NumberOfFrames"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_NumberOfFrames, "-1"); }, "NumberOfFrames"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_PixelSpacing, "0\\0"); }, "PixelSpacing"},
      {[](DcmDataset& d) { d.putAndInsertUint16(DCM_BitsAllocated, 12); }, "BitsAllocated"},
      {[](DcmDataset& d) { d.putAndInsertUint16(DCM_SamplesPerPixel, 3); }, "colour"},
      {[](DcmDataset& d) { d.putAndInsertString(DCM_SOPClassUID, UID_CTImageStorage); }, "CTImageStorage"}};
  for (const auto& [change, by] : cases) expect_refused(change, by);
}

TEST_F(DicomGeometry, ErrorsAndWarningsNeverQuoteThePatient) {
  const auto scan = with([](DcmDataset& d) {
    d.putAndInsertString(DCM_PatientName, "Secret^Person");
    d.putAndInsertString(DCM_PatientID, "SECRET-1");
    detector(d).putAndInsertString(DCM_CollimatorGridName, "Secret person");
    rotation(d).findAndDeleteElement(DCM_RadialPosition);
    d.putAndInsertString(DCM_TypeOfDetectorMotion, "Secret");
  });
  ASSERT_TRUE(scan.has_value()) << scan.error().message;
  EXPECT_FALSE(scan->warnings.empty());
  for (const std::string& warning : scan->warnings) EXPECT_THAT(warning, testing::Not(HasSubstr("ecret")));
}

}  // namespace
}  // namespace tomogrid::image
