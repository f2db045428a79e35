#include "node/service.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "certs/content_hash.h"
#include "certs/member.h"
#include "certs/secret.h"
#include "node/calibrate.h"
#include "node/capacity.h"
#include "node/journal.h"
#include "node/launcher.h"
#include "node/node.h"
#include "node/reporter.h"
#include "node/scratch.h"
#include "wire/loop.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

// SIGINT and SIGTERM as a descriptor: the node says goodbye to its registries before it goes. Blocked from here on in every
// thread that is made later, so this is made first.
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
    ::signal(SIGPIPE, SIG_IGN);   // a worker that is gone is seen by write()
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
    while (::read(descriptor_, &info, sizeof info) > 0) {}
  }

 private:
  int descriptor_ = -1;
  sigset_t before_{};
};

std::unique_ptr<certs::Passphrase> passphrase_for(const ServiceConfig& config) {
  if (!certs::needs_passphrase(config.member_folder)) return nullptr;
  certs::PassphraseSource source;
  source.file = config.passphrase_file;
  source.prompt = "passphrase of " + config.member_folder.string();
  return certs::read_passphrase(source).or_throw();
}

// One scratch per home: two nodes of one name on one machine (in tests) do not meet.
fs::path scratch_folder(const ServiceConfig& config, const std::string& name) {
  if (!config.scratch.empty()) return config.scratch;
  const auto home = certs::sha256(bytes_of(fs::weakly_canonical(fs::absolute(config.home)).string()));
  return default_scratch(name + "-" + to_hex(ByteView(home).first(4)));
}

std::string advertised_host(const ServiceConfig& config) {
  if (!config.advertise_host.empty()) return config.advertise_host;
  if (config.listen_host != "*") return config.listen_host;
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) throw Failure(ErrorCode::Usage, "this machine has no name; give --advertise HOST");
  return name;
}

NodeOptions machine_options(const ServiceConfig& config, const certs::Identity& identity, std::uint64_t boot, FlopRate rate) {
  NodeOptions options;
  options.boot = boot;
  options.labels = config.labels;
  options.rate_per_core = rate;
  options.cores_per_job_max = config.cores_per_job_max;
  // The members' certificates say what each may hold; the node's own figure only lowers it.
  options.per_member = {config.jobs_per_member == 0 ? UINT32_MAX : config.jobs_per_member, Bytes(UINT64_MAX), UINT32_MAX};
  options.queue_max = config.queue_max;
  options.retention = config.retention;
  options.registries = config.registries;
  options.software = "tomogrid 0.1";
  (void)identity;
  return options;
}

// What no journal row speaks of is nobody's any more: a job that was wiped just before a crash, or of a journal moved aside.
void wipe_strangers(Scratch& scratch, const std::vector<wire::Row>& rows, const std::vector<ScratchFact>& held) {
  for (const ScratchFact& fact : held) {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const wire::Row& item) {
      return item.table == kJobTable && item.key == row_key(fact.key);
    });
    const auto record = row == rows.end() ? Result<JobRecord>(Error{ErrorCode::NotFound, "no row"}) : parse_job_record(*row);
    if (record && !record->wiped) continue;
    log::warning("scratch.stranger-wiped", {{"job", job::short_text(fact.key.job)}});
    std::move(scratch.wipe(fact.key)).or_throw();
  }
}

void say_ready(const ServiceConfig& config, const certs::Identity& identity, const std::string& host, const wire::Loop::Listening& ports) {
  if (config.json) {
    const nlohmann::json line{{"ready", true},
                              {"role", "node"},
                              {"name", identity.name()},
                              {"member", certs::to_string(identity.member())},
                              {"host", host},
                              {"control_port", ports.control_port},
                              {"bulk_port", ports.bulk_port},
                              {"transport_key", to_hex(identity.transport_key().bytes)}};
    std::cout << line.dump() << std::endl;
  } else {
    std::cout << "node " << identity.name() << " serves at " << host << ":" << ports.control_port << ","
              << to_hex(identity.transport_key().bytes) << std::endl;
  }
}

