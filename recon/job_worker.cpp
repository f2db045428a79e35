#include "recon/job_worker.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>
#include <thread>

#include "base/file.h"
#include "image/files.h"
#include "job/worker_channel.h"
#include "recon/first_look.h"
#include "recon/run.h"

namespace tomogrid::recon {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPreviewInterval = std::chrono::seconds(2);
constexpr auto kFirstRankSpeaks = std::chrono::seconds(2);
constexpr double kPlanShare = 0.1, kWriteShare = 0.02;  // of the whole job, for a progress bar

// What has come from the node, and what must go to it.
class Desk final {
 public:
  explicit Desk(const std::filesystem::path& folder) : channel_(folder) {
    for (const job::StreamFact& input : channel_.order().inputs) expected_.insert(input.name);
  }

  const job::WorkOrder& order() const { return channel_.order(); }
  bool expects(const std::string& name) const { return expected_.contains(name); }
  bool cancelled() {
    listen(std::chrono::milliseconds(0));
    return channel_.cancelled();
  }
  // Waits until every one of `names` that the job has is complete; false when cancelled. `meanwhile` is called when
  // parts of the projections have come and something is still missing.
  bool wait_for(const std::vector<std::string>& names, const std::function<void()>& meanwhile = {}) {
    const auto all_here = [&] {
      return std::all_of(names.begin(), names.end(),
                         [&](const std::string& name) { return !expects(name) || complete_.contains(name); });
    };
    while (!channel_.cancelled() && !all_here()) {
      if (meanwhile && !arrived_.empty()) meanwhile();
      listen(std::chrono::milliseconds(500));
    }
    return !channel_.cancelled();
  }
  ByteString read(const std::string& name, Bytes limit) const {
    return read_file(channel_.input_path(name), limit).or_throw();
  }
  // Part of an input that is valid already.
  ByteString read_part(const std::string& name, std::uint64_t offset, std::uint64_t length) const {
    std::ifstream file(channel_.input_path(name), std::ios::binary);
    ByteString bytes(length);
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(length));
    if (!file) throw Failure(ErrorCode::Storage, "cannot read a part of " + name + " that is said to be here");
    return bytes;
  }
  // Parts of the projections that have come since the last call.
  std::vector<job::InputAvailable> take_arrived() { return std::exchange(arrived_, {}); }
  bool checkpoint_asked() { return std::exchange(checkpoint_asked_, false); }

  void progress(const std::string& stage, double fraction, std::optional<Seconds> remaining = {}, std::size_t step = 0,
                std::size_t steps = 0) {
    channel_.say(job::Progress{stage, std::clamp(fraction, 0.0, 1.0), remaining, static_cast<std::uint32_t>(step),
                               static_cast<std::uint32_t>(steps)});
  }
  void notice(const Notice& notice) { channel_.say(job::Notice{notice.code, notice.message}); }
  void failed(const std::string& code, const std::string& message, job::Retry retry) {
    channel_.say(job::WorkerFailed{{code, message, retry}});
  }
  void write(const std::string& name, ByteView content) { channel_.write_output(name, content); }
  void checkpoint(const Checkpoint& state) {
    channel_.write_output("checkpoint", encode(state));
    channel_.say(job::CheckpointReady{"checkpoint", static_cast<std::uint32_t>(state.history.size())});
  }
  void preview(const image::Volume& volume, const std::string& caption) {
    const auto saved = image::save_mosaic(channel_.output_path("preview.png"), volume);
    if (saved) channel_.say(job::PreviewReady{"preview.png", caption});
  }

 private:
  void listen(std::chrono::milliseconds wait) {
    for (const job::ToWorker& line : channel_.poll(wait)) {
      const auto* part = std::get_if<job::InputAvailable>(&line);
      if (part != nullptr && part->name == "projections.f32") arrived_.push_back(*part);
      if (const auto* complete = std::get_if<job::InputComplete>(&line)) complete_.insert(complete->name);
      if (std::holds_alternative<job::CheckpointNow>(line)) checkpoint_asked_ = true;
    }
  }
  job::WorkerChannel channel_;
  std::set<std::string> expected_, complete_;
  std::vector<job::InputAvailable> arrived_;
  bool checkpoint_asked_ = false;
};

