// Where the federation is, and who we are in it: options that every command of this room takes, and the file that gives
// them once.
//
// The file (INI, a line `option = value`): --settings FILE, else $TOMOGRID_HOME/client.ini, else what `tomogrid up`
// wrote, i.e. $TOMOGRID_HOME/up/client.ini. The command line adds to nothing: an option given there replaces the
// file's.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "certs/member.h"
#include "client/client.h"
#include "job/service.h"

namespace tomogrid::client {

std::vector<Option> settings_options();
// `own` and then settings_options().
std::vector<Option> with_settings(std::vector<Option> own);

struct Settings {
  std::filesystem::path folder;  // of the member
  std::vector<wire::Target> registries, managers;
  std::vector<KnownNode> nodes;  // NAME=HOST:PORT,KEY
  bool discovery = true;         // look for registries by DNS-SD when none is configured
};

// Throws Failure (Usage, NotFound).
Settings read_settings(const Arguments& arguments);
// The member of these settings with its keys, asking for a passphrase when they are sealed. Throws Failure.
std::unique_ptr<certs::Member> load_member(const Arguments& arguments, const Settings& settings);

// "NAME" or "HOST:PORT,KEY". Usage.
Result<NodePin> parse_node(const std::string& text);

// Where the services that this program knows are described, beside it: ../share/tomogrid/services.
std::filesystem::path services_folder();
// The descriptor of `service`; nullopt when it is not there, which only means that parameters are checked later, by the
// node.
std::optional<job::ServiceDescriptor> find_service(const job::ServiceName& service);

}  // namespace tomogrid::client
