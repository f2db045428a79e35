// The worker program: `tomogrid-recon SCAN -o VOLUME`, `tomogrid-recon --job FOLDER`, `tomogrid-recon bench`.
#include <cstring>

#include "recon/by_hand.h"

int main(int argc, char** argv) {
  using namespace tomogrid::recon;
  if (argc > 1 && std::strcmp(argv[1], "bench") == 0) return bench_command().main(argc - 1, argv + 1);
  const auto ranks = join_processes();
  return by_hand_command(*ranks).main(argc, argv);
}