struct Cancelled {};

constexpr const char* kScatterWindows[] = {"scatter-lower", "scatter-upper"};

std::optional<ScatterInput>& window_of(Task& task, const std::string& name) {
  return name == kScatterWindows[0] ? task.scatter_lower : task.scatter_upper;
}

Task read_plan_inputs(Desk& desk) {
  Task task;
  task.parameters = job::complete_parameters(service(), desk.order().parameters).or_throw();
  if (!desk.expects("projections.json") || !desk.expects("projections.f32")) {
    throw Failure(ErrorCode::BadInput, "the job has no projections");
  }
  for (const std::string name : {"attenuation", "scatter-lower", "scatter-upper"}) {
    if (desk.expects(name + ".json") != desk.expects(name + ".f32"))
      throw Failure(ErrorCode::BadInput, name + ".json and " + name + ".f32 belong together; one is missing");
  }
  desk.progress("receive", 0.0);
  if (!desk.wait_for(
          {"projections.json", "attenuation.json", "attenuation.f32", "scatter-lower.json", "scatter-upper.json"}))
    throw Cancelled{};
  task.header =
      image::parse_projections_header(text_of(desk.read("projections.json", Bytes(image::kHeaderLimit)))).or_throw();
  if (desk.expects("attenuation.json")) {
    const auto header =
        image::parse_volume_header(text_of(desk.read("attenuation.json", Bytes(image::kHeaderLimit)))).or_throw();
    const ByteString bytes = desk.read("attenuation.f32", image::data_bytes(header.geometry));
    task.attenuation =
        image::Volume{header.geometry, image::floats_of(bytes, header.geometry.voxels()).or_throw(), header.unit};
    if (header.unit != "1/mm") throw Failure(ErrorCode::BadInput, "attenuation.json: the unit must be 1/mm");
  }
  for (const std::string name : kScatterWindows) {
    if (!desk.expects(name + ".json")) continue;
    const ByteString text = desk.read(name + ".json", Bytes(image::kHeaderLimit));
    window_of(task, name) = ScatterInput{image::parse_projections_header(text_of(text)).or_throw(), {}};
  }
  return task;
}

// Pictures of what is here while the rest is still on its way. What goes wrong with one is no reason to fail: the run
// itself will say so, or nothing is wrong once all is here.
void show_what_is_here(Desk& desk, FirstLook& look) {
  for (const job::InputAvailable& part : desk.take_arrived()) look.available(part.offset, part.length);
  if (!look.due()) return;
  const std::uint64_t size = look.view_bytes();
  const auto picture = look.look([&](std::size_t view) -> Result<std::vector<float>> {
    const ByteString bytes = desk.read_part("projections.f32", view * size, size);
    return image::floats_of(bytes, size / sizeof(float));
  });
  if (picture) desk.preview(picture->volume, picture->caption);
}

// `look` may be null.
void read_counts(Desk& desk, Task& task, FirstLook* look) {
  const std::function<void()> meanwhile = [&] {
    if (look != nullptr) show_what_is_here(desk, *look);
  };
  if (!desk.wait_for({"projections.f32", "scatter-lower.f32", "scatter-upper.f32", "checkpoint"}, meanwhile))
    throw Cancelled{};
  const ByteString bytes = desk.read("projections.f32", image::data_bytes(task.header.geometry));
  task.counts = image::floats_of(bytes, task.header.geometry.elements()).or_throw();
  for (const std::string name : kScatterWindows) {
    if (!window_of(task, name)) continue;
    const image::ProjectionGeometry& geometry = window_of(task, name)->header.geometry;
    const ByteString counts = desk.read(name + ".f32", image::data_bytes(geometry));
    window_of(task, name)->counts = image::floats_of(counts, geometry.elements()).or_throw();
  }
  if (!desk.expects("checkpoint")) return;
  auto checkpoint = parse_checkpoint(desk.read("checkpoint", Bytes(4296015872)));
  if (checkpoint)
    task.resume = *std::move(checkpoint);
  else
    desk.notice(
        {"checkpoint-unusable", "the checkpoint cannot be used, the run starts anew: " + checkpoint.error().message});
}

