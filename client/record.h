// What the client remembers of one job, on disk before anything about it is sent: what was asked, every node it was
// sent to, and what came of it. Values with their encoder and decoder; pure.
//
// Nothing here says whose scan it is: who the patient is lies beside it, in the edge's own table (journal.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/text.h"
#include "base/time.h"
#include "certs/keys.h"
#include "certs/signed.h"
#include "job/job.h"
#include "wire/machine.h"

namespace tomogrid::client {

// One node that was asked to run the job. In the journal before the open is sent, so that no run is ever unseen.
enum class AttemptState : std::uint8_t {
  Opening,   // asked; whether it runs there is not known
  Accepted,  // the node has it
  Over,      // refused, failed, cancelled, superseded: `reason` says
};
std::string_view to_string(AttemptState state);

struct Attempt {
  job::JobId job;  // its id at that node: the record's own, or a fresh one where that was used up
  certs::MemberId node;
  std::string node_name;
  wire::Target target;
  std::optional<certs::Signed> ticket;  // absent without a manager
  AttemptState state = AttemptState::Opening;
  std::string reason;
  WallTime opened;
};

// Why a node was picked, as its manager (or this client) signed it, with the signer's chain to check it against.
struct KeptDecision {
  certs::Signed decision;
  ByteString chain;  // encoded certs::CertificateChain; empty: signed by this client
};

// What the node says it did, with its chain.
struct KeptReceipt {
  certs::Signed receipt;
  ByteString chain;
};

enum class RecordState : std::uint8_t {
  Unfinished,  // somewhere, or nowhere yet
  Verified,    // outputs are here, agree with the receipt, and are not yet where the user wants them
  Closed,      // delivered; the node has been told
  Failed,
  Cancelled,
};
std::string_view to_string(RecordState state);

struct Record {
  job::JobId id;  // what the user knows the job by
  job::ServiceName service;
  job::Parameters parameters;  // as given
  job::Needs needs;
  std::vector<job::StreamFact> inputs;  // with roots
  std::vector<std::string> outputs_required;
  WallTime created;
  RecordState state = RecordState::Unfinished;
  std::string reason;                    // Failed, Cancelled: why
  std::vector<Attempt> attempts;         // oldest first
  std::optional<std::size_t> winner;     // index of the attempt whose receipt verified first
  std::optional<KeptReceipt> receipt;    // of the winner
  std::vector<job::StreamFact> outputs;  // of the winner
  std::vector<KeptDecision> decisions;   // oldest first
};

// The row of table "job": JSON, since people may look at it.
std::string encode(const Record& record);
Result<Record> decode_record(std::string_view json);
wire::Row row_of(const Record& record);

// Where a node was last reached: the row of table "node", so that direct mode works when every registry is dead.
struct KnownNode {
  std::string name;
  wire::Target target;  // member is set
  WallTime seen;
};
wire::Row row_of(const KnownNode& node);
Result<KnownNode> decode_known_node(std::string_view json);

// The same for equal content asked of the same service with the same parameters: how running a command again finds the
// job it began.
job::Digest fingerprint(const job::ServiceName& service, const job::Parameters& parameters,
                        const std::vector<job::StreamFact>& inputs);

}  // namespace tomogrid::client
