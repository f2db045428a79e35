// The shape of every role's pure core: events in, effects out. Registry, manager, node and client are Machines; the real
// loop (wire/loop.h) and the simulator (tests/simulation) are the only two performers of their effects.
//
// No machine has a socket, a clock, a thread or a file. Time enters as `Now`. Bulk bytes never enter a machine: it hears
// (stream, range) and (stream, length, root).
//
// Order: the performer carries out the effects of one call in order, except that all Persist effects of one pass are
// committed in one transaction before anything else of that pass is done; if that fails none of the pass is done, and
// StorageFailed comes back.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "certs/certificate.h"
#include "certs/keys.h"
#include "certs/roles.h"
#include "job/job.h"
#include "job/worker_protocol.h"
#include "wire/messages.h"

namespace tomogrid::wire {

struct Now {
  Instant instant;     // for deadlines; does not decrease
  WallTime wall;       // for records and validity; may step
};

using PeerId = std::uint64_t;        // one session, named by the performer; never reused in a process

// A job's key at a node.
struct JobKey {
  certs::MemberId client;
  job::JobId job;
  auto operator<=>(const JobKey&) const = default;
};

// A member whose hello has been verified.
struct Peer {
  PeerId id = 0;
  certs::MemberId member;
  std::string name;
  certs::Roles roles;
  std::uint64_t dial = 0;            // tag of the Connect that led here; 0: they dialled us
  certs::SigningPublicKey signing_key{};                     // the leaf's: what they sign is verified with it
  std::shared_ptr<const certs::CertificateChain> chain{};    // as shown at hello, to keep beside a receipt; not null from a Loop
};

// Whom to dial. Discovery suggests, the certificate decides: `transport_key` must be the leaf's key; `role` must be
// among its roles; `member`, when known, must be the subject.
struct Target {
  std::string host;
  std::uint16_t control_port = 0;
  certs::TransportPublicKey transport_key;
  certs::Role role = certs::Role::Node;
  std::optional<certs::MemberId> member;
};

// A role seen on the network or configured: "registry" or "node" advertised by DNS-SD, or an address of the INI file.
struct Suggestion {
  certs::Role role = certs::Role::Registry;
  std::string name;                  // instance, or member name
  std::string host;
  std::uint16_t control_port = 0;
  certs::TransportPublicKey transport_key;
  bool gone = false;                 // no longer seen
  bool operator==(const Suggestion&) const = default;
};

// What a machine can offer right now, from a capacity source.
struct Capacity {
  std::uint32_t cores_total = 0, cores_free = 0;   // free: by affinity, cgroup and outside load; own jobs not counted
  Bytes memory_free, scratch_free;
  bool operator==(const Capacity&) const = default;
};

// One row of a journal. `table` and `key` name it; Persist replaces; an empty body deletes.
struct Row {
  std::string table;
  std::string key;
  std::string body;                  // encoded by the room that owns the journal
  bool operator==(const Row&) const = default;
};

// ---- Events ----------------------------------------------------------------------------------------------------------
struct PeerUp { Peer peer; };
struct PeerDown { Peer peer; std::string reason; std::string code = {}; };   // code: of the bye, or a word of wire/session.h; "lost" for a cut
struct ConnectFailed { std::uint64_t dial = 0; Error error; };
struct Received { Peer peer; Message message; };         // stream and session messages are handled below and do not arrive here, StreamOffer excepted
struct RangeStored { PeerId peer = 0; StreamKey key; std::uint64_t offset = 0, length = 0; };
struct StreamReceived { PeerId peer = 0; StreamKey key; std::uint64_t length = 0; job::Digest root{}; };  // complete, hash agreed, synced
struct StreamSent { PeerId peer = 0; StreamKey key; std::uint64_t length = 0; job::Digest root{}; };      // the peer has it all
struct StreamBroken { PeerId peer = 0; StreamKey key; std::string code; std::string reason; };            // this attempt is over; what is stored stays
struct WorkerSaid { JobKey job; job::FromWorker line; };
struct OutputFact { std::string name; std::uint64_t length = 0; job::Digest root{}; };
struct WorkerExited { JobKey job; int status = 0; std::vector<OutputFact> outputs; job::Digest worker_build{}; };   // status: exit code, or -signal
struct CapacityChanged { Capacity capacity; };
struct Discovered { Suggestion suggestion; };
struct Recovered { std::vector<Row> rows; };             // first event of a role with a journal
struct StorageFailed { Error error; };
struct Entropy { std::array<std::uint8_t, 32> seed{}; };  // first event of all; machines derive ids from it (wire/ids.h)
using Event = std::variant<PeerUp, PeerDown, ConnectFailed, Received, RangeStored, StreamReceived, StreamSent, StreamBroken,
                           WorkerSaid, WorkerExited, CapacityChanged, Discovered, Recovered, StorageFailed, Entropy>;

// ---- Effects ---------------------------------------------------------------------------------------------------------
struct Connect { std::uint64_t dial = 0; Target target; };        // ends in PeerUp (peer.dial == dial) or ConnectFailed
struct Send { PeerId peer = 0; Message message; };                // dropped silently when the peer is gone: PeerDown says so
struct ClosePeer { PeerId peer = 0; std::string code; std::string reason; };
struct Persist { Row row; };
struct StartWorker {
  JobKey job;
  job::WorkOrder order;
  std::vector<std::string> command, outputs;
  bool ranks = false;  // may be several processes, by mpirun
};
struct TellWorker { JobKey job; job::ToWorker line; };
struct StopWorker { JobKey job; };                                // end of input, then the group is killed; WorkerExited follows
struct PrepareScratch { JobKey job; std::vector<job::StreamFact> inputs; };
struct Wipe { JobKey job; };
struct ReceiveStream { PeerId peer = 0; std::uint32_t number = 0; StreamKey key; JobKey job; std::uint64_t length = 0; };  // accept a StreamOffer
struct SendStream { PeerId peer = 0; StreamKey key; JobKey job; };                                                         // offer what the store holds under `key`
struct StopStream { PeerId peer = 0; StreamKey key; std::string code; };
// Something for people or the audit log. `event` is a stable dotted name; no patient data, ids short.
struct Report { bool audit = false; std::string event; std::vector<std::pair<std::string, std::string>> fields; };
using Effect = std::variant<Connect, Send, ClosePeer, Persist, StartWorker, TellWorker, StopWorker, PrepareScratch, Wipe,
                            ReceiveStream, SendStream, StopStream, Report>;
using Effects = std::vector<Effect>;

// A role's pure core. `now` must not decrease between calls.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual Effects handle(const Now& now, const Event& event) = 0;
  // Carries out what is due at or before now.
  virtual Effects advance(const Now& now) = 0;
  // When advance() next has work to do; nullopt: nothing outstanding.
  virtual std::optional<Instant> next_deadline() const = 0;
};

}  // namespace tomogrid::wire
