// tomogrid-recon on files, by hand.
#pragma once

#include "base/options.h"
#include "recon/mpi_ranks.h"

namespace tomogrid::recon {

// Options: those of the service's description, and files.
Command by_hand_command(Processes& ranks);
Command bench_command();

}  // namespace tomogrid::recon
