// Real child processes under real guards. The loop is a small one of poll().
#include "node/launcher.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <mutex>
#include <thread>

#include "base/file.h"
#include "certs/content_hash.h"
#include "node/guard.h"
#include "node/journal.h"

namespace tomogrid::node {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class PollLoop {
 public:
  LoopHooks hooks() {
    return {[this](int fd, std::function<void()> ready) { watched_[fd] = std::move(ready); },
            [this](int fd) { watched_.erase(fd); },
            [this](std::chrono::milliseconds delay, std::function<void()> due) {
              due_.emplace(std::chrono::steady_clock::now() + delay, std::move(due));
            },
            [this](std::function<void()> work) {
              const std::lock_guard lock(mutex_);
              posts_.push_back(std::move(work));
            },
            [this](const wire::Event& event) { events.push_back(event); }};
  }
  // Runs until `done` is true of the events; fails the test after `limit`.
  bool run_until(const std::function<bool()>& done, std::chrono::milliseconds limit = 20s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::vector<pollfd> items;
      for (const auto& [fd, ready] : watched_) items.push_back({fd, POLLIN, 0});
      ::poll(items.data(), items.size(), 5);
      for (const pollfd& item : items) {
        const auto found = watched_.find(item.fd);
        if (item.revents != 0 && found != watched_.end()) std::function<void()>(found->second)();
      }
      while (!due_.empty() && due_.begin()->first <= std::chrono::steady_clock::now()) {
        auto due = std::move(due_.begin()->second);
        due_.erase(due_.begin());
        due();
      }
      std::vector<std::function<void()>> posts;
      {
        const std::lock_guard lock(mutex_);
        posts.swap(posts_);
      }
      for (auto& post : posts) post();
    }
    return true;
  }
  template <class T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const wire::Event& event : events) {
      if (const T* item = std::get_if<T>(&event)) found.push_back(*item);
    }
    return found;
  }
  template <class T>
  std::vector<T> said() const {
    std::vector<T> found;
    for (const auto& line : all<wire::WorkerSaid>()) {
      if (const T* item = std::get_if<T>(&line.line)) found.push_back(*item);
    }
    return found;
  }
  std::vector<wire::Event> events;

 private:
  std::map<int, std::function<void()>> watched_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> due_;
  std::mutex mutex_;
  std::vector<std::function<void()>> posts_;
};

class LauncherTest : public ::testing::Test {
 protected:
  TemporaryFolder home_;
  Scratch scratch_{{home_.path() / "scratch", {}, true}};
  std::unique_ptr<SqliteJournal> journal_ = std::make_unique<SqliteJournal>(home_.path() / "journal.db");
  PollLoop loop_;
  std::unique_ptr<Launcher> launcher_;
  wire::JobKey key_ = [] {
    wire::JobKey key;
    key.job.bytes[3] = 7;
    return key;
  }();

  LauncherOptions options() const {
    LauncherOptions options;
    options.guard = fs::path(TOMOGRID_BIN) / "tomogrid-guard";
    options.programs = {TOMOGRID_BIN};
    options.grace = 300ms;
    options.kill_grace = 200ms;
    return options;
  }
  void SetUp() override { launcher_ = std::make_unique<Launcher>(options(), scratch_, *journal_, loop_.hooks()); }

