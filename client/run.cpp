#include "client/run.h"

#include <unistd.h>

#include <filesystem>

#include "client/deliver.h"
#include "client/scan.h"

namespace tomogrid::client {

namespace {

class Runner {
 public:
  Runner(Session& session, const JobPlan& plan, const std::optional<JobPlan>& check, const RunOptions& options)
      : session_(session), plan_(plan), check_(check), options_(options), display_(options.json) {}

  Outcome run() {
    session_.on_update = [this](const Update& update) { std::visit([this](const auto& one) { on(one); }, update); };
    session_.on_interrupt = [this](bool asked) { interrupted(asked); };
    session_.on_line = [this](const std::string& line) { answered(line); };
    display_.state("looking for a node");
    session_.act([this](Client& client, const wire::Now& now) { return begin(client, now); });
    session_.run();
    session_.on_update = nullptr;
    session_.on_interrupt = nullptr;
    return std::move(outcome_);
  }

 private:
  wire::Effects begin(Client& client, const wire::Now& now) {
    if (!plan_.attach) return client.submit(now, plan_.request);
    main_ = *plan_.attach;
    outcome_.job = main_;
    if (!session_.streams().claim(*main_)) return watched_elsewhere();
    return options_.cancel ? client.cancel(now, *main_) : client.attach(now, *main_, !plan_.delivery.previews.empty());
  }

  wire::Effects watched_elsewhere() {
    finish(Error{ErrorCode::Conflict,
                 "job " + job::short_text(*main_) + " is already seen to by another process of this user"});
    return {};
  }

  bool is_check(const job::JobId& job) const { return check_job_ && *check_job_ == job; }

  void on(const Started& update) {
    if (check_ && update.service == check_->request.service && !is_check(update.job)) {
      check_job_ = update.job;
      if (!session_.streams().claim(update.job)) check_over();
      return;
    }
    if (plan_.attach) return;
    main_ = update.job;
    outcome_.job = update.job;
    if (!session_.streams().claim(update.job)) {
      watched_elsewhere();
      return;
    }
    // Before anything is sent: whoever goes on with this job later knows where its result belongs.
    if (auto kept = session_.journal().keep(update.job, plan_.delivery); !kept) finish(kept.error());
  }

  void on(const AttemptOpened& update) {
    const auto& inputs = is_check(update.job) ? check_->inputs : plan_.inputs;
    if (inputs) session_.streams().lend(update.stream_job, inputs);
    if (is_check(update.job)) return;
    outcome_.node = update.node;
    if (!update.node.empty()) display_.state("asking node " + update.node);
  }

  void on(const InQueue& update) {
    if (is_check(update.job)) return;
    std::string text = "waiting for a free node";
    if (update.position > 0) text += ", position " + std::to_string(update.position);
    if (update.earliest) text += ", about " + human_seconds(update.earliest->count());
    if (!update.reason.empty()) text += " (" + update.reason + ")";
    display_.state(text);
  }

  void on(const StatusChanged& update) {
    if (is_check(update.job)) return;
    begin_check();
    input_complete_ = update.status.input_complete;
    outcome_.node = update.node;
    display_.progress(update.node, update.status);
    if ((options_.detach || detach_when_sent_) && input_complete_) detach();
  }

  void on(const WorkerNotice& update) {
    if (is_check(update.job)) return;
    if (update.code == wire::kPreviewNotice) {
      if (!plan_.delivery.previews.empty()) display_.line("preview: " + printable(update.message));
      return;
    }
    outcome_.warnings.push_back(update.message);
    display_.warning(update.message);
  }

  void on(const Said& update) {
    if (!is_check(update.job)) display_.line(update.sentence);
  }

  void on(const StreamSpoiled& update) { session_.streams().discard(update.key); }

  void on(const PreviewStored& update) {
    if (plan_.delivery.previews.empty() || is_check(update.job)) return;
    const std::filesystem::path from = session_.streams().path(update.key);
    std::error_code error;
    std::filesystem::create_directories(plan_.delivery.previews, error);
    const auto to = std::filesystem::path(plan_.delivery.previews) /
                    (std::to_string(update.key.generation) + "-" + update.key.name);
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing, error);
    if (error) display_.warning("preview " + to.string() + " cannot be written: " + error.message());
    session_.streams().discard(update.key);
  }

  void on(const ResultVerified& update) {
    if (!outputs_are_here(session_.streams(), update.record)) {
      session_.act([job = update.job](Client& client, const wire::Now& now) { return client.refetch(now, job); });
      return;
    }
    if (is_check(update.job)) {
      if (auto report = output_text(session_.streams(), update.record, streams::report))
        outcome_.check_report = *report;
    } else if (!deliver_main(update)) {
      return;
    }
    session_.act([job = update.job](Client& client, const wire::Now& now) { return client.delivered(now, job); });
  }

