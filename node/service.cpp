#include "node/service.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <optional>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "certs/content_hash.h"
#include "certs/secret.h"
#include "node/calibrate.h"
#include "node/capacity.h"
#include "node/journal.h"
#include "node/launcher.h"
#include "node/node.h"
#include "node/scratch.h"
#include "registry/discovery.h"
#include "registry/serving.h"
#include "wire/loop.h"
#include "wire/messages/bounds.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

// SIGINT and SIGTERM as a descriptor: the node says goodbye to its registries before it goes. Blocked from here on in
// every thread that is made later, so this is made first.
class Signals final {
 public:
  Signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set, &before_);
    descriptor_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (descriptor_ < 0) throw Failure(ErrorCode::Internal, "cannot wait for signals");
    ::signal(SIGPIPE, SIG_IGN);  // a worker that is gone is seen by write()
  }
  ~Signals() {
    ::close(descriptor_);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  int descriptor() const { return descriptor_; }
  void take() const {
    signalfd_siginfo info;
    while (::read(descriptor_, &info, sizeof info) > 0) {
    }
  }

 private:
  int descriptor_ = -1;
  sigset_t before_{};
};

// To the log and the audit log; an act of a member is on disk before it is answered. Refusals wait for the next second:
// whoever is refused must not buy disk writes.
class NodeReporter final : public wire::Reporter {
 public:
  NodeReporter(registry::AuditReporter& logs, std::function<void()> storage_failed)
      : logs_(logs), storage_failed_(std::move(storage_failed)) {}
  void report(const wire::Report& what) override {
    logs_.report(what);
    const bool act = what.audit && !what.fields.empty() && what.fields.front().first == "outcome" &&
                     what.fields.front().second.rfind("refused", 0) != 0;
    if (act) logs_.sync();
    if (what.event == "node.storage-failed") storage_failed_();
  }

 private:
  registry::AuditReporter& logs_;
  std::function<void()> storage_failed_;
};

// One scratch per home: two nodes of one name on one machine (in tests) do not meet.
fs::path scratch_folder(const ServiceConfig& config, const std::string& name) {
  if (!config.scratch.empty()) return config.scratch;
  const auto home = certs::sha256(bytes_of(fs::weakly_canonical(fs::absolute(config.serving.home)).string()));
  return default_scratch(name + "-" + to_hex(ByteView(home).first(4)));
}

NodeOptions machine_options(const ServiceConfig& config, std::uint64_t boot, FlopRate rate) {
  NodeOptions options;
  options.boot = boot;
  options.labels = config.labels;
  options.rate_per_core = rate;
  options.cores_per_job_max = config.cores_per_job_max;
  // The members' certificates say what each may hold; the node's own figure only lowers it.
  options.per_member = {config.jobs_per_member == 0 ? UINT32_MAX : config.jobs_per_member, Bytes(UINT64_MAX),
                        UINT32_MAX};
  options.queue_max = config.queue_max;
  options.retention = config.retention;
  options.registries = config.registries;
  options.software = "tomogrid/" TOMOGRID_VERSION;  // a word: no space
  return options;
}

LauncherOptions launcher_options(const ServiceConfig& config) {
  LauncherOptions options;
  options.guard = config.guard;
  options.programs = config.programs;
  std::vector<int> cpus = CapacitySource::allowed_cpus();
  // With other hosts it matters how many are offered of this one: a job goes there when it does not fit here.
  if (!config.worker_hosts.empty() && config.cores && *config.cores < cpus.size()) cpus.resize(*config.cores);
  options.seats = sockets_of(cpus);
  const std::vector<Seat> elsewhere = seats_of(config.worker_hosts);
  options.seats.insert(options.seats.end(), elsewhere.begin(), elsewhere.end());
  options.cores_per_rank = config.cores_per_rank;
  options.mpirun_options = config.mpirun_options;
  for (const fs::path& folder : config.programs) {
    if (options.mpirun.empty() && ::access((folder / "mpirun").c_str(), X_OK) == 0) options.mpirun = folder / "mpirun";
  }
  const bool wanted = !config.worker_hosts.empty() || config.cores_per_rank != 0;
  if (options.mpirun.empty() && wanted) {
    throw Failure(ErrorCode::NotFound,
                  "--worker-host and --cores-per-rank need mpirun, which is not installed; on Debian: apt install "
                  "openmpi-bin");
  }
  return options;
}

// At a start: ends what workers a killed node left behind, and says what scratch holds. What no journal row speaks of
// is nobody's any more (wiped on record just before a crash, or of a journal that was moved aside), and goes.
std::vector<wire::Row> take_stock(Scratch& scratch, const std::vector<wire::Row>& rows) {
  if (const std::size_t ended = end_leftover_workers(rows); ended > 0)
    log::warning("workers.left-over-ended", {{"count", ended}});
  std::vector<wire::Row> facts;
  for (const ScratchFact& fact : scratch.inspect()) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const wire::Row& item) {
      return item.table == kJobTable && item.key == row_key(fact.key);
    });
    const auto record =
        row == rows.end() ? Result<JobRecord>(Error{ErrorCode::NotFound, "no row"}) : parse_job_record(*row);
    if (record && !record->wiped) {
      facts.push_back(encode(fact));
      continue;
    }
    log::warning("scratch.stranger-wiped", {{"job", job::short_text(fact.key.job)}});
    std::move(scratch.wipe(fact.key)).or_throw();
  }
  return facts;
}

// What the local network may know of a node.
registry::Presence presence(const Node& machine, const certs::Identity& identity, std::uint16_t port,
                            const wire::Now& now) {
  const wire::Advert advert = machine.advert(now);
  return {certs::Role::Node, identity.name(), port, identity.transport_key(), advert.services, advert.free_rate()};
}

}  // namespace