// The iterations of a job that is to find uncertainties too are one of `passes` like runs.
double iterations_done(double part, double passes) {
  return kPlanShare + (1.0 - kPlanShare - kWriteShare) * part / passes;
}

// A listener that turns iterations into lines, pictures and checkpoints.
Listener make_listener(Desk& desk, const std::size_t& checkpoint_every, const bool& previews, const double& passes) {
  Listener listener;
  listener.notice = [&desk](const Notice& notice) { desk.notice(notice); };
  listener.cancelled = [&desk] { return desk.cancelled(); };
  listener.replicate = [&desk, &passes](std::size_t done, std::size_t of, Seconds remaining) {
    desk.progress("uncertainty", iterations_done(1.0 + static_cast<double>(done), passes), remaining, done, of);
  };
  listener.iteration = [&desk, &checkpoint_every, &previews, &passes, shown = Clock::now()](
                           const IterationReport& report, Seconds remaining, const auto& estimate,
                           const auto& checkpoint) mutable {
    const double done = static_cast<double>(report.iteration) / static_cast<double>(report.iterations);
    desk.progress("iterate", iterations_done(done, passes), remaining, report.iteration, report.iterations);
    const bool due =
        checkpoint_every > 0 && report.iteration % checkpoint_every == 0 && report.iteration < report.iterations;
    if (desk.checkpoint_asked() || due) desk.checkpoint(checkpoint());
    if (previews && report.iteration < report.iterations && Clock::now() - shown >= kPreviewInterval) {
      desk.preview(estimate(),
                   "iteration " + std::to_string(report.iteration) + " of " + std::to_string(report.iterations));
      shown = Clock::now();
    }
  };
  return listener;
}

int report_failure(Desk& desk, const Error& error) {
  switch (error.code) {
    case ErrorCode::Cancelled:
      return static_cast<int>(error.code);  // the node knows
    case ErrorCode::Unplaceable:
      desk.failed("out-of-memory", error.message, job::Retry::Elsewhere);
      break;
    case ErrorCode::Storage:
      desk.failed("storage", error.message, job::Retry::Elsewhere);
      break;
    case ErrorCode::BadInput:
      desk.failed("bad-input", error.message, job::Retry::Never);
      break;
    default:
      desk.failed("internal", error.message, job::Retry::Elsewhere);
      break;
  }
  return static_cast<int>(error.code);
}

void write_volume(Desk& desk, const std::string& name, const image::Volume& volume) {
  desk.write(name + ".json", bytes_of(image::encode_header(volume.geometry, volume.unit)));
  desk.write(name + ".f32", image::as_bytes(volume.values));
}

void write_outputs(Desk& desk, const TaskRun& run, const Reconstruction& result,
                   const std::optional<image::Volume>& deviation, Seconds waited) {
  const auto begin = Clock::now();
  desk.progress("write", 1.0 - kWriteShare);
  if (run.decision().previews)
    desk.preview(result.volume, "after " + std::to_string(result.history.size()) + " iterations");
  write_volume(desk, "volume", result.volume);
  if (deviation) write_volume(desk, "deviation", *deviation);
  desk.write("passport.json", bytes_of(run.passport(result, deviation)));
  desk.write("run.json", bytes_of(run.record(waited, Clock::now() - begin)));
  desk.progress("write", 1.0);
}

// Rank 0's figure, at every rank: rows and factors are shared out, so what suffices for one process suffices for each.
Bytes share_memory(Processes& ranks, Bytes memory) {
  std::vector<std::uint8_t> bytes(sizeof(std::uint64_t));
  std::uint64_t count = memory.count();
  std::memcpy(bytes.data(), &count, sizeof count);
  ranks.broadcast(bytes);
  std::memcpy(&count, bytes.data(), sizeof count);
  return Bytes(count);
}

