#include "registry/serving.h"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "registry/address.h"

namespace tomogrid::registry {

namespace fs = std::filesystem;

std::vector<Option> serving_options(const std::string& default_listen) {
  return {
      {"home", "DIR",
       "folder of this member: keys, audit log, and what the role writes [$TOMOGRID_HOME, else the XDG data folder]"},
      {"member", "NAME", "which of several members under --home"},
      {"folder", "DIR", "the member's folder itself, wherever it is"},
      {"passphrase-file", "FILE", "where the passphrase of sealed keys is"},
      {"listen", "HOST:PORT", "where to serve; port 0: any free one; * for every interface", default_listen},
      {"advertise", "HOST",
       "name or address by which others reach this machine [HOST of --listen, else the host's name]"},
      {"no-discovery", "", "neither look for roles nor be found by DNS-SD; configured addresses only"}};
}

ServingConfig read_serving(const Arguments& arguments) {
  ServingConfig config;
  const auto home = arguments.optional_text("home");
  config.home = home ? fs::path(*home) : tomogrid_home();
  const auto folder = arguments.optional_text("folder");
  config.member_folder =
      folder ? fs::path(*folder) : certs::member_folder(config.home, arguments.optional_text("member"));
  if (const auto file = arguments.optional_text("passphrase-file")) config.passphrase_file = *file;
  const ListenAddress listen = parse_listen(arguments.text("listen")).or_throw();
  config.listen_host = listen.host;
  config.control_port = listen.port;
  config.advertise_host = arguments.optional_text("advertise").value_or("");
  config.discovery = !arguments.flag("no-discovery");
  config.json = arguments.flag("json");
  return config;
}

std::unique_ptr<certs::Member> load_serving_member(const ServingConfig& config, const Clock& clock, certs::Verb verb) {
  // One that is there may be open to others: keys have a folder of their own, which must not be, and the role's files
  // are 0600.
  if (!fs::exists(config.home)) make_private_folder(config.home);
  std::unique_ptr<certs::Passphrase> passphrase;
  if (certs::needs_passphrase(config.member_folder)) {
    certs::PassphraseSource source;
    source.file = config.passphrase_file;
    source.prompt = "passphrase of " + config.member_folder.string();
    passphrase = certs::read_passphrase(source).or_throw();
  }
  auto member = std::make_unique<certs::Member>(config.member_folder, clock.wall(), passphrase.get());
  if (const auto allowed = certs::require(member->identity().roles(), verb); !allowed) throw Failure(allowed.error());
  return member;
}

std::string advertised_host(const ServingConfig& config) {
  if (!config.advertise_host.empty()) return config.advertise_host;
  if (config.listen_host != "*" && config.listen_host != "0.0.0.0") return config.listen_host;
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0)
    throw Failure(ErrorCode::Usage, "this machine has no name; give --advertise HOST");
  return name;
}

void say_ready(std::ostream& out, bool json, std::string_view role, const certs::Identity& identity,
               const std::string& host, const wire::Loop::Listening& ports) {
  const std::string key = to_hex(identity.transport_key().bytes);
  if (json) {
    const nlohmann::json line{{"ready", true},
                              {"role", role},
                              {"name", identity.name()},
                              {"member", certs::to_string(identity.member())},
                              {"host", host},
                              {"control_port", ports.control_port},
                              {"bulk_port", ports.bulk_port},
                              {"transport_key", key}};
    out << line.dump() << std::endl;
  } else {
    out << role << " " << identity.name() << " serves at " << host << ":" << ports.control_port << "," << key
        << std::endl;
  }
}

void AuditReporter::report(const wire::Report& what) {
  std::string line = what.event;
  certs::AuditEntry entry;
  entry.time = clock_.wall();
  entry.verb = what.event;
  for (const auto& [name, value] : what.fields) {
    std::string shown = printable(value);
    if (name == "outcome") {
      entry.outcome = shown;
    } else if (const auto member = name == "member" ? certs::parse_member_id(value) : std::nullopt) {
      entry.actor = *member;
      shown = certs::short_text(*member);
    } else if (const auto id = name == "job" ? job::parse_id<job::JobId>(value) : std::nullopt) {
      entry.job = *id;
      shown = job::short_text(*id);
    } else {
      entry.detail += (entry.detail.empty() ? "" : " ") + name + "=" + shown;
    }
    const bool quoted = shown.empty() || shown.find_first_of(" =\"") != std::string::npos;
    line += " " + name + "=" + (quoted ? "\"" + shown + "\"" : shown);
  }
  log::info(line);
  if (what.audit) audit_.append(entry);
}

void each(wire::Loop& loop, std::chrono::milliseconds interval, std::function<void()> work) {
  loop.after(interval, [&loop, interval, work = std::move(work)] {
    work();
    each(loop, interval, work);
  });
}

}  // namespace tomogrid::registry
