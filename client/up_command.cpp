// `tomogrid up`: a federation on this machine, for trying things.
#include <sched.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "client/commands.h"
#include "client/household.h"
#include "client/supervisor.h"

namespace tomogrid::client {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::chrono::seconds kStart{60};
constexpr const char* kUserCommand = "command";

// For trying things a node must not wait until this machine has nothing else to do.
unsigned own_cores() {
  cpu_set_t set;
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

// What a role says when it serves.
struct Serving {
  std::string host;
  std::uint16_t control_port = 0, bulk_port = 0;
  std::string key;
  std::string address() const { return host + ":" + std::to_string(control_port) + "," + key; }
};

std::optional<Serving> parse_ready(const std::string& line) {
  const json value = json::parse(line, nullptr, false);
  if (!value.is_object() || !value.value("ready", false)) return std::nullopt;
  try {
    return Serving{value.at("host").get<std::string>(), value.at("control_port").get<std::uint16_t>(),
                   value.value("bulk_port", std::uint16_t{0}), value.at("transport_key").get<std::string>()};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

class Federation {
 public:
  Federation(const Arguments& arguments, Household& household)
      : household_(household),
        program_(fs::read_symlink("/proc/self/exe").string()),
        cores_(arguments.integer("cores", 0, 4096)),
        level_(arguments.text("log-level")) {
    supervisor_.on_death = [](const std::string& name, int status, std::chrono::milliseconds pause) {
      std::cerr << name << " ended with status " << status << "; starting it again in " << pause.count() << " ms\n";
    };
  }

  // False when the user ended it meanwhile. Throws Failure (Internal) when a role does not come up in time.
  bool start() {
    launch("registry", "registry", {});
    if (!await({"registry"})) return false;
    const std::vector<std::string> registry{"--registry", serving_["registry"].address()};
    launch("manager", "manager", registry);
    std::vector<std::string> names{"manager"};
    std::vector<std::string> more = registry;
    if (cores_ > 0) more.insert(more.end(), {"--cores", std::to_string(cores_)});
    for (const std::string& node : household_.nodes()) {
      share_machine_descriptor(node);
      launch("node", node, more);
      names.push_back(node);
      if (node == household_.nodes().front() && !fs::exists(descriptor(node)) && !await({node})) return false;
    }
    return await(names);
  }

  void write_settings() {
    std::string text = "# Written by tomogrid up; where its federation is, and who asks.\n";
    text += "folder = " + household_.member("clinician").string() + "\n";
    text += "registry = " + serving_["registry"].address() + "\n";
    text += "manager = " + serving_["manager"].address() + "\n";
    for (const std::string& node : household_.nodes())
      text += "node-address = " + node + "=" + serving_[node].address() + "\n";
    write_file(settings(), bytes_of(text), FileMode::Private).or_throw();
  }

  fs::path settings() const { return household_.folder() / "client.ini"; }
  Supervisor& supervisor() { return supervisor_; }
  json as_json() const {
    json roles = json::object();
    for (const auto& [name, serving] : serving_) roles[name] = serving.address();
    return {
        {"ready", true}, {"settings", settings().string()}, {"folder", household_.folder().string()}, {"roles", roles}};
  }

 private:
  fs::path descriptor(const std::string& node) const { return household_.home(node) / "machine.json"; }
  // All nodes are this one machine: the first one measures it, while nobody else does.
  void share_machine_descriptor(const std::string& node) {
    const fs::path from = descriptor(household_.nodes().front());
    make_private_folder(household_.home(node));
    if (fs::exists(from) && !fs::exists(descriptor(node))) fs::copy_file(from, descriptor(node));
  }

  void launch(const std::string& role, const std::string& name, const std::vector<std::string>& more) {
    Program program{name,
                    {program_, role, "--json", "--log-level", level_, "--home", household_.home(name).string(),
                     "--folder", household_.member(name).string(), "--no-discovery", "--listen", "127.0.0.1:0"},
                    household_.log(name)};
    program.command.insert(program.command.end(), more.begin(), more.end());
    const std::size_t bulk = program.command.size();
    if (role == "node") program.command.insert(program.command.end(), {"--bulk", "0"});
    make_private_folder(household_.home(name));
    supervisor_.start(std::move(program), [this, name, bulk](Program& started, const std::string& line) {
      const auto serving = parse_ready(line);
      if (!serving) return;
      serving_[name] = *serving;
      // Started again it serves where it did: clients that know its address find it there.
      started.command[11] = "127.0.0.1:" + std::to_string(serving->control_port);
      if (bulk < started.command.size()) started.command[bulk + 1] = std::to_string(serving->bulk_port);
    });
  }

  bool await(const std::vector<std::string>& names) {
    const auto until = std::chrono::steady_clock::now() + kStart;
    for (const std::string& name : names) {
      while (!serving_.contains(name)) {
        if (!supervisor_.step(std::chrono::milliseconds(100))) return false;
        if (std::chrono::steady_clock::now() > until) {
          throw Failure(ErrorCode::Internal, name + " does not serve after " + std::to_string(kStart.count()) +
                                                 " s; see " + household_.log(name).string());
        }
      }
    }
    return true;
  }

  Household& household_;
  std::string program_;
  std::int64_t cores_;
  std::string level_;
  std::map<std::string, Serving> serving_;
  Supervisor supervisor_;  // ended first: its children use the rest
};

void say_next(const Federation& federation, const Household& household, bool own_settings) {
  const std::string settings = own_settings ? "" : " --settings " + federation.settings().string();
  std::cout << "a federation is up: registry, manager and " << household.nodes().size()
            << " nodes on this machine; logs in " << (household.folder() / "log").string() << "\n"
            << "in another terminal:\n"
            << "  tomogrid nodes" << settings << "\n"
            << "  tomogrid phantom -o scan.dcm\n"
            << "  tomogrid recon scan.dcm -o volume.nii.gz" << settings << "\n"
            << "  tomogrid drain node-1" << settings << " --folder " << household.member("admin").string() << "\n"
            << "Ctrl-C ends all of it" << std::endl;
}

int run_up(const Arguments& arguments) {
  const auto given = arguments.optional_text("dir");
  const fs::path folder = given ? fs::absolute(*given) : tomogrid_home() / "up";
  if (!given) make_private_folder(tomogrid_home());
  const auto nodes = static_cast<unsigned>(arguments.integer("nodes", 1, 16));
  Household household(folder, nodes, SystemClock().wall());
  fs::remove(folder / "client.ini");  // of an earlier federation: nobody should dial it meanwhile
  Federation federation(arguments, household);
  if (!federation.start()) return 0;
  federation.write_settings();
  if (arguments.flag("json")) {
    std::cout << federation.as_json().dump() << std::endl;
  } else {
    say_next(federation, household, !given);
  }
  if (const auto file = arguments.optional_text("ready-file"))
    write_file(*file, bytes_of(federation.as_json().dump() + "\n")).or_throw();
  if (const auto command = arguments.optional_text("run")) {
    federation.supervisor().start_once({kUserCommand, {"/bin/sh", "-c", *command}, {}});
  }
  while (federation.supervisor().step(std::chrono::milliseconds(1000))) {
    if (const auto status = federation.supervisor().finished(kUserCommand)) return *status;
  }
  return 0;
}

}  // namespace

Command up_command() {
  return {.name = "tomogrid up",
          .summary = "a whole federation on this machine, for trying things",
          .usage = "[options]",
          .description =
              "Makes the certificates of a registry, a manager, nodes, a clinician and an administrator in a folder "
              "(kept from one time to the next), "
              "starts the roles as processes of their own, starts one again when it dies, and writes client.ini, which "
              "tomogrid recon and the "
              "other commands find by themselves when the folder is the default. Everything listens on 127.0.0.1 only.",
          .options = {{"nodes", "N", "how many nodes", "2"},
                      {"dir", "DIR", "where its members and state are [$TOMOGRID_HOME/up]"},
                      {"cores", "N", "each node offers exactly N cores, whatever else runs; 0: what is free, watched",
                       std::to_string(own_cores())},
                      {"ready-file", "FILE", "written when all of it serves: for scripts that wait"},
                      {"run", "COMMAND",
                       "a shell command to run once it is up; then all of it ends with the command's exit status"}},
          .examples = {"tomogrid up", "tomogrid up --nodes 3 --ready-file /tmp/ready &",
                       "tomogrid up --run 'tomogrid recon scan.dcm -o volume.nii.gz'"},
          .run = run_up};
}

}  // namespace tomogrid::client
