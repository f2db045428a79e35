// Every message of the protocol as one variant, with its encoder and decoder (Cap'n Proto, wire/messages/*.capnp).
#pragma once

#include <string_view>
#include <variant>

#include "base/result.h"
#include "base/text.h"
#include "wire/messages/bounds.h"
#include "wire/messages/job.h"
#include "wire/messages/placement.h"
#include "wire/messages/registry.h"
#include "wire/messages/session.h"
#include "wire/messages/stream.h"

namespace tomogrid::wire {

using Message = std::variant<
    // session
    Greet, Hello, Welcome, RevocationList, Bye,
    // registry
    Announce, Renew, Withdraw, LeaseGranted, LeaseRefused, Watch, Snapshot, Changed, Lost, Pulse,
    // placement
    Place, CancelPlace, Waiting, Placed, Unplaceable, Reserve, Reserved, ReserveRefused, Release,
    // job
    Open, OpenRefused, JobStatus, JobNotice, Attach, CancelJob, Fetch, Collected, Wiped, JobRefused, ListJobs, JobList,
    Drain, Drained,
    // stream
    StreamOffer, StreamCredit, StreamEnd, StreamDone, StreamAbort, Join, Joined, ChunkHeader>;

// "place", "job-status": for logs and diagrams.
std::string_view name_of(const Message& message);

// One self-contained frame. Requires that it fits kControlMessageLimit: every message within wire/messages/bounds.h does,
// except that lists of messages (Snapshot, JobList) are split or trimmed by their sender, with fits().
ByteString encode(const Message& message);
bool fits(const Message& message);
// Listings in as few Snapshots as fit, the last one marked; one empty Snapshot when there are none.
std::vector<Snapshot> split_snapshot(const std::vector<Listing>& listings);

// Decodes a whole frame to values, or says what is malformed; never throws, never allocates by a number in the frame
// that the frame's size does not bear out. Trailing bytes are refused.
Result<Message> decode(ByteView frame);

}  // namespace tomogrid::wire
