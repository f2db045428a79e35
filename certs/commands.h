// `tomogrid certs init | request | issue | install | show | revoke | audit`.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "certs/identity.h"

namespace tomogrid::certs {

// One Command each; their names begin with "tomogrid certs ".
std::vector<Command> certs_commands();

// For the commands of other rooms that act as a member: --member NAME, --folder DIR and --passphrase-file FILE.
std::vector<Option> identity_options();
// Where these say the member is.
std::filesystem::path identity_folder(const Arguments& arguments);
// Loads it, asking for a passphrase when the keys are sealed. Throws Failure.
std::unique_ptr<Identity> load_identity(const Arguments& arguments);

}  // namespace tomogrid::certs
