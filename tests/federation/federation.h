// A federation of real processes on loopback for tests: fresh certificates, registry, manager, nodes, users.
//
// Every role is the built `tomogrid`; ports are chosen by the system; everything lives in one temporary folder and ends
// with the scope.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "certs/certs.h"
#include "support/process.h"

namespace tomogrid::test {

// What a role prints when it serves (`--json`).
struct Ready {
  std::string role, name, member, host, transport_key;
  int control_port = 0, bulk_port = 0;
  std::string address() const { return host + ":" + std::to_string(control_port) + "," + transport_key; }
};

struct NodeSpec {
  int cores = 1;
  double gflops = 1.0;                           // per core
  std::vector<std::string> options = {};         // more words for `tomogrid node`
  std::string listen = "127.0.0.1:0";
};

class Federation {
 public:
  explicit Federation(std::string name = "test");
  ~Federation();

  // Certificates. `home_of` is what TOMOGRID_HOME or --home names.
  void add_member(const std::string& name, certs::Roles roles, std::optional<certs::Terms> terms = std::nullopt);
  std::filesystem::path home_of(const std::string& name) const;
  certs::Authority& authority() { return *authority_; }

  // Roles; each waits until it serves. Started again under the same name: the same keys, a new process.
  Ready start_registry(const std::string& name = "registry", const std::vector<std::string>& options = {});
  Ready start_manager(const std::string& name = "manager", const std::vector<std::string>& options = {});
  Ready start_node(const std::string& name, const NodeSpec& spec = {});
  Process& process(const std::string& name) { return *processes_.at(name); }
  const Ready& ready(const std::string& name) const { return ready_.at(name); }
  // Whoever is told the address of `name` from now on comes by way of `port` (a Relay).
  void route(const std::string& name, std::uint16_t port) { ready_.at(name).control_port = port; }
  void kill(const std::string& name);            // SIGKILL, and waits for the end
  void end(const std::string& name);             // SIGTERM, and waits for the end

  // Registry and manager addresses as options of a user's command.
  std::vector<std::string> addresses() const;
  // `tomogrid WORDS...` as `user`, with the addresses as configuration.
  Outcome tomogrid(const std::string& user, std::vector<std::string> words, std::chrono::milliseconds limit = std::chrono::seconds(120));
  std::unique_ptr<Process> start_tomogrid(const std::string& user, std::vector<std::string> words);
  // Waits until `tomogrid nodes` as `user` lists `count` nodes.
  void wait_nodes(const std::string& user, std::size_t count);

  const std::filesystem::path& folder() const { return folder_.path(); }
  // A phantom acquisition, made once per federation: small enough to reconstruct in about a second.
  std::filesystem::path scan(const std::string& name = "scan.dcm", const std::vector<std::string>& options = {});

 private:
  Ready start(const std::string& name, std::vector<std::string> words);
  std::vector<std::string> registry_options() const;
  TemporaryFolder folder_;
  std::unique_ptr<certs::Authority> authority_;
  std::map<std::string, std::unique_ptr<Process>> processes_;
  std::map<std::string, Ready> ready_;
};

inline std::string tomogrid_program() { return std::string(TOMOGRID_BIN) + "/tomogrid"; }
// A line of JSON, one member as text or "".
std::string json_text(const std::string& line, const std::string& member);

}  // namespace tomogrid::test
