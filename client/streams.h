// What a client's loop sends and stores: inputs from where they lie (inputs.h), outputs into a private spool folder where a cut transfer
// resumes, also after the client was killed.
//
// spool/JOB/NAME          a complete output, its hash agreed
// spool/JOB/NAME.part     an unfinished one, with NAME.map saying which ranges of it are stored
// Previews are stored as NAME.GENERATION.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/inputs.h"
#include "client/record.h"
#include "wire/ports.h"

namespace tomogrid::client {

class Streams final : public wire::StreamStore {
 public:
  // Creates `spool` (0700).
  explicit Streams(std::filesystem::path spool);

  // What open_source() finds under (stream_job, name). Inputs of one job may be lent to several attempts.
  void lend(const job::JobId& stream_job, std::shared_ptr<const std::vector<InputStream>> inputs);

  Result<std::unique_ptr<wire::StreamSink>> open_sink(const wire::JobKey& job, const wire::StreamKey& key,
                                                      std::uint64_t length) override;
  Result<std::unique_ptr<wire::StreamSource>> open_source(const wire::JobKey& job, const wire::StreamKey& key) override;

  // One process at a time sees to a job: false when another does. Held until this object ends.
  bool claim(const job::JobId& job);

  // Where a complete output lies.
  std::filesystem::path path(const wire::StreamKey& key) const;
  // Throws away what is stored of an unfinished stream.
  void discard(const wire::StreamKey& key);
  // Throws away everything that attempts at a job have left here.
  void remove(const job::JobId& stream_job);
  void clear(const std::map<job::JobId, Record>& records, const job::JobId& job);

 private:
  std::filesystem::path spool_;
  std::vector<std::shared_ptr<const void>> claims_;
  std::map<job::JobId, std::shared_ptr<const std::vector<InputStream>>> inputs_;
};

}  // namespace tomogrid::client
