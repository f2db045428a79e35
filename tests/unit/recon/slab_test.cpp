// Some slices computed alone are those of the whole.
#include "recon/slab.h"

#include <gtest/gtest.h>

#include "problem.h"

namespace tomogrid::recon {
namespace {

TEST(Slab, ItsSlicesAreThoseOfTheWholeToHalfAPercent) {
  Problem p = make_problem({.bins = 31, .rows = 60, .views = 24, .row_mm = 4});
  const Plan whole = *make_plan(p.geometry, with_map(p), p.options);
  fill_counts(p, whole);
  const Settings settings{.iterations = 12};
  const Reconstruction all = *reconstruct(whole, p.counts, settings);
  const auto slab = slab_of(p.geometry, p.model.response, 26, 34);
  ASSERT_TRUE(slab && *slab) << (slab ? "none" : slab.error().message);
  const Slab& part = **slab;
  EXPECT_EQ(part.first, 25U);
  EXPECT_EQ(part.count, 9U);
  EXPECT_LT(part.row_count, p.geometry.rows) << "otherwise nothing is saved";
  const Plan plan = *make_plan(rows_of(p.geometry, part), p.model, p.options);
  const Reconstruction computed = *reconstruct(plan, rows_of(p.geometry, p.counts, part), settings);
  const image::Volume slices = slices_of(computed.volume, part);
  ASSERT_EQ(slices.geometry.slices, part.count);
  EXPECT_NEAR(slices.geometry.z0.count(), (all.volume.geometry.z0 + all.volume.geometry.slice_mm * 25.0).count(), 1e-9);
  const std::size_t offset = part.first * all.volume.geometry.columns * all.volume.geometry.rows;
  double difference = 0, norm = 0;
  for (std::size_t i = 0; i < slices.values.size(); ++i) {
    const double reference = static_cast<double>(all.volume.values[offset + i]);
    difference += std::pow(static_cast<double>(slices.values[i]) - reference, 2);
    norm += reference * reference;
  }
  ASSERT_GT(norm, 0);
  std::printf("  slab beside the whole: NRMSE %.3f %% with %zu of %zu rows\n", 100 * std::sqrt(difference / norm),
              part.row_count, p.geometry.rows);
  EXPECT_LT(std::sqrt(difference / norm), 0.005);
}

TEST(Slab, EndsAreKeptInsideAndNonsenseIsRefused) {
  const Problem p = make_problem();
  EXPECT_FALSE(*slab_of(p.geometry, p.model.response, 0, 0)) << "all of them";
  const Slab top = **slab_of(p.geometry, p.model.response, 20, 0);
  EXPECT_EQ(top.first + top.count, p.geometry.rows);
  EXPECT_LE(top.row_first + top.row_count, p.geometry.rows);
  for (const auto& [first, last] : {std::pair{5, 4}, std::pair{1, 22}, std::pair{22, 0}}) {
    const auto refused =
        slab_of(p.geometry, p.model.response, static_cast<std::size_t>(first), static_cast<std::size_t>(last));
    ASSERT_FALSE(refused) << first << " " << last;
    EXPECT_EQ(refused.error().code, ErrorCode::BadInput);
  }
}

}  // namespace
}  // namespace tomogrid::recon
