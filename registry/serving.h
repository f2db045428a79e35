// What the process of every serving role does alike: where it lives and listens, who it is, the line that says it
// serves, and where its reports go. Used by registry, manager and whoever else serves.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/options.h"
#include "base/time.h"
#include "certs/audit.h"
#include "certs/member.h"
#include "certs/roles.h"
#include "wire/loop.h"
#include "wire/ports.h"

namespace tomogrid::registry {

struct ServingConfig {
  std::filesystem::path home;           // audit.log and the role's own files
  std::filesystem::path member_folder;  // keys and certificate
  std::optional<std::filesystem::path> passphrase_file;
  std::string listen_host;         // "*": every interface
  std::uint16_t control_port = 0;  // 0: any free one
  std::string advertise_host;      // how others reach this machine; empty: listen_host, or the host's name for "*"
  bool discovery = true;
  bool json = false;  // the ready line
};

// --home, --member, --folder, --passphrase-file, --listen, --advertise, --no-discovery.
std::vector<Option> serving_options(const std::string& default_listen);
ServingConfig read_serving(const Arguments& arguments);

// Its keys and certificate, asking for a passphrase when they are sealed. Throws Failure: as certs::load_identity(), or
// Refused when its certificate does not let it do `verb`.
std::unique_ptr<certs::Member> load_serving_member(const ServingConfig& config, const Clock& clock, certs::Verb verb);

// Name or address by which others reach it.
std::string advertised_host(const ServingConfig& config);

// One line: what others need to dial it. With json
// {"ready":true,"role":...,"name":...,"member":...,"host":...,"control_port":N, "bulk_port":N,"transport_key":"<hex>"}.
// Flushed.
void say_ready(std::ostream& out, bool json, std::string_view role, const certs::Identity& identity,
               const std::string& host, const wire::Loop::Listening& ports);

// Reports to the log, and those marked so to the audit log as well. They reach the kernel at once and the disk with
// sync().
class AuditReporter final : public wire::Reporter {
 public:
  AuditReporter(const std::filesystem::path& file, const Clock& clock) : clock_(clock), audit_(file, clock.wall()) {}
  void report(const wire::Report& what) override;
  void sync() { audit_.sync(); }

 private:
  const Clock& clock_;
  certs::AuditLog audit_;
};

// Calls `work` on the loop's thread each `interval`.
void each(wire::Loop& loop, std::chrono::milliseconds interval, std::function<void()> work);

}  // namespace tomogrid::registry
