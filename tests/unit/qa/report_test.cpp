#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "example.h"

namespace tomogrid::qa {
namespace {

TEST(QaReport, DescribesItself) {
  const auto json = nlohmann::json::parse(to_json(judge(brain().projections).or_throw()));
  EXPECT_EQ(json["service"], "qa.spect/1");
  EXPECT_EQ(json["grade"], "good");
  std::set<std::string> names;
  for (const auto& m : json["measures"]) {
    EXPECT_TRUE(names.insert(m["name"].get<std::string>()).second);
    EXPECT_GE(m["version"].get<int>(), 1);
    EXPECT_TRUE(m["figure"].is_number() || m["figure"].is_null());
    EXPECT_FALSE(m["unit"].get<std::string>().empty());
    EXPECT_FALSE(m["sentence"].get<std::string>().empty());
    EXPECT_EQ(m.size(), 6U);
  }
  EXPECT_EQ(names.size(), 13U);
}

TEST(QaReport, VerdictIsTheWorstGradeAndUnjudgedDoesNotCount) {
  Report report = judge(brain().projections).or_throw();
  EXPECT_EQ(report.grade, Grade::Good);
  image::Projections few = brain().projections;
  few.geometry.views.resize(4);
  few.values.resize(few.geometry.elements());
  report = judge(few).or_throw();
  EXPECT_EQ(find(report, "motion.axial").grade, Grade::NotJudged);
  EXPECT_FALSE(find(report, "motion.axial").figure);
  EXPECT_EQ(report.grade, Grade::Poor);  // four views cover too little and count too few
  EXPECT_NE(to_text(report).find("not judged"), std::string::npos);
}

TEST(QaReport, RefusesWhatIsNoScan) {
  image::Projections scan = brain().projections;
  scan.values.pop_back();
  EXPECT_EQ(judge(scan).error().code, ErrorCode::BadInput);
  scan = brain().projections;
  scan.values[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(judge(scan));
  scan = brain().projections;
  scan.geometry.views[1].angle = Radians(std::numeric_limits<double>::infinity());
  EXPECT_FALSE(judge(scan));
  EXPECT_FALSE(judge({}));
}

// Degenerate but well-formed scans get a report, not a crash.
TEST(QaReport, JudgesEmptyAndTinyScans) {
  for (const std::size_t side : {1U, 2U, 3U, 5U}) {
    for (const std::size_t views : {1U, 2U, 5U, 30U}) {
      for (const float value : {0.0F, 3.0F, -1.0F}) {
        image::Projections scan;
        scan.geometry = image::circular_scan(side, side, Millimetres(4), Millimetres(4), {.views = views});
        scan.values.assign(scan.geometry.elements(), value);
        EXPECT_EQ(judge(scan).or_throw().grade, Grade::Poor);
      }
    }
  }
}

}  // namespace
}  // namespace tomogrid::qa
