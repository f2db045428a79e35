// One job of qa.spect/1 under the worker contract (job/worker_protocol.h).
#pragma once

#include <filesystem>

namespace tomogrid::qa {

// Reads in/projections.json and in/projections.f32 under `folder`, writes out/report.json. Returns the exit status;
// trouble has been said on descriptor `output` as WorkerFailed, in codes and sizes only. Descriptors are parameters for
// tests.
int run_job(const std::filesystem::path& folder, int input = 0, int output = 3);

}  // namespace tomogrid::qa
