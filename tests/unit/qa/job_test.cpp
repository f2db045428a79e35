// The worker contract, end to end in one process: folder in, report out, lines on a descriptor.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "example.h"
#include "image/stream_format.h"
#include "job/service.h"
#include "job/worker_protocol.h"
#include "qa/task.h"

namespace tomogrid::qa {
namespace {

// A job's folder, and the two pipes between node and worker.
class Job {
 public:
  Job() {
    std::filesystem::create_directory(folder_.path() / "in");
    std::filesystem::create_directory(folder_.path() / "out");
    job::WorkOrder order;
    order.service = {"qa.spect", 1};
    order.grant = {.cores = 2, .memory = mebibytes(256), .scratch = mebibytes(64)};
    put("job.json", bytes_of(job::encode(order)));
    EXPECT_EQ(::pipe(to_.data()), 0);
    EXPECT_EQ(::pipe(from_.data()), 0);
    ::fcntl(from_[0], F_SETFL, O_NONBLOCK);
  }
  ~Job() {
    for (const int end : {to_[0], to_[1], from_[0], from_[1]}) {
      if (end >= 0) ::close(end);
    }
  }
  void put(const std::string& name, ByteView content) { write_file(folder_.path() / name, content).or_throw(); }
  void put(const image::Projections& scan) {
    put("in/projections.json", bytes_of(image::encode_header(scan.geometry, scan.facts)));
    put("in/projections.f32", image::as_bytes(scan.values));
  }
  void hang_up() {
    ::close(to_[1]);
    to_[1] = -1;
  }
  int run() { return run_job(folder_.path(), to_[0], from_[1]); }
  std::vector<job::FromWorker> lines() {
    std::string text(1 << 16, '\0');
    const ssize_t n = ::read(from_[0], text.data(), text.size());
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    std::vector<job::FromWorker> parsed;
    for (std::size_t begin = 0, end = 0; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
      parsed.push_back(job::parse_from_worker(std::string_view(text).substr(begin, end - begin)).or_throw());
    }
    return parsed;
  }
  std::filesystem::path report() const { return folder_.path() / "out" / "report.json"; }

 private:
  TemporaryFolder folder_;
  std::array<int, 2> to_{-1, -1}, from_{-1, -1};
};

TEST(QaJob, WritesTheReportAndSaysHowFarItIs) {
  Job job;
  job.put(brain().projections);
  EXPECT_EQ(job.run(), 0);
  EXPECT_EQ(text_of(read_file(job.report(), mebibytes(1)).or_throw()), to_json(judge(brain().projections).or_throw()));
  double before = -1;
  for (const job::FromWorker& line : job.lines()) {
    const auto* progress = std::get_if<job::Progress>(&line);
    ASSERT_NE(progress, nullptr);
    EXPECT_GT(progress->fraction, before);
    before = progress->fraction;
  }
  EXPECT_EQ(before, 1);
}

job::JobFailure failure_of(Job& job) {
  EXPECT_NE(job.run(), 0);
  EXPECT_FALSE(std::filesystem::exists(job.report()));
  const auto lines = job.lines();
  const auto* failed = lines.empty() ? nullptr : std::get_if<job::WorkerFailed>(&lines.back());
  EXPECT_NE(failed, nullptr);
  return failed == nullptr ? job::JobFailure{} : failed->failure;
}

TEST(QaJob, BadInputIsSaidInSizesAndNeverRetried) {
  Job broken;
  broken.put(brain().projections);
  const std::string text = "{\"secret\": \"Doe^Jane\"}";
  broken.put("in/projections.json", bytes_of(text));
  const job::JobFailure failure = failure_of(broken);
  EXPECT_EQ(failure.code, "bad-input");
  EXPECT_EQ(failure.retry, job::Retry::Never);
  EXPECT_NE(failure.message.find(std::to_string(text.size())), std::string::npos);
  EXPECT_EQ(failure.message.find("Doe"), std::string::npos);

  Job cut;
  cut.put(brain().projections);
  cut.put("in/projections.f32", bytes_of("1234567"));
  EXPECT_EQ(failure_of(cut).code, "bad-input");

  Job absent;
  EXPECT_EQ(failure_of(absent).code, "lost");
}

TEST(QaJob, StopsWhenTheNodeIsGone) {
  Job job;
  job.put(brain().projections);
  job.hang_up();
  EXPECT_EQ(job.run(), static_cast<int>(ErrorCode::Cancelled));
  EXPECT_FALSE(std::filesystem::exists(job.report()));
}

TEST(QaJob, ServiceDescriptionIsValid) {
  const auto text = read_file(std::filesystem::path(TOMOGRID_SOURCE) / "qa" / "qa.spect.json", mebibytes(1)).or_throw();
  const job::ServiceDescriptor service = job::parse_service(text_of(text)).or_throw();
  EXPECT_EQ(to_string(service.service), kServiceName);
  EXPECT_EQ(service.command.front(), "tomogrid-qa");
  EXPECT_FALSE(service.streamed_input);
}

}  // namespace
}  // namespace tomogrid::qa