  wire::StartWorker order(const std::string& mode) const {
    wire::StartWorker start;
    start.job = key_;
    start.order.job = key_.job;
    start.order.service = {"recon.test", 1};
    start.order.parameters = {{"mode", mode}};
    start.order.grant = {1, mebibytes(64), mebibytes(16)};
    start.order.inputs = {{"scan.f32", Bytes(6), {}}};
    start.command = {"worker_for_tests"};
    start.outputs = {"volume.f32", "passport.json"};
    return start;
  }
  void start(const std::string& mode) {
    launcher_->prepare({key_, {{"scan.f32", Bytes(6), {}}}});
    write_input("abcdef");
    launcher_->start(order(mode));
  }
  void write_input(const std::string& content) {
    auto sink = scratch_.open_sink(key_, {key_.job, "scan.f32", 0}, content.size()).or_throw();
    std::move(sink->write(0, bytes_of(content))).or_throw();
    std::move(sink->complete()).or_throw();
  }
  // What a worker with two processors on two sockets finds around itself; with `ranks` it may be two processes.
  std::string surroundings_on_two_sockets(bool ranks) {
    LauncherOptions with_sockets = options();
    with_sockets.seats = {{"", 0, 0}, {"", 1, 1}};
    with_sockets.mpirun = "/usr/bin/mpirun";
    launcher_ = std::make_unique<Launcher>(with_sockets, scratch_, *journal_, loop_.hooks());
    launcher_->prepare({key_, {{"scan.f32", Bytes(6), {}}}});
    write_input("abcdef");
    auto wanted = order("surroundings");
    wanted.ranks = ranks;
    wanted.order.grant.cores = 2;
    launcher_->start(wanted);
    EXPECT_EQ(exited().status, 0);
    return std::string(
        text_of(read_file(scratch_.folder(key_) / "out" / "volume.f32", mebibytes(1)).or_throw()));
  }
  wire::WorkerExited exited() {
    EXPECT_TRUE(loop_.run_until([&] { return !loop_.all<wire::WorkerExited>().empty(); }));
    const auto all = loop_.all<wire::WorkerExited>();
    return all.empty() ? wire::WorkerExited{} : all.back();
  }
  std::size_t worker_rows() {
    const auto rows = journal_->recover().or_throw();
    return static_cast<std::size_t>(
        std::count_if(rows.begin(), rows.end(), [](const wire::Row& row) { return row.table == kWorkerTable; }));
  }
};

TEST_F(LauncherTest, WorkerRunsSaysAndIsHashed) {
  start("echo");
  EXPECT_EQ(worker_rows(), 1U) << "on record before it runs";
  launcher_->tell({key_, job::InputAvailable{"scan.f32", 0, 6}});
  launcher_->tell({key_, job::InputComplete{"scan.f32"}});
  const auto exit = exited();
  EXPECT_EQ(exit.status, 0);
  ASSERT_EQ(exit.outputs.size(), 1U) << "passport.json was not written";
  EXPECT_EQ(exit.outputs[0].name, "volume.f32");
  EXPECT_EQ(exit.outputs[0].length, 6U);
  EXPECT_EQ(exit.outputs[0].root, certs::content_hash(bytes_of("fedcba")));
  EXPECT_EQ(exit.worker_build,
            certs::sha256(read_file(fs::path(TOMOGRID_BIN) / "worker_for_tests", gibibytes(1)).or_throw()));
  EXPECT_EQ(loop_.said<job::Progress>().back().stage, "write") << "the last line before its end is heard";
  EXPECT_EQ(loop_.said<job::PreviewReady>().size(), 1U);
  EXPECT_EQ(worker_rows(), 0U);
  auto source = scratch_.open_source(key_, {key_.job, "volume.f32", 0}).or_throw();
  std::array<std::uint8_t, 6> content{};
  std::move(source->read(0, content)).or_throw();
  EXPECT_EQ(text_of(content), "fedcba");
}

TEST_F(LauncherTest, WorkerHasWhatItNeedsAndNothingElse) {
  ::setenv("SECRET_OF_THE_NODE", "x", 1);
  const int leak = ::open("/dev/null", O_RDONLY);  // without O_CLOEXEC
  start("surroundings");
  EXPECT_EQ(exited().status, 0);
  ::close(leak);
  const std::string text(text_of(read_file(scratch_.folder(key_) / "out" / "volume.f32", mebibytes(1)).or_throw()));
  EXPECT_THAT(text, HasSubstr("OMP_NUM_THREADS=1\n"));
  EXPECT_THAT(text, HasSubstr("core=0\n"));
  EXPECT_THAT(text, HasSubstr("file=" + std::to_string(80 << 20) + "\n"));
  EXPECT_THAT(text, HasSubstr("cwd=" + scratch_.folder(key_).string()));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("SECRET")));
  EXPECT_THAT(text, HasSubstr("fd=0\nfd=1\nfd=2\nfd=3\ncwd"));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("group-leader=" + std::to_string(::getpgrp()) + "\n")));
}

