// Where the threads of a job run: which processors a grant becomes, and the `mpirun` command for a job that got more
// than one socket or host. No processes are started here; only sockets_of() reads a file system.
//
// A rank is one process of a job. Memory of another socket is slow and that of another host out of reach, so a job gets
// one rank for each socket and host that it has processors of. The result does not depend on it: services that may be
// run so ("ranks" in their description) give the same bits for any number of ranks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace tomogrid::node {

// A processor that a worker's thread may be bound to; of another host only that it is there is known.
struct Seat {
  std::string host;  // empty: this machine
  int socket = 0;
  int cpu = -1;  // -1: of another host
  bool operator==(const Seat&) const = default;
};

// Another machine of the cluster, which mpirun reaches (ssh without a question, the same program at the same path).
struct WorkerHost {
  std::string name;
  std::uint32_t cores = 0;
  bool operator==(const WorkerHost&) const = default;
};
// "NAME:CORES". Usage when it is not that, or when the name could be taken for an option or a list.
Result<WorkerHost> parse_worker_host(const std::string& text);

// The processors with the socket each is on, as the kernel says under `root`: the NUMA node, since virtual machines often
// call every processor a socket while their memory is one. 0 where it says nothing.
std::vector<Seat> sockets_of(const std::vector<int>& cpus, const std::filesystem::path& root = "/");
std::vector<Seat> seats_of(const std::vector<WorkerHost>& hosts);

// Which seats are taken.
class Seating final {
 public:
  explicit Seating(std::vector<Seat> seats);
  // `count` seats, those of this machine first: all on one socket when one has room, on the fullest that has, so that
  // large ones stay whole; otherwise on as few sockets as it takes. Other hosts only when `may_spread`. Fewer than
  // `count` when there are no more.
  std::vector<Seat> take(std::uint32_t count, bool may_spread);
  void give_back(const std::vector<Seat>& seats);

 private:
  struct Place {
    Seat seat;
    bool taken = false;
  };
  std::vector<Place> places_;
};

struct Rank {
  std::string host;       // empty: this machine
  std::vector<int> cpus;  // empty on another host
  std::uint32_t threads = 1;
};
// One for each socket and host, or for each `cores_per_rank` of its cores when that is not 0. Rank 0 reads and writes the
// job's folder, so it is on this machine: where no seat is, it runs beside what is bound there, with one thread.
std::vector<Rank> ranks_of(const std::vector<Seat>& seats, std::uint32_t cores_per_rank);

// The words that start `command` (an absolute path first) as these ranks. The worker contract holds for rank 0: lines
// come on its standard input and go to its descriptor 3, which is mpirun's standard output; what ranks print goes to
// mpirun's standard error. `options` are put in as they are.
std::vector<std::string> mpirun_command(const std::filesystem::path& mpirun, const std::vector<std::string>& options,
                                        const std::vector<Rank>& ranks, const std::vector<std::string>& command);

}  // namespace tomogrid::node
