#include "node/commands.h"

#include <cstdio>
#include <iostream>

#include "base/file.h"
#include "base/text.h"
#include "node/calibrate.h"
#include "node/service.h"
#include "registry/address.h"
#include "registry/serving.h"
#include "wire/messages/bounds.h"

namespace tomogrid::node {

namespace fs = std::filesystem;

namespace {

fs::path home_of(const Arguments& arguments) {
  const auto given = arguments.optional_text("home");
  return given ? fs::path(*given) : tomogrid_home();
}

fs::path program_folder() {
  return fs::read_symlink("/proc/self/exe").parent_path();
}

// Beside this program first, so that a worker is of the same build; then where systems keep programs.
std::vector<fs::path> program_folders() {
  return {program_folder(), "/usr/local/bin", "/usr/bin", "/bin"};
}

Bytes bytes_option(const Arguments& arguments, const char* name) {
  return Bytes(static_cast<std::uint64_t>(arguments.integer(name, 0, std::int64_t{1} << 50)));
}

int run_node(const Arguments& arguments) {
  ServiceConfig config;
  config.serving = registry::read_serving(arguments);
  config.bulk_port = static_cast<std::uint16_t>(arguments.integer("bulk", 0, 65535));
  config.registries = registry::read_addresses(arguments.texts("registry"), certs::Role::Registry).or_throw();
  const auto services = arguments.optional_text("services");
  config.services = services ? fs::path(*services) : program_folder() / "../share/tomogrid/services";
  config.programs = program_folders();
  config.guard = program_folder() / "tomogrid-guard";
  if (const auto scratch = arguments.optional_text("scratch")) config.scratch = *scratch;
  config.scratch_quota = bytes_option(arguments, "scratch-quota");
  config.scratch_on_disk = arguments.flag("scratch-on-disk");
  if (arguments.given("cores")) config.cores = static_cast<std::uint32_t>(arguments.integer("cores", 1, 65536));
  config.cores_least = static_cast<std::uint32_t>(arguments.integer("cores-least", 0, 65536));
  if (arguments.given("memory")) config.memory = bytes_option(arguments, "memory");
  if (arguments.given("rate")) config.rate_per_core = FlopRate(arguments.number("rate", 1e-6, 1e6) * 1e9);
  config.cores_per_job_max = static_cast<std::uint32_t>(arguments.integer("cores-per-job-max", 0, 65536));
  config.cores_per_rank = static_cast<std::uint32_t>(arguments.integer("cores-per-rank", 0, 65536));
  for (const std::string& text : arguments.texts("worker-host"))
    config.worker_hosts.push_back(parse_worker_host(text).or_throw());
  config.mpirun_options = arguments.texts("mpirun-option");
  config.labels = arguments.texts("label");
  for (const std::string& label : config.labels) {
    if (!job::is_name(label))
      throw Failure(ErrorCode::Usage, "--label " + label + ": only [a-z0-9.-]{1,63} is allowed");
  }
  if (config.labels.size() > wire::kLabelsMax)
    throw Failure(ErrorCode::Usage, "at most " + std::to_string(wire::kLabelsMax) + " labels are allowed");
  config.retention =
      std::chrono::milliseconds(static_cast<std::int64_t>(arguments.number("retention", 0.001, 24.0 * 365) * 3.6e6));
  config.queue_max = static_cast<std::uint32_t>(arguments.integer("queue-max", 0, 10'000));
  config.jobs_per_member = static_cast<std::uint32_t>(arguments.integer("jobs-per-member", 0, 10'000));
  return serve(config);
}

int run_calibrate(const Arguments& arguments) {
  const fs::path file = home_of(arguments) / "machine.json";
  make_private_folder(home_of(arguments));
  const MachineDescriptor descriptor = measure_machine(SystemClock().wall());
  if (!arguments.flag("dry-run")) write_file(file, bytes_of(encode(descriptor))).or_throw();
  if (arguments.flag("json")) {
    std::cout << encode(descriptor);
    return 0;
  }
  char figures[160];
  std::snprintf(figures, sizeof figures, "%.1f GFLOP/s a core on %u cores at once (single precision, spread %.0f %%)",
                descriptor.rate_per_core.count() / 1e9, descriptor.cores_measured, 100 * descriptor.spread);
  std::cout << descriptor.processor << ": " << figures << "\n";
  if (!arguments.flag("dry-run")) std::cout << "written to " << file.string() << "\n";
  return 0;
}

const Option kHome{
    "home", "DIR",
    "folder of this member: keys, journal, audit log, machine descriptor [$TOMOGRID_HOME, else the XDG data folder]"};

Command node_command() {
  std::vector<Option> options = registry::serving_options("*:7440");
  const std::vector<Option> own{
      {"bulk", "PORT", "door for image data, on the same host; 0: any free one", "0"},
      {"registry", "HOST:PORT,KEY", "a registry to join, or a file of such lines; several allowed", std::nullopt, true},
      {"services", "DIR", "descriptions of services [../share/tomogrid/services beside the program]"},
      {"scratch", "DIR", "memory-backed folder for image data [a folder of its own in /dev/shm]"},
      {"scratch-quota", "BYTES", "most that jobs may hold in scratch; 0: half of its file system", "0"},
      {"scratch-on-disk", "",
       "allow scratch on a disk, or memory that may be swapped: image data may then stay on the disk"},
      {"cores", "N", "offer exactly this many, whatever else runs [what is free, watched]"},
      {"cores-least", "N", "offer at least this many however busy the machine is: a job gets the kernel's fair share",
       "1"},
      {"memory", "BYTES", "offer exactly this much memory for jobs and scratch [what is free, watched]"},
      {"rate", "GFLOPS", "of one core, instead of machine.json's (tomogrid node calibrate)"},
      {"cores-per-job-max", "N", "most cores for one job; 0: no cap", "0"},
      {"cores-per-rank", "N", "start jobs by mpirun, a rank for every N cores; 0: one for each socket and host", "0"},
      {"worker-host", "HOST:CORES",
       "another machine of this cluster, whose cores jobs may use through mpirun; several allowed. Ranks speak MPI "
       "between machines, which is not encrypted: on a network of the cluster's own only (docs/security.md)",
       std::nullopt, true},
      {"mpirun-option", "WORD", "put on mpirun's command line as it is; several allowed", std::nullopt, true},
      {"label", "WORD", "something that jobs may ask for; several allowed", std::nullopt, true},
      {"retention", "HOURS", "how long a result waits to be collected", "24"},
      {"queue-max", "N", "jobs that may wait for cores when opened without a manager", "64"},
      {"jobs-per-member", "N", "open at once; 0: what the member's certificate says", "0"}};
  options.insert(options.end(), own.begin(), own.end());
  return {.name = "tomogrid node",
          .summary = "offer this machine's compute to the federation",
          .usage = "[options]",
          .description =
              "Serves until it is interrupted. What it may run is described in the services folder; image data stays "
              "in memory (scratch), "
              "under a quota, and is wiped when it has been collected. Whatever it has accepted survives a restart: "
              "see docs/operation.md. "
              "Without --cores and --memory it offers what control groups, affinity and the load of others leave free, "
              "and watches that.",
          .options = std::move(options),
          .examples = {"tomogrid node --listen 10.0.0.5:7440 --registry registries.txt",
                       "tomogrid node --home /srv/tomogrid --cores 16 --cores-per-job-max 8 --label large-memory",
                       "tomogrid node --worker-host node2:32 --worker-host node3:32 --mpirun-option --mca "
                       "--mpirun-option btl_tcp_if_include --mpirun-option 10.1.0.0/16"},
          .run = run_node};
}

Command calibrate_command() {
  return {.name = "tomogrid node calibrate",
          .summary = "measure this machine's speed and write its descriptor",
          .usage = "[options]",
          .description =
              "Runs a loop like reconstruction's (rows of values in the first-level cache added with four weights, "
              "single precision) on "
              "every core at once and writes the median rate per core to machine.json. Takes a second; let the machine "
              "be idle. An "
              "administrator may edit gflops_per_core, and sets \"edited\": true so that it stays.",
          .options = {kHome, {"dry-run", "", "print only"}},
          .examples = {"tomogrid node calibrate", "tomogrid node calibrate --json --dry-run"},
          .run = run_calibrate};
}

}  // namespace

std::vector<Command> node_commands() {
  return {node_command(), calibrate_command()};
}

}  // namespace tomogrid::node