// By mpirun, two of one processor each: what the first says is heard, and each has its own threads.
TEST_F(LauncherTest, AJobOnTwoSocketsIsStartedByMpirunWithARankForEach) {
  if (::access("/usr/bin/mpirun", X_OK) != 0 || std::thread::hardware_concurrency() < 2)
    GTEST_SKIP() << "needs mpirun and two processors";
  const std::string text = surroundings_on_two_sockets(true);
  EXPECT_GE(loop_.said<job::Progress>().size(), 1U);
  EXPECT_THAT(text, HasSubstr("OMPI_COMM_WORLD_SIZE=2\n"));
  EXPECT_THAT(text, HasSubstr("OMP_NUM_THREADS=1\n"));
  EXPECT_THAT(text, HasSubstr("cpus=1\n"));
}

TEST_F(LauncherTest, AServiceThatIsOneProcessStaysOne) {
  const std::string text = surroundings_on_two_sockets(false);
  EXPECT_THAT(text, ::testing::Not(HasSubstr("OMPI_COMM_WORLD_SIZE")));
  EXPECT_THAT(text, HasSubstr("OMP_NUM_THREADS=2\n"));
}

TEST_F(LauncherTest, EndBySignalIsSaidAsSuch) {
  start("crash");
  EXPECT_EQ(exited().status, -SIGSEGV);
}

TEST_F(LauncherTest, EndOfInputStopsAGoodWorker) {
  start("echo");
  launcher_->stop({key_});
  EXPECT_EQ(exited().status, 4);
}

TEST_F(LauncherTest, DeafWorkerAndItsChildrenAreKilled) {
  start("hang");
  ASSERT_TRUE(loop_.run_until([&] { return !loop_.said<job::Notice>().empty(); }));
  const pid_t child = std::stoi(loop_.said<job::Notice>().front().message);
  EXPECT_EQ(::kill(child, 0), 0);
  launcher_->stop({key_});
  EXPECT_EQ(exited().status, -SIGKILL);
  EXPECT_EQ(::kill(child, 0), -1) << "a child in a group of its own";
}

TEST_F(LauncherTest, NothingOutlivesTheLauncher) {
  start("hang");
  ASSERT_TRUE(loop_.run_until([&] { return !loop_.said<job::Notice>().empty(); }));
  const pid_t child = std::stoi(loop_.said<job::Notice>().front().message);
  const pid_t guard = launcher_->process_groups().front();
  launcher_.reset();
  EXPECT_EQ(::kill(child, 0), -1);
  EXPECT_EQ(::kill(guard, 0), -1);
}

TEST_F(LauncherTest, WorkerDiesWithANodeThatIsKilled) {
  // The node is a child of this test: it launches and is killed without a word.
  int report[2];
  ASSERT_EQ(::pipe2(report, O_CLOEXEC), 0);
  launcher_.reset();
  journal_.reset();  // SQLite must not cross a fork
  const pid_t node = ::fork();
  ASSERT_GE(node, 0);
  if (node == 0) {
    journal_ = std::make_unique<SqliteJournal>(home_.path() / "journal.db");
    launcher_ = std::make_unique<Launcher>(options(), scratch_, *journal_, loop_.hooks());
    start("hang");
    if (!loop_.run_until([&] { return !loop_.said<job::Notice>().empty(); })) ::_exit(1);
    const pid_t child = std::stoi(loop_.said<job::Notice>().front().message);
    if (::write(report[1], &child, sizeof child) != sizeof child) ::_exit(1);
    for (;;) ::pause();
  }
  pid_t child = 0;
  ASSERT_EQ(::read(report[0], &child, sizeof child), static_cast<ssize_t>(sizeof child));
  ::kill(node, SIGKILL);
  ::waitpid(node, nullptr, 0);
  SqliteJournal journal(home_.path() / "journal.db");
  EXPECT_EQ(end_leftover_workers(journal.recover().or_throw()), 1U) << "the next node finds it on record";
  EXPECT_EQ(::kill(child, 0), -1);
  EXPECT_EQ(end_leftover_workers(journal.recover().or_throw()), 0U);  // its guard, once reaped or not, runs no more
}

