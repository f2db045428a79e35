#include "qa/task.h"

#include <omp.h>

#include <algorithm>
#include <new>

#include "base/file.h"
#include "image/stream_format.h"
#include "job/worker_channel.h"
#include "qa/qa.h"

namespace tomogrid::qa {

namespace {

constexpr int kFailed = static_cast<int>(ErrorCode::JobFailed), kCancelled = static_cast<int>(ErrorCode::Cancelled);

struct Stop {
  job::JobFailure failure;
};

Stop bad_input(std::string message) {
  return {{"bad-input", std::move(message), job::Retry::Never}};
}

ByteString input(const job::WorkerChannel& channel, const std::string& name, Bytes limit) {
  auto bytes = read_file(channel.input_path(name), limit);
  if (!bytes) {
    throw Stop{{"lost", name + ": cannot be read, error " + std::to_string(static_cast<int>(bytes.error().code)),
                job::Retry::Elsewhere}};
  }
  return *std::move(bytes);
}

// Messages carry no content of the input, so what the header's parser says stays here.
image::Projections read_scan(const job::WorkerChannel& channel) {
  const ByteString text = input(channel, "projections.json", Bytes(image::kHeaderLimit));
  auto header = image::parse_projections_header(text_of(text));
  if (!header) throw bad_input("projections.json: not a header, " + std::to_string(text.size()) + " bytes");
  const Bytes length = image::data_bytes(header->geometry);
  const ByteString data = input(channel, "projections.f32", Bytes(image::kMaxElements * sizeof(float)));
  auto values = image::floats_of(data, header->geometry.elements());
  if (!values) {
    throw bad_input("projections.f32: " + std::to_string(data.size()) + " bytes where the header says " +
                    std::to_string(length.count()));
  }
  return {.geometry = std::move(header->geometry), .facts = std::move(header->facts), .values = *std::move(values)};
}

void progress(job::WorkerChannel& channel, const char* stage, double fraction) {
  channel.say(job::Progress{.stage = stage, .fraction = fraction, .remaining = {}, .step = 0, .steps = 0});
  (void)channel.poll(std::chrono::milliseconds(0));
}

void judge_scan(job::WorkerChannel& channel) {
  progress(channel, "receive", 0);
  const image::Projections scan = read_scan(channel);
  progress(channel, "judge", 0.3);
  if (channel.cancelled()) return;
  auto report = judge(scan);
  if (!report) throw bad_input("the scan cannot be judged: " + std::to_string(scan.values.size()) + " values");
  progress(channel, "write", 0.95);
  if (channel.cancelled()) return;
  channel.write_output("report.json", bytes_of(to_json(*report)));
  progress(channel, "write", 1);
}

}  // namespace

int run_job(const std::filesystem::path& folder, int input, int output) {
  job::WorkerChannel channel(folder, input, output);
  const auto fail = [&](job::JobFailure failure) {
    channel.say(job::WorkerFailed{std::move(failure)});
    return kFailed;
  };
  try {
    omp_set_num_threads(static_cast<int>(std::clamp<std::uint32_t>(channel.order().grant.cores, 1, 256)));
    judge_scan(channel);
    return channel.cancelled() && !std::filesystem::exists(channel.output_path("report.json")) ? kCancelled : 0;
  } catch (const Stop& stop) {
    return fail(stop.failure);
  } catch (const std::bad_alloc&) {
    return fail({"out-of-memory", "granted " + std::to_string(channel.order().grant.memory.count()) + " bytes",
                 job::Retry::Elsewhere});
  } catch (const Failure& failure) {
    return fail({"storage", "error " + std::to_string(static_cast<int>(failure.error().code)), job::Retry::Elsewhere});
  }
}

}  // namespace tomogrid::qa