  bool deliver_main(const ResultVerified& update) {
    outcome_.node = update.node;
    display_.state("writing");
    const Delivery delivery =
        plan_.attach ? session_.journal().delivery(update.job).value_or(plan_.delivery) : plan_.delivery;
    Delivery wanted = delivery;
    if (plan_.attach && !plan_.delivery.outputs.empty()) {  // other places than the command that began it said
      wanted.outputs = plan_.delivery.outputs;
      wanted.receipt = plan_.delivery.receipt;
    }
    if (auto report = output_text(session_.streams(), update.record, streams::report)) outcome_.report = *report;
    auto files = deliver(session_.streams(), update.record, update.node, wanted);
    if (files) {
      outcome_.files = *std::move(files);
      return true;
    }
    Error error = files.error();
    error.message += "; the result is kept here: make room or choose another place, then tomogrid attach " +
                     job::short_text(update.job);
    finish(std::move(error));
    return false;
  }

  void on(const Ended& update) {
    if (!update.resumable) session_.streams().clear(session_.client().records(), update.job);
    if (is_check(update.job)) return check_over();
    if (!update.error) {
      if (auto forgotten = session_.journal().forget_delivery(update.job); !forgotten)
        display_.warning(forgotten.error().message);
    }
    Error error = update.error.value_or(Error{});
    if (update.error && update.resumable) error.message += " (job " + job::short_text(update.job) + " can be resumed)";
    finish(update.error ? std::optional(std::move(error)) : std::nullopt);
  }

  void on(const Answered&) {}

  void check_over() {
    check_done_ = true;
    if (main_done_) session_.stop();
  }

  // Once the first job has its node: it comes first, and gets the cores.
  void begin_check() {
    if (!check_ || std::exchange(check_begun_, true)) return;
    session_.act([this](Client& client, const wire::Now& now) { return client.submit(now, check_->request); });
  }

  // Is not left behind at a node.
  void give_up_check() {
    if (check_done_ || !check_job_) return session_.stop();
    session_.act([job = *check_job_](Client& client, const wire::Now& now) { return client.cancel(now, job); });
    session_.after(std::chrono::milliseconds(500), [this] { session_.stop(); });
  }

  void finish(std::optional<Error> error) {
    if (main_done_) return;
    main_done_ = true;
    outcome_.error = std::move(error);
    if (!check_ || check_done_) return session_.stop();
    if (outcome_.detached || outcome_.error) return give_up_check();
    session_.after(options_.check_patience, [this] { give_up_check(); });
  }

  void detach() {
    outcome_.detached = true;
    if (!input_complete_)
      display_.warning("the node does not have all of the scan yet: run the same command again to go on");
    finish(Error{ErrorCode::Interrupted, "detached"});
  }

  // The node can only go on alone with all of the scan.
  void detach_soon() {
    if (input_complete_ || !main_ || std::exchange(detach_when_sent_, true)) return detach();
    display_.line("the rest of the scan is sent first; Ctrl-C again leaves at once");
  }

  void cancel() {
    if (!main_) return finish(Error{ErrorCode::Cancelled, "cancelled"});
    display_.state("cancelling");
    session_.act([job = *main_](Client& client, const wire::Now& now) { return client.cancel(now, job); });
  }

  void interrupted(bool asked) {
    if (!asked) return detach();
    if (!display_.terminal() || ::isatty(STDIN_FILENO) != 1 || asking_ || detach_when_sent_) return detach_soon();
    asking_ = true;
    display_.ask("\nd = detach (the job goes on, tomogrid attach collects it), c = cancel, Enter = go on: ");
    session_.listen_to_terminal(true);
  }

  void answered(const std::string& line) {
    if (!asking_) return;
    asking_ = false;
    session_.listen_to_terminal(false);
    display_.ask("");
    if (line.starts_with('d')) return detach_soon();
    if (line.starts_with('c')) return cancel();
  }

  Session& session_;
  const JobPlan& plan_;
  const std::optional<JobPlan>& check_;
  const RunOptions options_;
  Display display_;
  Outcome outcome_;
  std::optional<job::JobId> main_, check_job_;
  bool main_done_ = false, check_begun_ = false, check_done_ = false, input_complete_ = false, asking_ = false,
       detach_when_sent_ = false;
};

}  // namespace

Outcome run_job(Session& session, const JobPlan& plan, const std::optional<JobPlan>& check, const RunOptions& options) {
  return Runner(session, plan, check, options).run();
}

}  // namespace tomogrid::client
