// What a job is sent, without holding it: inputs as sources that are read piece by piece while they travel.
//
// Where the bytes lie until they are sent:
//   headers                      in memory, some kilobytes
//   an Interfile's values        in the user's own data file, which stays open and is read (and turned into what
//                                travels) as the transfer asks for it
//   a DICOM scan's, a map's      in an unlinked file of memory (memfd): those formats are read whole once. No name
//                                leads to it, nothing of it is on a disk, and it is gone with the process.
// So the process's own memory does not grow with the scan.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "image/scan_reader.h"
#include "job/job.h"
#include "wire/ports.h"

namespace tomogrid::client {

// One input. The content may be read by several threads.
struct InputStream {
  std::string name;
  std::shared_ptr<const wire::StreamSource> content;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> order;  // ranges, best first; empty: ascending
};

InputStream text_input(std::string name, std::string text);
// Throws Failure (Storage) when the machine has not so much memory.
InputStream values_input(std::string name, std::vector<float> values);
// Requires scan.values or scan.in_memory, which is taken; the result does not refer to `scan`.
InputStream scan_input(std::string name, image::OpenedScan& scan);

// Name, length and content hash: reads all of it, a leaf at a time.
Result<job::StreamFact> fact_of(const InputStream& input);

}  // namespace tomogrid::client
