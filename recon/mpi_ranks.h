// Several processes on one reconstruction, by MPI. mpi.h is included in mpi_ranks.cpp only.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "recon/ranks.h"

namespace tomogrid::recon {

class Processes : public Ranks {
 public:
  // Rank 0's bytes, on every rank.
  virtual void broadcast(std::vector<std::uint8_t>& bytes) = 0;
  // Ends every rank with this exit status, as one of them cannot go on: the others would wait for it for ever.
  [[noreturn]] virtual void abort(int status) = 0;
  // Bytes sent to other ranks by this one so far.
  virtual std::uint64_t bytes_sent() const = 0;
};

// By mpirun, or srun with PMIx.
bool started_by_mpi();

// Initialises MPI when this process was started by mpirun (or srun with PMIx); alone otherwise, so that a single
// process starts at once. The result finalises MPI.
std::unique_ptr<Processes> join_processes();

}  // namespace tomogrid::recon
