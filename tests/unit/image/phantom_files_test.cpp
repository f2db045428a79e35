// The markers phantom through the files: whoever reads them must find left at the left.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "image/files.h"
#include "image/phantom.h"

namespace tomogrid::image {
namespace {

const Simulation& markers() {
  static const Simulation simulation = [] {
    const Phantom phantom = preset("markers").or_throw();
    const ProjectionGeometry geometry =
        circular_scan(32, 32, Millimetres(10), Millimetres(10), {.views = 8, .radius = phantom.radius});
    return simulate(phantom, geometry, {}, {.counts = 4e5, .seed = 2, .facts = {}}).or_throw();
  }();
  return simulation;
}

TEST(PhantomFiles, ScanComesBackTheSameFromDicomInEveryPositionAndFromInterfile) {
  const TemporaryFolder folder;
  const Projections& made = markers().projections;
  for (const PatientPosition position :
       {PatientPosition::HFS, PatientPosition::HFP, PatientPosition::FFS, PatientPosition::FFP}) {
    for (const char* extension : {".dcm", ".hs"}) {
      const auto path = folder.path() / ("markers-" + to_string(position) + extension);
      ScanLabels labels;
      labels.position = position;
      ASSERT_TRUE(save_scan(path, made, labels));
      const LoadedScan back = load_scan(path).or_throw();
      ASSERT_EQ(back.projections.geometry.views.size(), 8U) << path;
      // Views are found by their angle: the order is the file's business.
      for (const View& view : made.geometry.views) {
        std::size_t found = 8;
        for (std::size_t k = 0; k < 8; ++k) {
          const double apart =
              std::remainder(back.projections.geometry.views[k].angle.count() - view.angle.count(), 6.283185307179586);
          if (std::abs(apart) < 1e-3) found = k;
        }
        ASSERT_LT(found, 8U) << path << " has no view at " << view.angle.count();
        const auto size = static_cast<std::ptrdiff_t>(32 * 32);
        const auto k = static_cast<std::ptrdiff_t>(&view - made.geometry.views.data()),
                   at = static_cast<std::ptrdiff_t>(found);
        EXPECT_TRUE(std::equal(made.values.begin() + k * size, made.values.begin() + (k + 1) * size,
                               back.projections.values.begin() + at * size))
            << path << " view " << k;
      }
    }
  }
}

// NIfTI says where a voxel is in RAS: right, anterior, superior are positive. Read here byte by byte.
TEST(PhantomFiles, NiftiTruthHasTheLeftMarkerAtNegativeXAndTheFrontAtPositiveY) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "truth.nii";
  ASSERT_TRUE(save_volume(path, truth_volume(markers().phantom, grid_of(markers().projections.geometry))));
  const ByteString bytes = read_file(path, mebibytes(8)).or_throw();
  const auto number = [&](std::size_t offset, auto value) {
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  };
  ASSERT_GT(number(254, std::int16_t{}), 0) << "no sform";
  ASSERT_EQ(number(70, std::int16_t{}), 16) << "not float32";
  float affine[3][4];
  std::memcpy(affine, bytes.data() + 280, sizeof affine);
  const auto start = static_cast<std::size_t>(number(108, float{}));
  const auto side = [&](std::size_t axis) { return static_cast<std::size_t>(number(42 + 2 * axis, std::int16_t{})); };
  // The value nearest to a point in RAS.
  const auto at = [&](float r, float a, float s) {
    float best = 1e9F, value = 0;
    for (std::size_t k = 0; k < side(2); ++k) {
      for (std::size_t j = 0; j < side(1); ++j) {
        for (std::size_t i = 0; i < side(0); ++i) {
          const float index[3] = {static_cast<float>(i), static_cast<float>(j), static_cast<float>(k)},
                      want[3] = {r, a, s};
          float apart = 0;
          for (int c = 0; c < 3; ++c) {
            const float x = affine[c][0] * index[0] + affine[c][1] * index[1] + affine[c][2] * index[2] + affine[c][3];
            apart += (x - want[c]) * (x - want[c]);
          }
          if (apart < best) {
            best = apart;
            value = number(start + 4 * ((k * side(1) + j) * side(0) + i), float{});
          }
        }
      }
    }
    return value;
  };
  const float body = at(60, -40, -60);
  EXPECT_NEAR(at(-80, 0, 0) / body, 100, 8);  // a 10 mm voxel may stick out of the ball
  EXPECT_NEAR(at(0, 60, 0) / body, 50, 4);
  EXPECT_NEAR(at(0, 0, 85) / body, 25, 1);
  EXPECT_NEAR(at(80, 0, 0) / body, 1, 0.01);
}

}  // namespace
}  // namespace tomogrid::image
