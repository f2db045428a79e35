// `tomogrid recon | qa check | nodes | jobs | attach | cancel | explain | verify | drain | undrain | up`.
#pragma once

#include <vector>

#include "base/options.h"

namespace tomogrid::client {

// One Command each, in the order in which --help lists them.
std::vector<Command> client_commands();

// The parts of that list, each in a file of its own.
Command recon_command();
Command qa_check_command();
Command nodes_command();
Command jobs_command();
Command attach_command();
Command cancel_command();
Command explain_command();
Command verify_command();
Command drain_command(bool on);
Command up_command();

}  // namespace tomogrid::client