// `shared` becomes true once the other ranks have what they wait for.
int run_first_rank(Desk& desk, Processes& ranks, bool& shared) {
  const job::Grant& grant = desk.order().grant;
  if (ranks.size() == 1)  // of several each was told its own by who started them
    omp_set_num_threads(static_cast<int>(std::clamp<std::uint32_t>(grant.cores, 1, 1024)));
  Task task = read_plan_inputs(desk);
  if (ranks.size() > 1) {  // others cannot see what has arrived: everything first
    read_counts(desk, task, nullptr);
    shared = true;
    task = *share(ranks, std::move(task));
    share_memory(ranks, grant.memory);
  }
  std::size_t checkpoint_every = 0;
  bool previews = false;
  double passes = 1;
  const Listener listener = make_listener(desk, checkpoint_every, previews, passes);
  TaskRun run(task, ranks, listener, {.memory = grant.memory});
  checkpoint_every = run.decision().checkpoint_every;
  previews = run.decision().previews;
  passes = 1.0 + static_cast<double>(run.decision().replicates);
  desk.progress("plan", 0.0);
  if (auto prepared = run.prepare(); !prepared) return report_failure(desk, prepared.error());
  const auto waiting = Clock::now();
  if (ranks.size() == 1) {
    desk.progress("receive", kPlanShare);
    FirstLook look(task.header.geometry, run.decision().model.response);
    read_counts(desk, task, previews ? &look : nullptr);
  }
  const Seconds waited = Clock::now() - waiting;
  auto result = run.iterate();
  if (!result && task.resume && result.error().code == ErrorCode::BadInput) {
    if (ranks.size() > 1) return report_failure(desk, result.error());
    desk.notice({"checkpoint-unusable", "the checkpoint is of another run; this one starts anew"});
    task.resume.reset();
    result = run.iterate();
  }
  if (!result) return report_failure(desk, result.error());
  const auto deviation = run.uncertainty(*result);
  if (!deviation) return report_failure(desk, deviation.error());
  write_outputs(desk, run, *result, *deviation, waited);
  return 0;
}

int compute_beside(Processes& ranks) {
  const std::optional<Task> task = share(ranks, std::nullopt);
  if (!task) return 0;
  const Listener silent;
  TaskRun run(*task, ranks, silent, {.memory = share_memory(ranks, Bytes())});
  if (auto prepared = run.prepare(); !prepared) return static_cast<int>(prepared.error().code);
  const auto result = run.iterate();
  if (!result) return static_cast<int>(result.error().code);
  const auto deviation = run.uncertainty(*result);
  return deviation ? 0 : static_cast<int>(deviation.error().code);
}

// What goes wrong here alone would leave the others waiting for ever. What goes wrong everywhere rank 0 can say better:
// it is given time to.
int run_other_rank(Processes& ranks) {
  int status = 0;
  try {
    status = compute_beside(ranks);
  } catch (const Failure& failure) {
    status = static_cast<int>(failure.error().code);
  } catch (const std::bad_alloc&) {
    status = static_cast<int>(ErrorCode::Unplaceable);
  }
  if (status == 0 || status == static_cast<int>(ErrorCode::Cancelled)) return status;
  std::this_thread::sleep_for(kFirstRankSpeaks);
  ranks.abort(status);
  return status;
}

}  // namespace

int run_job(const std::filesystem::path& folder, Processes& ranks) {
  if (ranks.rank() != 0) return run_other_rank(ranks);
  Desk desk(folder);
  bool shared = false;
  // Once the others work they cannot be let go by a word: they wait in the middle of a sum.
  const auto failed = [&](int status) {
    if (!shared)
      share(ranks, std::nullopt);
    else if (ranks.size() > 1)
      ranks.abort(status);
    return status;
  };
  try {
    const int status = run_first_rank(desk, ranks, shared);
    return status == 0 || status == static_cast<int>(ErrorCode::Cancelled) ? status : failed(status);
  } catch (const Cancelled&) {
    return failed(static_cast<int>(ErrorCode::Cancelled));
  } catch (const Failure& failure) {
    return failed(report_failure(desk, failure.error()));
  } catch (const std::bad_alloc&) {
    desk.failed("out-of-memory", "memory ran out", job::Retry::Elsewhere);
    return failed(static_cast<int>(ErrorCode::Unplaceable));
  }
}

}  // namespace tomogrid::recon