std::vector<job::ServiceDescriptor> load_services(const fs::path& folder, const std::vector<fs::path>& programs) {
  std::vector<job::ServiceDescriptor> services;
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".json") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const ByteString text = read_file(file, mebibytes(1)).or_throw();
    auto service = job::parse_service(text_of(text));
    if (!service) throw Failure(service.error().code, file.string() + ": " + service.error().message);
    const bool twice = std::any_of(services.begin(), services.end(),
                                   [&](const auto& other) { return other.service == service->service; });
    if (twice)
      throw Failure(ErrorCode::Conflict, file.string() + ": " + to_string(service->service) + " is described twice");
    const bool found = std::any_of(programs.begin(), programs.end(), [&](const fs::path& place) {
      return ::access((place / service->command.front()).c_str(), X_OK) == 0;
    });
    if (!found) {
      log::warning("service.left-out", {{"service", to_string(service->service)},
                                        {"reason", "program " + service->command.front() + " is not here"}});
      continue;
    }
    services.push_back(*std::move(service));
  }
  if (services.size() > wire::kServicesMax) {
    throw Failure(ErrorCode::Usage, folder.string() + " describes " + std::to_string(services.size()) +
                                        " services; a node offers at most " + std::to_string(wire::kServicesMax));
  }
  if (services.empty()) {
    throw Failure(ErrorCode::NotFound, "no service that could run here is described in " + folder.string() +
                                           "; install tomogrid's services there, or say --services DIR");
  }
  return services;
}

int serve(const ServiceConfig& config) {
  certs::harden_process();
  const Signals signals;
  const SystemClock clock;
  const auto member = registry::load_serving_member(config.serving, clock, certs::Verb::ServeJobs);
  const certs::Identity& identity = member->identity();
  const fs::path& home = config.serving.home;

  SqliteJournal journal(home / "journal.db");
  registry::AuditReporter logs(home / "audit.log", clock);
  const FlopRate rate = config.rate_per_core ? *config.rate_per_core
                                             : machine_descriptor(home / "machine.json", clock.wall()).rate_per_core;
  Scratch scratch({scratch_folder(config, identity.name()), config.scratch_quota, config.scratch_on_disk});
  if (config.scratch.empty()) {
    claim_scratch(scratch.root(), home);
    if (const std::size_t swept = sweep_abandoned_scratch(scratch.root().parent_path()); swept > 0) {
      log::warning("scratch.abandoned-removed", {{"folders", swept}});
    }
  }
  Node machine(identity, load_services(config.services, config.programs),
               machine_options(config, journal.next_boot(clock.wall()), rate));

  wire::Loop* running = nullptr;  // launcher and loop know each other; nothing is called before run()
  int status = 0;
  NodeReporter reporter(logs, [&] {
    status = static_cast<int>(ErrorCode::Storage);
    running->stop();
  });
  Launcher launcher(launcher_options(config),
                    scratch, journal,
                    {.watch = [&](int fd, std::function<void()> ready) { running->watch(fd, std::move(ready)); },
                     .unwatch = [&](int fd) { running->unwatch(fd); },
                     .after = [&](std::chrono::milliseconds delay,
                                  std::function<void()> due) { running->after(delay, std::move(due)); },
                     .post = [&](std::function<void()> work) { running->post(std::move(work)); },
                     .feed = [&](const wire::Event& event) { running->feed(event); }});
  journal.on_recover([&](const std::vector<wire::Row>& rows) { return take_stock(scratch, rows); });

  wire::Loop loop(*member, clock, machine, {&journal, &scratch, &launcher, &reporter});
  running = &loop;
  const auto ports = loop.listen(config.serving.listen_host, config.serving.control_port, config.bulk_port, true);
  const std::string host = registry::advertised_host(config.serving);
  machine.set_routes({{"direct", host, ports.control_port}});

  std::optional<registry::Discovery> discovery;
  if (config.serving.discovery) {
    discovery.emplace([&loop](const wire::Suggestion& seen) { loop.feed(wire::Discovered{seen}); },
                      identity.transport_key());
    loop.watch(discovery->descriptor(), [&discovery] { discovery->dispatch(); });
  }

  bool leaving = false;
  loop.watch(signals.descriptor(), [&] {
    signals.take();
    if (std::exchange(leaving, true)) std::_Exit(130);
    log::info("node.leaving");
    loop.perform(machine.withdraw({clock.now(), clock.wall()}));
    loop.stop();
  });

  CapacitySource capacity({.cores_least = config.cores_least, .cores = config.cores, .memory = config.memory});
  std::uint32_t cores_elsewhere = 0;
  for (const WorkerHost& other : config.worker_hosts) cores_elsewhere += other.cores;
  std::optional<wire::Capacity> last;
  const auto look = [&] {
    wire::Capacity now = capacity.poll(clock.now(), scratch.used(), scratch.capacity());
    now.cores_total += cores_elsewhere;
    now.cores_free += cores_elsewhere;
    if (last != now) loop.feed(wire::CapacityChanged{now});
    last = now;
    if (discovery) discovery->publish(presence(machine, identity, ports.control_port, {clock.now(), clock.wall()}));
  };
  loop.post([&] {
    look();
    if (discovery) discovery->browse(certs::Role::Registry);
    registry::each(loop, config.poll, look);
    registry::each(loop, std::chrono::seconds(1), [&logs] { logs.sync(); });
    registry::say_ready(std::cout, config.serving.json, "node", identity, host, ports);
  });
  loop.run();
  launcher.end();
  logs.sync();
  return status;
}

}  // namespace tomogrid::node