TEST_F(LauncherTest, ReusedProcessNumberIsNotTakenForALeftover) {
  const std::vector<wire::Row> rows{encode(WorkerRecord{key_, ::getpid(), 1})};
  EXPECT_EQ(end_leftover_workers(rows), 0U);  // or this test would be gone
}

TEST_F(LauncherTest, OverlongAndMalformedLinesAreDroppedAndTheRestIsHeard) {
  start("long-lines");
  exited();
  ASSERT_EQ(loop_.said<job::Notice>().size(), 1U);
  EXPECT_EQ(loop_.said<job::Notice>().front().message, "still heard");
}

TEST_F(LauncherTest, MemoryLimitStopsTheWorkerNotTheNode) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer reserves more address space than the limit allows";
#endif
  start("greedy");
  EXPECT_EQ(exited().status, 1);
  ASSERT_EQ(loop_.said<job::WorkerFailed>().size(), 1U);
  EXPECT_EQ(loop_.said<job::WorkerFailed>().front().failure.code, "out-of-memory");
}

TEST_F(LauncherTest, ProgramThatIsNotThereIsAnExit) {
  auto missing = order("echo");
  missing.command = {"no-such-worker"};
  launcher_->prepare({key_, {{"scan.f32", Bytes(6), {}}}});
  launcher_->start(missing);
  EXPECT_EQ(exited().status, 127);
  EXPECT_EQ(worker_rows(), 0U);
}

TEST_F(LauncherTest, CheckpointOfADeadWorkerIsAnInputOfTheNext) {
  start("crash");
  exited();
  std::ofstream(scratch_.folder(key_) / "out" / "checkpoint") << "12345";
  std::ofstream(scratch_.folder(key_) / "out" / "volume.f32.part") << "half";
  loop_.events.clear();
  auto again = order("surroundings");
  again.order.inputs.push_back({"checkpoint", Bytes(), {}});
  launcher_->start(again);
  EXPECT_EQ(exited().status, 0);
  const auto written =
      job::parse_work_order(text_of(read_file(scratch_.folder(key_) / "job.json", mebibytes(1)).or_throw())).or_throw();
  EXPECT_EQ(written.inputs.back(), (job::StreamFact{"checkpoint", Bytes(5), {}}));
  EXPECT_EQ(text_of(read_file(scratch_.folder(key_) / "in" / "checkpoint", mebibytes(1)).or_throw()), "12345");
  EXPECT_FALSE(fs::exists(scratch_.folder(key_) / "out" / "volume.f32.part"));
}

TEST(Guard, ArgumentsSurviveARoundTrip) {
  GuardOptions options;
  options.memory_limit = 123;
  options.cpus = {0, 5};
  options.command = {"/bin/true", "--", "--memory"};
  const auto parsed = parse_guard_arguments(guard_arguments(options));
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->memory_limit, 123U);
  EXPECT_EQ(parsed->cpus, options.cpus);
  EXPECT_EQ(parsed->command, options.command);
  EXPECT_FALSE(parse_guard_arguments({"--memory", "x", "--", "/bin/true"}).has_value());
  EXPECT_FALSE(parse_guard_arguments({"--memory", "1", "--", "true"}).has_value()) << "only a whole path";
  EXPECT_FALSE(parse_guard_arguments({"/bin/true"}).has_value());
}

}  // namespace
}  // namespace tomogrid::node
