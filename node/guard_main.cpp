// `tomogrid-guard`: started by a node for each worker; see guard.h.
#include <cstdio>
#include <string>
#include <vector>

#include "node/guard.h"

int main(int argc, char** argv) {
  const auto options = tomogrid::node::parse_guard_arguments(std::vector<std::string>(argv + 1, argv + argc));
  if (!options) {
    std::fputs(
        "tomogrid-guard is started by a node: [--memory BYTES] [--file BYTES] [--open-files N] [--cpus 0,1] "
        "[--grace-ms MS] -- PROGRAM...\n",
        stderr);
    return 125;
  }
  return tomogrid::node::run_guard(*options);
}