// Calls `work` on the loop each `interval`, beginning now.
void each(wire::Loop& loop, std::chrono::milliseconds interval, std::function<void()> work) {
  work();
  loop.after(interval, [&loop, interval, work = std::move(work)] { each(loop, interval, work); });
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
    const bool twice = std::any_of(services.begin(), services.end(), [&](const auto& other) { return other.service == service->service; });
    if (twice) throw Failure(ErrorCode::Conflict, file.string() + ": " + to_string(service->service) + " is described twice");
    const bool found = std::any_of(programs.begin(), programs.end(), [&](const fs::path& place) {
      return ::access((place / service->command.front()).c_str(), X_OK) == 0;
    });
    if (!found) {
      log::warning("service.left-out", {{"service", to_string(service->service)}, {"reason", "program " + service->command.front() + " is not here"}});
      continue;
    }
    services.push_back(*std::move(service));
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
  make_private_folder(config.home);
  const auto passphrase = passphrase_for(config);
  certs::Member member(config.member_folder, clock.wall(), passphrase.get());
  const certs::Identity& identity = member.identity();
  if (auto may_serve = certs::require(identity.roles(), certs::Verb::ServeJobs); !may_serve) throw Failure(may_serve.error());

  SqliteJournal journal(config.home / "journal.db");
  AuditReporter reporter(config.home / "audit.log", clock);
  const FlopRate rate = config.rate_per_core ? *config.rate_per_core
                                             : machine_descriptor(config.home / "machine.json", clock.wall()).rate_per_core;
  Scratch scratch({scratch_folder(config, identity.name()), config.scratch_quota, config.scratch_on_disk});
  Node machine(identity, load_services(config.services, config.programs),
               machine_options(config, identity, journal.next_boot(clock.wall()), rate));

  wire::Loop* running = nullptr;
  LauncherOptions launching;
  launching.guard = config.guard;
  launching.programs = config.programs;
  launching.cpus = CapacitySource::allowed_cpus();
  Launcher launcher(launching, scratch, journal,
                    {[&](int fd, std::function<void()> ready) { running->watch(fd, std::move(ready)); }, [&](int fd) { running->unwatch(fd); },
                     [&](std::chrono::milliseconds delay, std::function<void()> due) { running->after(delay, std::move(due)); },
                     [&](std::function<void()> work) { running->post(std::move(work)); }, [&](const wire::Event& event) { running->feed(event); }});
  journal.on_recover([&](const std::vector<wire::Row>& rows) {
    if (const std::size_t ended = end_leftover_workers(rows); ended > 0) log::warning("workers.left-over-ended", {{"count", ended}});
    std::vector<wire::Row> facts;
    const std::vector<ScratchFact> held = scratch.inspect();
    wipe_strangers(scratch, rows, held);
    for (const ScratchFact& fact : held) facts.push_back(encode(fact));
    return facts;
  });

  wire::Loop loop(member, clock, machine, {&journal, &scratch, &launcher, &reporter});
  running = &loop;
  int status = 0;
  reporter.on("node.storage-failed", [&](const wire::Report&) {
    status = static_cast<int>(ErrorCode::Storage);
    loop.stop();
  });
  const auto ports = loop.listen(config.listen_host, config.control_port, config.bulk_port, true);
  const std::string host = advertised_host(config);
  machine.set_routes({{"direct", host, ports.control_port}});

  bool leaving = false;
  loop.watch(signals.descriptor(), [&] {
    signals.take();
    if (leaving) std::_Exit(130);
    leaving = true;
    log::info("node.leaving");
    loop.perform(machine.withdraw({clock.now(), clock.wall()}));
    loop.stop();
  });
  CapacitySource capacity({config.cores, config.memory});
  loop.post([&] {
    each(loop, config.poll, [&, last = std::optional<wire::Capacity>()]() mutable {
      const wire::Capacity now = capacity.poll(clock.now(), scratch.used(), scratch.capacity());
      if (last != now) loop.feed(wire::CapacityChanged{now});
      last = now;
    });
    each(loop, std::chrono::seconds(1), [&] { reporter.sync(); });
    say_ready(config, identity, host, ports);
  });
  loop.run();
  reporter.sync();
  return status;
}

}  // namespace tomogrid::node
