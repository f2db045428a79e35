// Who is here: adverts, leases, watches (docs/protocol.md, "Registry"). Values only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"
#include "base/time.h"
#include "certs/keys.h"
#include "certs/signed.h"
#include "job/job.h"

namespace tomogrid::wire {

// A way to reach a node. kind "direct" now; "relay" later, ignored by those who do not know it.
struct Route {
  std::string kind = "direct";
  std::string host;                        // address or name, no scheme
  std::uint16_t control_port = 0;
  bool operator==(const Route&) const = default;
};

// What a node says of itself; the body of a Signed of kind "advert". (boot, sequence) orders adverts of one node.
struct Advert {
  certs::MemberId node;
  std::string name;
  std::uint64_t boot = 0;                  // max(stored + 1, unix ms), on disk before the first advert
  std::uint64_t sequence = 0;              // grows with every change of content
  certs::TransportPublicKey transport_key;
  std::vector<Route> routes;
  std::vector<job::ServiceName> services;
  std::vector<std::string> labels;
  std::uint32_t cores_total = 0, cores_free = 0;   // free excludes reserved and admitted work
  std::uint32_t cores_per_job_max = 0;             // 0: no cap
  FlopRate rate_per_core;                          // measured with our own kernels
  Bytes memory_free, scratch_free;
  bool draining = false;
  std::vector<job::TicketId> recent_tickets;       // held or admitted in the last 60 s
  std::uint32_t jobs_running = 0, jobs_queued = 0;
  WallTime issued;
  std::string software;                            // version
  certs::SigningPublicKey signing_key;             // `node` is its hash: whoever hears of the advert can verify it
  Bytes memory_total, scratch_total;               // what an idle node could give; 0: not said
  bool operator==(const Advert&) const = default;
  FlopRate free_rate() const { return rate_per_core * static_cast<double>(cores_free); }
};

// Node to registry.
struct Announce { certs::Signed advert; bool operator==(const Announce&) const = default; };
struct Renew { std::uint64_t boot = 0, sequence = 0; bool operator==(const Renew&) const = default; };
struct Withdraw { std::uint64_t boot = 0; bool operator==(const Withdraw&) const = default; };   // a clean goodbye

// Registry to node: what it believes and until when. A refusal ("stale-boot", "unknown": announce again) says why.
struct LeaseGranted { std::uint64_t boot = 0, sequence = 0; std::chrono::milliseconds lease{0}; bool operator==(const LeaseGranted&) const = default; };
struct LeaseRefused { std::string code; std::string reason; bool operator==(const LeaseRefused&) const = default; };

// Watcher to registry: tell me everything, then every change.
struct Watch { bool operator==(const Watch&) const = default; };

// One believed advert. Remaining lease, never absolute time: clocks differ.
struct Listing {
  certs::Signed advert;
  std::chrono::milliseconds remaining{0};
  bool operator==(const Listing&) const = default;
};

// Registry to watcher. A snapshot may take several messages; `last` ends it. Pulse, each second: all others live.
struct Snapshot { std::vector<Listing> listings; bool last = true; bool operator==(const Snapshot&) const = default; };
struct Changed { Listing listing; bool operator==(const Changed&) const = default; };
struct Lost { certs::MemberId node; std::uint64_t boot = 0; std::string reason; bool operator==(const Lost&) const = default; };  // "lease", "withdrawn", "revoked"
struct Pulse { std::uint64_t number = 0; bool operator==(const Pulse&) const = default; };

// The signed body; decode checks every bound.
ByteString encode_body(const Advert& advert);
Result<Advert> decode_advert(ByteView body);

}  // namespace tomogrid::wire
