// Which views are here, when a look is due, and that a picture depends on nothing else.
#include "recon/first_look.h"

#include <gtest/gtest.h>

#include "problem.h"

namespace tomogrid::recon {
namespace {

std::vector<float> view_of(const Problem& p, std::size_t view) {
  const std::size_t size = p.geometry.bins * p.geometry.rows;
  return {p.counts.begin() + static_cast<std::ptrdiff_t>(view * size),
          p.counts.begin() + static_cast<std::ptrdiff_t>((view + 1) * size)};
}

TEST(FirstLook, ViewsAreHereOnceTheyAreWholeInAnyOrder) {
  const Problem p = make_problem({.bins = 5, .rows = 4, .views = 12});
  FirstLook look(p.geometry, p.model.response);
  const std::uint64_t view = look.view_bytes();
  EXPECT_EQ(view, 80U);
  look.available(3 * view + 10, view);
  EXPECT_TRUE(look.views().empty()) << "parts of two";
  look.available(3 * view, 10);
  EXPECT_EQ(look.views(), std::vector<std::size_t>{3});
  look.available(3 * view, 10);
  look.available(5 * view, 2 * view);
  look.available(4 * view + 5, view - 5);
  EXPECT_EQ(look.views(), (std::vector<std::size_t>{3, 4, 5, 6}));
  look.available(11 * view, ~std::uint64_t{0});
  EXPECT_EQ(look.views().back(), 11U) << "what lies beyond the end does not count";
  look.available(~std::uint64_t{0} - 3, 100);
  EXPECT_EQ(look.views().size(), 5U);
}

TEST(FirstLook, IsDueWithEightViewsThatGoAroundByHalfATurn) {
  const Problem p = make_problem({.views = 64});
  FirstLook look(p.geometry, p.model.response);
  const std::uint64_t view = look.view_bytes();
  for (std::uint64_t i = 0; i < 8; ++i) look.available(i * view, view);
  EXPECT_FALSE(look.due()) << "an eighth of a turn";
  look.available(8 * view, 24 * view);
  EXPECT_TRUE(look.due());
  const Problem half = make_problem({.views = 64, .arc = 3.141592654});
  FirstLook spread(half.geometry, half.model.response);
  for (std::uint64_t i = 0; i < 8; ++i) {
    EXPECT_FALSE(spread.due());
    spread.available(8 * i * view, view);
  }
  EXPECT_TRUE(spread.due()) << "every eighth of a half turn";
  look.available(0, 64 * view);
  EXPECT_FALSE(look.due()) << "nothing is missing any more";
}

TEST(FirstLook, ThePictureIsSmallAndDependsOnTheViewsOnly) {
  Problem p = make_problem({.bins = 150, .rows = 70, .views = 20, .bin_mm = 3, .row_mm = 3, .radius_mm = 250});
  p.model.half_life.reset();
  p.options.size = 75;
  p.options.voxel = Millimetres(6);
  const Plan plan = *make_plan(p.geometry, with_map(p, false), p.options);
  fill_counts(p, plan);
  const auto picture = [&](const std::vector<std::uint64_t>& order) {
    FirstLook look(p.geometry, p.model.response);
    for (const std::uint64_t view : order) look.available(view * look.view_bytes(), look.view_bytes());
    EXPECT_TRUE(look.due());
    auto made = look.look([&](std::size_t view) -> Result<std::vector<float>> { return view_of(p, view); });
    EXPECT_FALSE(look.due()) << "until eight more are here";
    return std::move(made).or_throw();
  };
  const FirstLook::Picture one = picture({0, 2, 4, 6, 8, 10, 12, 14, 16, 18}),
                           other = picture({18, 4, 0, 2, 16, 6, 14, 8, 10, 12});
  EXPECT_EQ(one.volume.values, other.volume.values);
  EXPECT_EQ(one.caption.find("partial 10/20"), 0U) << one.caption;
  const image::VolumeGeometry& grid = one.volume.geometry;
  EXPECT_LE(grid.columns, FirstLook::kSide);
  EXPECT_LE(grid.slices, FirstLook::kSide);
  // The hot ball of fill_counts() at (20, 0, 0) mm is where it is.
  const auto at = [&](double x, double y, double z) {
    const auto index = [](double place, Millimetres first, Millimetres step) {
      return static_cast<std::size_t>(std::lround((place - first.count()) / step.count()));
    };
    return one.volume
        .values[(index(z, grid.z0, grid.slice_mm) * grid.rows + index(y, grid.y0, grid.row_mm)) * grid.columns +
                index(x, grid.x0, grid.column_mm)];
  };
  EXPECT_GT(at(20, 0, 0), 2 * at(-30, 0, 0));
  EXPECT_GT(at(-30, 0, 0), 4 * at(-100, 0, 0));
}

}  // namespace
}  // namespace tomogrid::recon
