// A clean scan raises no alarm, whatever it shows.
#include <gtest/gtest.h>
#include <omp.h>

#include <filesystem>

#include "example.h"
#include "image/files.h"

namespace tomogrid::qa {
namespace {

void expect_clean(const Report& report, const std::string& what) {
  for (const Measure& m : report.measures) {
    EXPECT_TRUE(m.grade == Grade::Good || m.grade == Grade::NotJudged) << what << ": " << m.name << " " << m.sentence;
  }
}

TEST(QaClean, EveryPresetIsGood) {
  for (const std::string& name : image::preset_names()) {
    const image::Phantom phantom = image::preset(name).or_throw();
    // Fewer bins and views than a camera has: sharper edges per bin, larger changes between views, a harder case.
    const image::ProjectionGeometry geometry = image::circular_scan(40, 40, phantom.field / 40.0, phantom.field / 40.0,
                                                                    {.views = 36, .radius = phantom.radius});
    image::AcquisitionFacts facts;
    facts.half_life = Seconds(6.0067 * 3600);
    image::PhantomPhysics physics;
    physics.half_life = facts.half_life;
    const std::vector<double> expected = image::project(phantom, geometry, physics, {});
    double total = 0;
    for (const double v : expected) total += v;
    for (const double counts : {3.3e6, 2.5e7}) {
      std::vector<double> scaled = expected;
      for (double& v : scaled) v *= counts / total;
      for (const std::uint64_t seed : {1, 2, 3}) {
        const image::Projections scan{
            .geometry = geometry, .facts = facts, .values = image::poisson_counts(scaled, seed)};
        const Report report = judge(scan).or_throw();
        expect_clean(report, name + " with " + std::to_string(counts) + " counts, seed " + std::to_string(seed));
        EXPECT_EQ(report.grade, Grade::Good);
      }
    }
  }
}

TEST(QaClean, HalfTurnsAndSeveralHeadsAreGood) {
  const image::Phantom phantom = image::preset("brain").or_throw();
  for (const image::Orbit& orbit :
       {image::Orbit{.views = 48, .first = Radians(-0.785), .arc = Radians(3.14159265), .radius = phantom.radius},
        image::Orbit{.views = 48, .radius = phantom.radius, .heads = 2},
        image::Orbit{.views = 48, .arc = Radians(-6.283185307179586), .radius = phantom.radius, .heads = 3}}) {
    const image::ProjectionGeometry geometry =
        image::circular_scan(40, 40, phantom.field / 40.0, phantom.field / 40.0, orbit);
    std::vector<double> expected = image::project(phantom, geometry, {}, {});
    double total = 0;
    for (const double v : expected) total += v;
    for (double& v : expected) v *= 5e6 / total;
    const image::Projections scan{.geometry = geometry, .facts = {}, .values = image::poisson_counts(expected, 4)};
    expect_clean(judge(scan).or_throw(),
                 std::to_string(orbit.views) + " views, " + std::to_string(orbit.heads) + " heads");
  }
}

TEST(QaClean, MonteCarloAndStirScansAreGood) {
  const std::filesystem::path data = std::filesystem::path(TOMOGRID_DATA) / "spect";
  for (const char* file : {"stir-spectub/spectub_rows00-39_coldrods_TOMO.dcm", "stir-reference/n64/proj_att_noisy.hs",
                           "stir-reference/n128/proj_att_noisy.hs"}) {
    if (!std::filesystem::exists(data / file)) GTEST_SKIP() << file << " is not under " << data;
    const image::LoadedScan scan = image::load_scan(data / file).or_throw();
    expect_clean(judge(scan.projections).or_throw(), file);
  }
}

TEST(QaClean, SameBitsForAnyNumberOfThreads) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  const Report one = judge(brain().projections).or_throw();
  for (const int threads : {2, 3}) {
    omp_set_num_threads(threads);
    const Report many = judge(brain().projections).or_throw();
    ASSERT_EQ(many.measures.size(), one.measures.size());
    for (std::size_t i = 0; i < one.measures.size(); ++i) EXPECT_EQ(many.measures[i].figure, one.measures[i].figure);
    EXPECT_EQ(to_json(many), to_json(one));
  }
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace tomogrid::qa
