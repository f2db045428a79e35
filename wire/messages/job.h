// One run of a service, from open to collected (docs/protocol.md, "Job"). Values only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/time.h"
#include "certs/keys.h"
#include "certs/signed.h"
#include "job/job.h"

namespace tomogrid::wire {

// Client to node. (client, job) is the key: opened again with the same content it answers with the current state, after
// restart, expiry and during drain too.
struct Open {
  job::JobId job;
  std::optional<certs::Signed> ticket;     // absent in direct mode
  job::ServiceName service;
  job::Parameters parameters;              // as given; the node completes and checks them
  job::Needs needs;
  std::vector<job::StreamFact> inputs;     // names and lengths; roots follow each stream (zero here)
  bool operator==(const Open&) const = default;
};

// Node to client. Codes: "conflict" (same job, other content), "replayed" (ticket used for another job), "ticket"
// (expired, other node, other client), "capacity", "draining", "quota", "service", "parameters", "input", "role".
struct OpenRefused {
  job::JobId job;
  std::string code;
  std::string reason;
  job::Retry retry = job::Retry::Elsewhere;
  bool operator==(const OpenRefused&) const = default;
};

// Node to client: sent on every change to the opener's live sessions, and as the answer to Open, Attach and CancelJob.
struct JobStatus {
  job::JobId job;
  job::ServiceName service;
  job::JobState state = job::JobState::Queued;
  bool input_complete = false;
  std::string stage;                       // of the worker; empty before it speaks
  double fraction = 0;                     // 0 to 1
  std::optional<Seconds> remaining;
  std::uint32_t step = 0, steps = 0;
  job::Grant grant;
  std::optional<job::JobFailure> failure;
  std::vector<job::StreamFact> outputs;    // Finished: every declared output with its root
  std::optional<certs::Signed> receipt;    // Finished
  WallTime expires;                        // when the node wipes an uncollected result; 0: not finished
  bool operator==(const JobStatus&) const = default;
};

// A warning of the worker for the user; with code kPreviewNotice instead what the preview that is offered next shows.
inline constexpr const char* kPreviewNotice = "preview";
struct JobNotice { job::JobId job; std::string code; std::string message; bool operator==(const JobNotice&) const = default; };

struct Attach { job::JobId job; bool operator==(const Attach&) const = default; };      // watch my job again
struct CancelJob { job::JobId job; bool operator==(const CancelJob&) const = default; };
// Client to node: send me this output (or the latest preview); answered by StreamOffer.
struct Fetch { job::JobId job; std::string name; bool operator==(const Fetch&) const = default; };
// Client to node: every output is verified, synced and renamed here; wipe the job. Answered by Wiped, also when repeated.
struct Collected { job::JobId job; bool operator==(const Collected&) const = default; };
struct Wiped { job::JobId job; bool operator==(const Wiped&) const = default; };
// Node to client: Attach, CancelJob, Fetch or Collected cannot be done. Codes: "unknown", "owner", "state", "role".
struct JobRefused { job::JobId job; std::string code; std::string reason; bool operator==(const JobRefused&) const = default; };

struct ListJobs { bool operator==(const ListJobs&) const = default; };
struct JobList { std::vector<JobStatus> jobs; bool operator==(const JobList&) const = default; };   // the asker's own

// Administrator to node: finish what runs, take no more; or take work again. Answered by Drained.
struct Drain { bool on = true; bool operator==(const Drain&) const = default; };
struct Drained { bool on = true; std::uint32_t jobs_left = 0; bool operator==(const Drained&) const = default; };

// What a node says it did; the body of a Signed of kind "receipt". A receipt proves binding, not correctness.
struct Receipt {
  std::string federation;
  job::JobId job;
  certs::MemberId client;
  certs::MemberId node;
  job::ServiceName service;
  job::Digest worker_build{};              // SHA-256 of the worker's executable
  std::string parameters;                  // job::canonical_text of the complete parameters
  std::vector<job::StreamFact> inputs;
  std::vector<job::StreamFact> outputs;
  WallTime finished;
  bool operator==(const Receipt&) const = default;
};

ByteString encode_body(const Receipt& receipt);
Result<Receipt> decode_receipt(ByteView body);

}  // namespace tomogrid::wire
