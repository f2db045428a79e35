// Each fault, from slight to gross: how small a one is found. docs/quality.md quotes the limits asserted here.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>

#include "example.h"

namespace tomogrid::qa {
namespace {

// Judges the scan of each magnitude; returns the first that `name` does not call good. From there on all must be found.
template <class Make>
double smallest_found(const char* name, const std::vector<double>& magnitudes, Make make) {
  double smallest = -1;
  for (const double magnitude : magnitudes) {
    const Report report = judge(make(magnitude)).or_throw();
    const Measure& m = find(report, name);
    const bool found = m.grade == Grade::Acceptable || m.grade == Grade::Poor;
    std::cout << "    " << name << " fault " << magnitude << ": " << (m.figure ? *m.figure : -1) << " " << m.unit << " "
              << to_string(m.grade) << "\n";
    if (found && smallest < 0) smallest = magnitude;
    EXPECT_TRUE(smallest < 0 || found) << name << ": found at " << smallest << " but not at " << magnitude;
  }
  std::cout << "  smallest " << name << " fault found: " << smallest << "\n";
  return smallest;
}

// Steps, single views and slow creep are shifts of some views.
using Shift = std::pair<double, double>;

TEST(QaFaults, AxialStep) {
  const double found = smallest_found("motion.axial", {1, 2, 3, 4, 5, 6, 8, 12, 20}, [](double mm) {
    return moved([mm](std::size_t view) { return Shift{0, view >= 25 ? mm : 0}; });
  });
  EXPECT_GT(found, 0);
  EXPECT_LE(found, 6);
}

TEST(QaFaults, AxialJerkOfOneView) {
  const double found = smallest_found("motion.axial", {1, 2, 3, 4, 5, 6, 8, 12, 20}, [](double mm) {
    return moved([mm](std::size_t view) { return Shift{0, view == 33 ? -mm : 0}; });
  });
  EXPECT_GT(found, 0);
  EXPECT_LE(found, 6);
}

// Falling slowly all the while: seen where the last view meets the first.
TEST(QaFaults, AxialCreep) {
  const double found = smallest_found("motion.axial", {1, 2, 4, 6, 8, 12, 20}, [](double mm) {
    return moved([mm](std::size_t view) { return Shift{0, mm * static_cast<double>(view) / 59}; });
  });
  EXPECT_GT(found, 0);
  EXPECT_LE(found, 8);
}

TEST(QaFaults, TransaxialStep) {
  const double found = smallest_found("motion.transaxial", {1, 2, 3, 4, 5, 6, 8, 12, 20}, [](double mm) {
    return moved([mm](std::size_t view) { return Shift{view >= 40 ? mm : 0, 0}; });
  });
  EXPECT_GT(found, 0);
  EXPECT_LE(found, 6);
}

TEST(QaFaults, TransaxialJerkOfOneView) {
  const double found = smallest_found("motion.transaxial", {1, 2, 3, 4, 5, 6, 8, 12, 20}, [](double mm) {
    return moved([mm](std::size_t view) { return Shift{view == 11 ? mm : 0, 0}; });
  });
  EXPECT_GT(found, 0);
  EXPECT_LE(found, 6);
}

TEST(QaFaults, MotionIsNamedByItsView) {
  const Report report = judge(moved([](std::size_t view) { return Shift{0, view == 33 ? 15.0 : 0}; })).or_throw();
  EXPECT_NE(find(report, "motion.axial").sentence.find("view 34"), std::string::npos)
      << find(report, "motion.axial").sentence;
  EXPECT_EQ(find(report, "motion.axial").grade, Grade::Poor);
}

TEST(QaFaults, DeadBin) {
  const double lost = smallest_found("bins.dead", {10, 20, 30, 40, 50, 70, 100}, [](double percent) {
    return noisy([percent](std::size_t, std::size_t row, std::size_t bin, double y) {
      return row == 20 && bin == 27 ? y * (1 - percent / 100) : y;
    });
  });
  EXPECT_GT(lost, 0);
  EXPECT_LE(lost, 50);
}

TEST(QaFaults, DeadBlockRowAndColumnAreCountedWhole) {
  const auto dead = [](auto is_dead) {
    return *find(judge(noisy([&](std::size_t, std::size_t row, std::size_t bin, double y) {
                   return is_dead(row, bin) ? 0 : y;
                 })).or_throw(),
                 "bins.dead")
                .figure;
  };
  EXPECT_EQ(dead([](std::size_t row, std::size_t bin) { return row == 20 && bin == 27; }), 1);
  EXPECT_EQ(dead([](std::size_t row, std::size_t bin) { return (row == 20 || row == 21) && (bin == 24 || bin == 25); }),
            4);
  EXPECT_GE(dead([](std::size_t row, std::size_t) { return row == 22; }), 15);
  EXPECT_GE(dead([](std::size_t, std::size_t bin) { return bin == 22; }), 15);
}

TEST(QaFaults, HotBin) {
  const double gained = smallest_found("bins.hot", {10, 25, 50, 75, 100, 200, 1000}, [](double percent) {
    return noisy([percent](std::size_t, std::size_t row, std::size_t bin, double y) {
      return row == 20 && bin == 27 ? y * (1 + percent / 100) : y;
    });
  });
  EXPECT_GT(gained, 0);
  EXPECT_LE(gained, 100);
  // Where nothing else counts.
  const auto lonely = judge(noisy([](std::size_t, std::size_t row, std::size_t bin, double y) {
                        return row == 3 && bin == 40 ? y + 30 : y;
                      })).or_throw();
  EXPECT_EQ(*find(lonely, "bins.hot").figure, 1);
}

TEST(QaFaults, Truncation) {
  // The same scan seen by a narrower detector, mm lost at one side; the body leaves 34 mm free there.
  const double cut = smallest_found("field.transaxial", {0, 10.67, 21.3, 32, 42.7, 53.3, 64}, [](double mm) {
    const image::Projections& whole = brain().projections;
    image::Projections narrow = whole;
    const auto lost = static_cast<std::size_t>(std::lround(mm / whole.geometry.bin_mm.count()));
    narrow.geometry.bins -= lost;
    narrow.values.clear();
    for (std::size_t line = 0; line < whole.values.size() / 48; ++line) {
      const auto begin = whole.values.begin() + static_cast<std::ptrdiff_t>(line * 48);
      narrow.values.insert(narrow.values.end(), begin, begin + static_cast<std::ptrdiff_t>(48 - lost));
    }
    return narrow;
  });
  EXPECT_GT(cut, 30);
  EXPECT_LE(cut, 54);
}

TEST(QaFaults, ShortenedView) {
  const double lost = smallest_found("views.counts", {2, 4, 6, 8, 10, 15, 25, 50, 100}, [](double percent) {
    return noisy([percent](std::size_t view, std::size_t, std::size_t, double y) {
      return view == 17 ? y * (1 - percent / 100) : y;
    });
  });
  EXPECT_GT(lost, 0);
  EXPECT_LE(lost, 8);
}

TEST(QaFaults, SensitivityStep) {
  const double lost = smallest_found("views.counts", {4, 8, 12, 16, 25, 50}, [](double percent) {
    return noisy([percent](std::size_t view, std::size_t, std::size_t, double y) {
      return view >= 30 ? y * (1 - percent / 100) : y;
    });
  });
  EXPECT_GT(lost, 0);
  EXPECT_LE(lost, 16);
}

TEST(QaFaults, CountRateDrift) {
  for (const double sign : {-1.0, 1.0}) {
    const double drift = smallest_found("counts.drift", {2, 4, 8, 12, 16, 25, 50}, [sign](double percent) {
      return noisy([=](std::size_t view, std::size_t, std::size_t, double y) {
        return y * (1 + sign * percent / 100 * static_cast<double>(view) / 60);
      });
    });
    EXPECT_GT(drift, 0);
    EXPECT_LE(drift, 12);
  }
}

image::Projections without_views(const std::vector<std::size_t>& gone) {
  image::Projections scan = brain().projections;
  const std::size_t size = scan.geometry.rows * scan.geometry.bins;
  for (std::size_t k = gone.size(); k-- > 0;) {
    scan.geometry.views.erase(scan.geometry.views.begin() + static_cast<std::ptrdiff_t>(gone[k]));
    const auto at = scan.values.begin() + static_cast<std::ptrdiff_t>(gone[k] * size);
    scan.values.erase(at, at + static_cast<std::ptrdiff_t>(size));
  }
  return scan;
}

TEST(QaFaults, MissingViewsAreCounted) {
  EXPECT_EQ(*find(judge(without_views({})).or_throw(), "views.missing").figure, 0);
  for (const auto& gone : std::vector<std::vector<std::size_t>>{{9}, {9, 30}, {9, 10, 11}, {0}, {59}}) {
    const Report report = judge(without_views(gone)).or_throw();
    EXPECT_EQ(*find(report, "views.missing").figure, static_cast<double>(gone.size()));
    EXPECT_NE(find(report, "views.missing").grade, Grade::Good);
  }
  // A scan that ended early covers less, and says so.
  std::vector<std::size_t> rest;
  for (std::size_t k = 25; k < 60; ++k) rest.push_back(k);
  EXPECT_EQ(find(judge(without_views(rest)).or_throw(), "views.missing").grade, Grade::Poor);
}

TEST(QaFaults, DuplicatedViewsByContentAndByAngle) {
  image::Projections content = brain().projections;
  const auto size = static_cast<std::ptrdiff_t>(content.geometry.rows * content.geometry.bins);
  std::copy(content.values.begin() + 4 * size, content.values.begin() + 5 * size, content.values.begin() + 5 * size);
  const Report repeated = judge(content).or_throw();
  EXPECT_EQ(*find(repeated, "views.duplicated").figure, 1);
  EXPECT_NE(find(repeated, "views.duplicated").sentence.find("view 6"), std::string::npos);
  image::Projections angle = brain().projections;
  angle.geometry.views[7].angle = angle.geometry.views[6].angle;
  EXPECT_EQ(*find(judge(angle).or_throw(), "views.duplicated").figure, 1);
  // Two heads that pass the same angles are no fault.
  image::Projections heads = brain().projections;
  for (std::size_t k = 0; k < 30; ++k) {
    heads.geometry.views[k + 30].detector = 1;
    heads.geometry.views[k + 30].angle = heads.geometry.views[k].angle;
  }
  EXPECT_EQ(*find(judge(heads).or_throw(), "views.duplicated").figure, 0);
}

TEST(QaFaults, FewCounts) {
  const auto with = [](double share) {
    return find(judge(noisy([share](std::size_t, std::size_t, std::size_t, double y) { return y * share; })).or_throw(),
                "counts.total")
        .grade;
  };
  EXPECT_EQ(with(1), Grade::Good);
  EXPECT_EQ(with(0.5), Grade::Acceptable);
  EXPECT_EQ(with(0.1), Grade::Poor);
}

TEST(QaFaults, DataThatAreNotCounts) {
  image::Projections scan = brain().projections;
  for (float& v : scan.values) v *= 3;
  EXPECT_EQ(find(judge(scan).or_throw(), "counts.whole").grade, Grade::Poor);
  for (float& v : scan.values) v *= 1.5F / 3;
  EXPECT_EQ(find(judge(scan).or_throw(), "counts.whole").grade, Grade::Poor);
  scan.facts.counts = false;
  EXPECT_EQ(find(judge(scan).or_throw(), "counts.whole").grade, Grade::Acceptable);

  scan = brain().projections;
  const std::size_t thousandth = scan.values.size() / 1000;
  scan.values[5] = -2;
  EXPECT_EQ(find(judge(scan).or_throw(), "counts.whole").grade, Grade::Acceptable);
  for (std::size_t i = 0; i < 2 * thousandth; ++i) scan.values[i] = -2;
  EXPECT_EQ(find(judge(scan).or_throw(), "counts.whole").grade, Grade::Poor);
}

// (1, 2 + x, 1) / (4 + x) along bins, rounded again: x = 0 is a usual prefilter.
TEST(QaFaults, SmoothedData) {
  const auto smoothed = [](double middle) {
    image::Projections scan = brain().projections;
    const std::vector<float> y = scan.values;
    for (std::size_t i = 1; i + 1 < y.size(); ++i) {
      scan.values[i] = static_cast<float>(std::floor((y[i - 1] + middle * y[i] + y[i + 1]) / (middle + 2) + 0.5));
    }
    return find(judge(scan).or_throw(), "counts.noise").grade;
  };
  EXPECT_EQ(smoothed(1e9), Grade::Good);
  EXPECT_EQ(smoothed(8), Grade::Acceptable);
  EXPECT_EQ(smoothed(2), Grade::Poor);
}

}  // namespace
}  // namespace tomogrid::qa
