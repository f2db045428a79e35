#include "recon/plan_cache.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "base/file.h"
#include "plan_content.h"
#include "problem.h"
#include "thread_ranks.h"

namespace tomogrid::recon {
namespace {

Problem cached_problem() {
  ProblemShape shape;
  shape.views = 12;
  Problem p = make_problem(shape);
  p.options.subsets = 2;
  return p;
}

CachedPlan plan_from(const std::filesystem::path& folder, Problem& p, bool attenuated = true) {
  return make_plan_cached(folder, p.geometry, with_map(p, attenuated), p.options).or_throw();
}

std::uint64_t content(const Plan& plan) {
  SingleRank alone;
  return plan_content(plan, alone);
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& file : std::filesystem::directory_iterator(folder)) files.push_back(file.path());
  return files;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void overwrite(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

TEST(PlanCache, GivesTheSamePlanAndTheSameImage) {
  const TemporaryFolder folder;
  for (const bool attenuated : {true, false}) {
    for (const Bytes memory : {mebibytes(64), Bytes(0)}) {  // 0: factors made each time; the map is kept instead
      Problem p = cached_problem();
      p.options.attenuation_memory = memory;
      const Plan fresh = make_plan(p.geometry, with_map(p, attenuated), p.options).or_throw();
      fill_counts(p, fresh);
      const CachedPlan made = plan_from(folder.path(), p, attenuated), kept = plan_from(folder.path(), p, attenuated);
      EXPECT_FALSE(made.reused && attenuated && memory.count() > 0);
      EXPECT_FALSE(made.notice.has_value()) << *made.notice;
      EXPECT_TRUE(kept.reused);
      EXPECT_EQ(kept.plan.fingerprint(), fresh.fingerprint());
      EXPECT_EQ(content(kept.plan), content(fresh));
      EXPECT_EQ(kept.plan.forecast().memory.count(), fresh.forecast().memory.count());
      const Settings settings{.iterations = 2, .penalty = {.strength = 0.02}};
      EXPECT_EQ(reconstruct(kept.plan, p.counts, settings).or_throw().volume.values,
                reconstruct(fresh, p.counts, settings).or_throw().volume.values);
      EXPECT_EQ(forward_project(kept.plan, p.activity), forward_project(fresh, p.activity));
    }
  }
}

TEST(PlanCache, AnythingThatDecidesThePlanIsInTheKey) {
  const TemporaryFolder folder;
  Problem p = cached_problem();
  plan_from(folder.path(), p);
  const auto is_new = [&](const char* what, auto change) {
    Problem other = cached_problem();
    change(other);
    const CachedPlan made = plan_from(folder.path(), other);
    EXPECT_FALSE(made.reused) << what;
    EXPECT_EQ(content(made.plan), content(make_plan(other.geometry, with_map(other), other.options).or_throw()))
        << what;
  };
  is_new("one coefficient of the map", [](Problem& o) { o.attenuation.values[4000] += 1e-4F; });
  is_new("two coefficients exchanged",
         [](Problem& o) { std::swap(o.attenuation.values[4603], o.attenuation.values[4604]); });
  is_new("the map's place", [](Problem& o) { o.attenuation.geometry.x0 = o.attenuation.geometry.x0 + Millimetres(1); });
  is_new("an angle", [](Problem& o) { o.geometry.views[3].angle = Radians(1.0); });
  is_new("a radius", [](Problem& o) { o.geometry.views[3].radius = Millimetres(131); });
  is_new("a duration", [](Problem& o) { o.geometry.views[3].duration = Seconds(17); });
  is_new("the response", [](Problem& o) { o.model.response.slope = 0.021; });
  is_new("the half-life", [](Problem& o) { o.model.half_life = Seconds(3601); });
  is_new("the map's factor", [](Problem& o) { o.model.attenuation_factor = 0.9; });
  is_new("subsets", [](Problem& o) { o.options.subsets = 3; });
  is_new("groups", [](Problem& o) { o.options.groups = 4; });
  is_new("the support", [](Problem& o) { o.options.support_radius = Millimetres(70); });
  EXPECT_TRUE(plan_from(folder.path(), p).reused);
  p.options.instructions = InstructionSet::Scalar;  // does not decide it
  EXPECT_TRUE(plan_from(folder.path(), p).reused);
}

TEST(PlanCache, DamagedAndForeignFilesAreNotBelievedAndAreWrittenAnew) {
  const TemporaryFolder folder;
  Problem p = cached_problem();
  const std::uint64_t truth = content(plan_from(folder.path(), p).plan);
  const std::filesystem::path file = files_in(folder.path()).at(0);
  const std::string whole = read_text(file);
  const auto is_refused = [&](const std::string& what) {
    const CachedPlan made = plan_from(folder.path(), p);
    EXPECT_FALSE(made.reused) << what;
    EXPECT_EQ(content(made.plan), truth) << what;
    EXPECT_EQ(read_text(file), whole) << what << ": not written anew";
    EXPECT_TRUE(plan_from(folder.path(), p).reused) << what;
  };
  for (std::size_t at = 0; at < whole.size(); at += whole.size() / 11 + 1) {
    std::string altered = whole;
    altered[at] = static_cast<char>(altered[at] ^ 0x08);
    overwrite(file, altered);
    is_refused("bit of byte " + std::to_string(at));
  }
  for (std::size_t at = 0; at < 56; at += 8) {  // every field of the header
    std::string altered = whole;
    altered[at] = static_cast<char>(altered[at] ^ 0x80);
    overwrite(file, altered);
    is_refused("header byte " + std::to_string(at));
  }
  for (const std::size_t length :
       {std::size_t{0}, std::size_t{63}, std::size_t{64}, whole.size() / 2, whole.size() - 1}) {
    overwrite(file, whole.substr(0, length));
    is_refused("length " + std::to_string(length));
  }
  overwrite(file, whole + "more");
  is_refused("trailing bytes");
  ASSERT_EQ(::chmod(file.c_str(), 0666), 0);
  is_refused("a file that anyone may write");
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/etc/passwd", file);
  is_refused("a symbolic link");
  Problem other = cached_problem();
  other.options.groups = 3;
  const std::filesystem::path folder2 = folder.path() / "other";
  plan_from(folder2, other);
  overwrite(file, read_text(files_in(folder2).at(0)));
  is_refused("another plan's file under this name");
}

TEST(PlanCache, AFolderThatCannotBeUsedCostsTheFileNotThePlan) {
  const TemporaryFolder folder;
  overwrite(folder.path() / "file", "not a folder");
  Problem p = cached_problem();
  const CachedPlan made = plan_from(folder.path() / "file", p);
  EXPECT_FALSE(made.reused);
  EXPECT_TRUE(made.notice.has_value());
  EXPECT_EQ(content(made.plan), content(make_plan(p.geometry, with_map(p), p.options).or_throw()));
}

TEST(PlanCache, FilesAreTheOwnersAloneAndNothingElseIsLeft) {
  const TemporaryFolder folder;
  const std::filesystem::path inside = folder.path() / "plans";
  Problem p = cached_problem();
  plan_from(inside, p);
  ASSERT_EQ(files_in(inside).size(), 1U);
  EXPECT_EQ(std::filesystem::status(inside).permissions(), std::filesystem::perms::owner_all);
  EXPECT_EQ(std::filesystem::status(files_in(inside)[0]).permissions() & std::filesystem::perms::mask,
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(PlanCache, APlanOutlivesItsFile) {
  const TemporaryFolder folder;
  Problem p = cached_problem();
  const std::uint64_t truth = content(plan_from(folder.path(), p).plan);
  const CachedPlan kept = plan_from(folder.path(), p);
  ASSERT_TRUE(kept.reused);
  std::filesystem::remove(files_in(folder.path()).at(0));
  EXPECT_EQ(content(kept.plan), truth);
}

TEST(PlanCache, RanksUseTheirFilesTogetherOrNotAtAll) {
  const TemporaryFolder folder;
  const std::size_t size = 3;
  std::vector<std::uint64_t> contents(size);
  std::vector<int> reused(size);
  const auto run = [&] {
    with_ranks(size, [&](Ranks& rank) {
      Problem p = cached_problem();
      const CachedPlan made = make_plan_cached(folder.path(), p.geometry, with_map(p), p.options, &rank).or_throw();
      contents[rank.rank()] = plan_content(made.plan, rank);
      reused[rank.rank()] = made.reused ? 1 : 0;
    });
  };
  Problem p = cached_problem();
  const std::uint64_t truth = content(make_plan(p.geometry, with_map(p), p.options).or_throw());
  run();
  EXPECT_EQ(reused, std::vector<int>(size, 0));
  run();
  EXPECT_EQ(reused, std::vector<int>(size, 1));
  EXPECT_EQ(contents, std::vector<std::uint64_t>(size, truth));
  std::filesystem::remove(files_in(folder.path()).at(0));  // of one rank: all make theirs again
  run();
  EXPECT_EQ(reused, std::vector<int>(size, 0));
  EXPECT_EQ(contents, std::vector<std::uint64_t>(size, truth));
}

TEST(PlanCache, BadInputIsRefusedBeforeAnyFileIsTouched) {
  const TemporaryFolder folder;
  Problem p = cached_problem();
  p.geometry.rows = 100000;
  EXPECT_FALSE(make_plan_cached(folder.path(), p.geometry, with_map(p), p.options).has_value());
  EXPECT_TRUE(files_in(folder.path()).empty());
}

}  // namespace
}  // namespace tomogrid::recon
