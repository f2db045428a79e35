// tomogrid-recon as a node starts it: the worker contract of job/worker_protocol.h in a job's folder.
#pragma once

#include <filesystem>

#include "recon/mpi_ranks.h"

namespace tomogrid::recon {

// Runs the job in `folder`; the exit status of the program. Only rank 0 speaks with the node.
int run_job(const std::filesystem::path& folder, Processes& ranks);

}  // namespace tomogrid::recon
