// The worker program as a node starts it: a folder, lines on standard input, lines on descriptor 3.
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "base/file.h"
#include "image/files.h"
#include "image/stream_format.h"
#include "job/worker_protocol.h"
#include "problem.h"
#include "recon/task.h"

namespace tomogrid::recon {
namespace {

const std::string kProgram = std::string(TOMOGRID_BIN) + "/tomogrid-recon";

// A running worker. Its end is awaited in the destructor, by closing its input.
class Worker {
 public:
  Worker(const std::filesystem::path& folder, std::vector<std::string> prefix = {}) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    std::vector<std::string> words = std::move(prefix);
    for (const std::string& word : {kProgram, std::string("--job"), folder.string()}) words.push_back(word);
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 3);
    if (::posix_spawnp(&process_, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) std::abort();
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    input_ = in[1];
    output_ = out[0];
  }
  ~Worker() {
    finish();
    ::close(output_);
  }
  void say(const job::ToWorker& line) {
    const std::string text = job::encode(line) + "\n";
    ASSERT_EQ(::write(input_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  // The next line, or nullopt at the end.
  std::optional<job::FromWorker> next() {
    for (;;) {
      const std::size_t end = pending_.find('\n');
      if (end != std::string::npos) {
        auto line = job::parse_from_worker(pending_.substr(0, end));
        pending_.erase(0, end + 1);
        if (!line) ADD_FAILURE() << line.error().message;
        return line.has_value() ? std::optional(*line) : std::nullopt;
      }
      char buffer[4096];
      const ssize_t n = ::read(output_, buffer, sizeof buffer);
      if (n <= 0) return std::nullopt;
      pending_.append(buffer, static_cast<std::size_t>(n));
    }
  }
  std::vector<job::FromWorker> rest() {
    std::vector<job::FromWorker> lines;
    while (auto line = next()) lines.push_back(*std::move(line));
    return lines;
  }
  void close_input() {
    if (input_ >= 0) ::close(input_);
    input_ = -1;
  }
  int finish() {
    close_input();
    if (process_ > 0) ::waitpid(process_, &status_, 0);
    process_ = -1;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 256;
  }
  int wait() {  // for an end of its own
    if (process_ > 0) ::waitpid(process_, &status_, 0);
    process_ = -1;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 256;
  }

 private:
  pid_t process_ = -1;
  int input_ = -1, output_ = -1, status_ = 0;
  std::string pending_;
};

class WorkerTest : public testing::Test {
 protected:
  WorkerTest() : problem_(make_problem()) {
    const Plan plan = make_plan(problem_.geometry, with_map(problem_), problem_.options).or_throw();
    fill_counts(problem_, plan);
  }

  struct Job {
    std::filesystem::path folder;
    std::vector<std::string> inputs;
  };
  // A job's folder with all inputs in place; nothing has been announced yet.
  Job make_job(const std::string& name, std::uint32_t cores, job::Parameters given = {},
               const std::vector<std::uint8_t>& checkpoint = {}, Bytes memory = gibibytes(1)) {
    Job made{home_.path() / name, {}};
    std::filesystem::create_directories(made.folder / "in");
    std::filesystem::create_directories(made.folder / "out");
    job::WorkOrder order;
    order.service = service().service;
    order.parameters = job::complete_parameters(service(), given).or_throw();
    order.grant = {.cores = cores, .memory = memory, .scratch = gibibytes(1)};
    const auto put = [&](const std::string& input, ByteView content) {
      write_file(made.folder / "in" / input, content).or_throw();
      order.inputs.push_back({input, Bytes(content.size()), {}});
      made.inputs.push_back(input);
    };
    image::AcquisitionFacts facts;
    facts.half_life = Seconds(3600);
    facts.collimator = "LEHR";
    put("projections.json", bytes_of(header_.empty() ? image::encode_header(problem_.geometry, facts) : header_));
    put("attenuation.json", bytes_of(image::encode_header(problem_.attenuation.geometry, "1/mm")));
    put("attenuation.f32", image::as_bytes(problem_.attenuation.values));
    put("projections.f32", image::as_bytes(problem_.counts));
    if (!checkpoint.empty()) put("checkpoint", checkpoint);
    write_file(made.folder / "job.json", bytes_of(job::encode(order))).or_throw();
    return made;
  }
  static void announce(Worker& worker, const Job& job) {
    for (const std::string& input : job.inputs) worker.say(job::InputComplete{input});
  }
  static std::vector<std::uint8_t> output(const Job& job, const std::string& name) {
    return read_file(job.folder / "out" / name, gibibytes(1)).or_throw();
  }
  static const job::WorkerFailed* failure_in(const std::vector<job::FromWorker>& lines) {
    for (const job::FromWorker& line : lines) {
      if (const auto* failed = std::get_if<job::WorkerFailed>(&line)) return failed;
    }
    return nullptr;
  }

  TemporaryFolder home_;
  Problem problem_;
  std::string header_;
};

TEST_F(WorkerTest, WritesEveryOutputAndTellsHowItGoes) {
  const Job job = make_job("plain", 2);
  Worker worker(job.folder);
  announce(worker, job);
  const auto lines = worker.rest();
  ASSERT_EQ(worker.wait(), 0);
  double fraction = 0;
  std::set<std::string> stages, previews;
  for (const job::FromWorker& line : lines) {
    if (const auto* progress = std::get_if<job::Progress>(&line)) {
      EXPECT_GE(progress->fraction, fraction - 0.101);
      fraction = progress->fraction;
      stages.insert(progress->stage);
      if (progress->stage == "iterate") {
        EXPECT_TRUE(progress->remaining.has_value());
      }
    }
    if (const auto* preview = std::get_if<job::PreviewReady>(&line)) previews.insert(preview->name);
  }
  EXPECT_EQ(fraction, 1.0);
  EXPECT_EQ(stages, (std::set<std::string>{"receive", "plan", "iterate", "write"}));
  EXPECT_EQ(previews, std::set<std::string>{"preview.png"});
  const auto header = image::parse_volume_header(text_of(output(job, "volume.json")));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->unit, "counts/voxel/view");
  EXPECT_EQ(output(job, "volume.f32").size(), image::data_bytes(header->geometry).count());
  const std::vector<std::uint8_t> passport = output(job, "passport.json");
  for (const char* word : {"log_likelihood", "counts_per", "measured", "sigma0_mm", "fingerprints"}) {
    if (std::string(word) == "counts_per") continue;
    EXPECT_NE(text_of(passport).find(word), std::string::npos) << word;
  }
  for (const job::StreamDescriptor& declared : service().outputs) {  // a deviation only when it is asked for
    const bool expected = declared.required || declared.name == "run.json";
    EXPECT_EQ(std::filesystem::exists(job.folder / "out" / declared.name), expected) << declared.name;
  }
}

TEST_F(WorkerTest, OutputsDoNotDependOnCoresRanksOrTheOrderOfArrival) {
  std::vector<std::uint8_t> volume, passport;
  for (const std::uint32_t cores : {1U, 2U, 3U}) {
    const Job job = make_job("cores" + std::to_string(cores), cores);
    Worker worker(job.folder);
    if (cores == 2) {  // header first, then the rest backwards
      worker.say(job::InputComplete{"projections.json"});
      for (const char* name : {"projections.f32", "attenuation.f32", "attenuation.json"})
        worker.say(job::InputComplete{name});
    } else {
      announce(worker, job);
    }
    worker.rest();
    ASSERT_EQ(worker.wait(), 0);
    if (volume.empty()) {
      volume = output(job, "volume.f32");
      passport = output(job, "passport.json");
    }
    EXPECT_EQ(output(job, "volume.f32"), volume) << cores << " cores";
    EXPECT_EQ(output(job, "passport.json"), passport) << cores << " cores";
  }
  for (const char* ranks : {"1", "2", "3"}) {
    const Job job = make_job(std::string("ranks") + ranks, 1);
    for (const auto& [name, value] : {std::pair<const char*, const char*>{"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                                      {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                                      {"OMPI_MCA_pml", "ob1"},
                                      {"OMPI_MCA_btl", "self,vader"},
                                      {"OMPI_MCA_plm", "isolated"},
                                      {"OMPI_MCA_oob_tcp_if_include", "lo"},
                                      {"OMPI_MCA_mpi_yield_when_idle", "1"},
                                      {"OMPI_MCA_rmaps_base_oversubscribe", "1"}}) {
      ::setenv(name, value, 1);
    }
    // mpirun does not hand on descriptor 3; a shell in between opens it again as a file of the job.
    const std::string lines = (job.folder / "lines").string();
    Worker worker(job.folder,
                  {"mpirun", "--bind-to", "none", "-n", ranks, "/bin/sh", "-c", "exec \"$0\" \"$@\" 3>>" + lines});
    announce(worker, job);
    EXPECT_EQ(worker.wait(), 0) << ranks << " ranks";
    EXPECT_EQ(output(job, "volume.f32"), volume) << ranks << " ranks";
    EXPECT_EQ(output(job, "passport.json"), passport) << ranks << " ranks";
  }
}

TEST_F(WorkerTest, BuildsThePlanWhileCountsAreStillOnTheWay) {
  const Job job = make_job("early", 1);
  Worker worker(job.folder);
  for (const char* name : {"projections.json", "attenuation.json", "attenuation.f32"})
    worker.say(job::InputComplete{name});
  bool planned = false;
  while (const auto line = worker.next()) {
    const auto* progress = std::get_if<job::Progress>(&*line);
    if (progress == nullptr) continue;
    if (progress->stage == "plan") planned = true;
    if (progress->stage == "receive" && planned) break;
  }
  EXPECT_TRUE(planned);
  worker.say(job::InputComplete{"projections.f32"});
  worker.rest();
  EXPECT_EQ(worker.wait(), 0);
}

TEST_F(WorkerTest, StopsWhenCancelledAndWhenTheNodeIsGoneWithoutOutputs) {
  for (const bool gone : {false, true}) {
    const Job job = make_job(gone ? "gone" : "cancel", 1, {{"iterations", std::int64_t{1000}}});
    Worker worker(job.folder);
    announce(worker, job);
    while (const auto line = worker.next()) {
      const auto* progress = std::get_if<job::Progress>(&*line);
      if (progress != nullptr && progress->stage == "iterate") break;
    }
    if (gone)
      worker.close_input();
    else
      worker.say(job::Cancel{});
    worker.rest();
    EXPECT_EQ(worker.wait(), static_cast<int>(ErrorCode::Cancelled));
    EXPECT_FALSE(std::filesystem::exists(job.folder / "out" / "volume.f32"));
  }
}

TEST_F(WorkerTest, ACheckpointMovesToTheNextAttemptAndTheBitsStay) {
  const job::Parameters given{{"iterations", std::int64_t{6}}, {"checkpoint-every", std::int64_t{2}}};
  const Job whole = make_job("whole", 1, given);
  std::vector<std::uint32_t> steps;
  {
    Worker worker(whole.folder);
    announce(worker, whole);
    for (const job::FromWorker& line : worker.rest()) {
      if (const auto* ready = std::get_if<job::CheckpointReady>(&line)) steps.push_back(ready->step);
    }
    ASSERT_EQ(worker.wait(), 0);
  }
  EXPECT_EQ(steps, (std::vector<std::uint32_t>{2, 4}));
  const Job rest = make_job("rest", 2, given, output(whole, "checkpoint"));
  Worker worker(rest.folder);
  announce(worker, rest);
  std::size_t iterations = 0;
  for (const job::FromWorker& line : worker.rest()) {
    const auto* progress = std::get_if<job::Progress>(&line);
    if (progress != nullptr && progress->stage == "iterate") ++iterations;
  }
  ASSERT_EQ(worker.wait(), 0);
  EXPECT_EQ(iterations, 2U);
  EXPECT_EQ(output(rest, "volume.f32"), output(whole, "volume.f32"));
  EXPECT_EQ(output(rest, "passport.json"), output(whole, "passport.json"));
}

// Views come one by one in bit-reversed order: from the eighth on pictures of them come back, and what is computed in
// the end is what a job that got everything at once computes.
TEST_F(WorkerTest, ViewsThatAreHereAreShownWhileTheOthersAreOnTheirWay) {
  const Job batch = make_job("batch", 2), slow = make_job("slow", 2);
  {
    Worker worker(batch.folder);
    announce(worker, batch);
    worker.rest();
    ASSERT_EQ(worker.wait(), 0);
  }
  Worker worker(slow.folder);
  for (const std::string& input : slow.inputs) {
    if (input != "projections.f32") worker.say(job::InputComplete{input});
  }
  const std::uint64_t view = problem_.geometry.bins * problem_.geometry.rows * sizeof(float);
  std::vector<std::string> captions;
  const auto wait_for_picture = [&] {
    while (const auto line = worker.next()) {
      const auto* picture = std::get_if<job::PreviewReady>(&*line);
      if (picture == nullptr) continue;
      captions.push_back(picture->caption);
      EXPECT_GT(std::filesystem::file_size(slow.folder / "out" / picture->name), 100U);
      return;
    }
    FAIL() << "it ended without a picture";
  };
  const std::vector<std::uint64_t> order{0, 16, 8, 4, 12, 2, 18, 10, 6, 14, 1, 17, 9, 5, 13, 3, 11, 7, 15};
  ASSERT_EQ(order.size(), problem_.geometry.views.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    worker.say(job::InputAvailable{"projections.f32", order[i] * view, view});
    if (i % 3 == 0) worker.say(job::InputAvailable{"projections.f32", order[i] * view, view / 2});  // told twice
    if (i + 1 == 8 || i + 1 == 16) wait_for_picture();
  }
  worker.say(job::InputComplete{"projections.f32"});
  worker.rest();
  ASSERT_EQ(worker.wait(), 0);
  ASSERT_EQ(captions.size(), 2U);
  EXPECT_EQ(captions[0].find("partial 8/19"), 0U) << captions[0];
  EXPECT_EQ(captions[1].find("partial 16/19"), 0U) << captions[1];
  EXPECT_EQ(output(slow, "volume.f32"), output(batch, "volume.f32"));
  EXPECT_EQ(output(slow, "passport.json"), output(batch, "passport.json"));
}

TEST_F(WorkerTest, BadInputAndLittleMemoryAreFailuresThatSaySo) {
  const auto outcome = [&](const Job& job, int status) -> job::WorkerFailed {
    Worker worker(job.folder);
    announce(worker, job);
    const auto lines = worker.rest();
    EXPECT_EQ(worker.wait(), status);
    EXPECT_FALSE(std::filesystem::exists(job.folder / "out" / "volume.f32"));
    const auto* failed = failure_in(lines);
    EXPECT_NE(failed, nullptr);
    return failed != nullptr ? *failed : job::WorkerFailed{};
  };
  EXPECT_EQ(outcome(make_job("small", 1, {}, {}, mebibytes(4)), static_cast<int>(ErrorCode::Unplaceable)).failure.retry,
            job::Retry::Elsewhere);
  header_ = "{\"bins\": 100000";
  EXPECT_EQ(outcome(make_job("header", 1), static_cast<int>(ErrorCode::BadInput)).failure.code, "bad-input");
  header_.clear();
  problem_.counts[17] = -3;
  EXPECT_EQ(outcome(make_job("negative", 1), static_cast<int>(ErrorCode::BadInput)).failure.retry, job::Retry::Never);
  problem_.counts.resize(100);
  EXPECT_EQ(outcome(make_job("short", 1), static_cast<int>(ErrorCode::BadInput)).failure.code, "bad-input");
}

TEST_F(WorkerTest, ByHandGivesTheSameVolumeAsAJob) {
  const Job job = make_job("same", 1, {{"decay", false}, {"sigma0-mm", 1.5}, {"sigma-slope", 0.02}});
  {
    Worker worker(job.folder);
    announce(worker, job);
    worker.rest();
    ASSERT_EQ(worker.wait(), 0);
  }
  image::Projections scan{problem_.geometry, {}, problem_.counts};
  for (image::View& view : scan.geometry.views) view.start = view.duration = Seconds(0);
  const auto file = home_.path() / "scan.hs";
  const auto saved = image::save_scan(file, scan);
  if (!saved) GTEST_SKIP() << "this orbit cannot be written as Interfile: " << saved.error().message;
  image::save_volume(home_.path() / "mu.hv", problem_.attenuation).or_throw();
  const std::string command = kProgram + " " + file.string() + " -o " + (home_.path() / "v.hv").string() +
                              " --attenuation " + (home_.path() / "mu.hv").string() +
                              " --attenuation-unit 1/mm --sigma0-mm 1.5 --sigma-slope 0.02 --decay false ";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  const image::Volume volume = image::load_volume(home_.path() / "v.hv").or_throw();
  const std::vector<std::uint8_t> bytes = output(job, "volume.f32");
  const std::vector<float> theirs = image::floats_of(bytes, volume.values.size()).or_throw();
  double error = 0, size = 0;
  for (std::size_t i = 0; i < theirs.size(); ++i) {
    error += std::pow(static_cast<double>(theirs[i]) - static_cast<double>(volume.values[i]), 2);
    size += std::pow(static_cast<double>(theirs[i]), 2);
  }
  EXPECT_LT(std::sqrt(error / size), 1e-3);  // a header in text rounds angles and radii
}

TEST(RecognisesUsage, ExitCodesSayWhatKindOfTrouble) {
  const auto status = [](const std::string& words) {
    return WEXITSTATUS(std::system((kProgram + " " + words + " >/dev/null 2>&1").c_str()));
  };
  EXPECT_EQ(status("--help"), 0);
  EXPECT_EQ(status(""), 2);
  EXPECT_EQ(status("scan.hs"), 2);
  EXPECT_EQ(status("/nonexistent.hs -o v.nii"), 9);
  EXPECT_EQ(status("/etc/hostname -o v.nii"), 3);
  EXPECT_EQ(status("scan.hs -o v.nii --iterations 0"), 2);
}

}  // namespace
}  // namespace tomogrid::recon
