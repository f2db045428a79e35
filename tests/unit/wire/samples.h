// One value of every message, each field set, the same every time: for round trips, vectors and fuzz seeds.
#pragma once

#include <vector>

#include "certs/certs.h"
#include "wire/messages.h"

namespace tomogrid::wire::samples {

inline constexpr WallTime kNow{1'790'000'000'000};   // 2026-09-21

template <class IdType>
IdType id(std::uint8_t first) {
  IdType value;
  for (std::size_t i = 0; i < value.bytes.size(); ++i) value.bytes[i] = static_cast<std::uint8_t>(first + i);
  return value;
}
inline job::Digest digest(std::uint8_t first) {
  job::Digest value;
  for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<std::uint8_t>(first + 3 * i);
  return value;
}
inline certs::Signed signed_of(std::string_view kind, ByteString body) {
  static const auto keys = certs::SecretKeys::from_seed({9});
  return certs::sign(*keys, kind, std::move(body));
}

inline job::Needs needs() {
  return {2, 8, Bytes(1 << 30), Bytes(1 << 28), FlopCount(1.5e13), {"avx512", "site:north"}};
}
inline job::Grant grant() { return {4, Bytes(1 << 30), Bytes(1 << 28)}; }

inline Advert advert() {
  Advert a;
  a.node = id<certs::MemberId>(1);
  a.name = "node-a.north";
  a.boot = 1'790'000'000'001;
  a.sequence = 17;
  a.transport_key = id<certs::TransportPublicKey>(40);
  a.routes = {{"direct", "192.0.2.7", 7701}, {"relay", "relay.example.org", 443}};
  a.services = {{"recon.spect", 1}, {"qa.spect", 1}};
  a.labels = {"avx512"};
  a.cores_total = 64;
  a.cores_free = 48;
  a.cores_per_job_max = 16;
  a.rate_per_core = FlopRate(3.25e10);
  a.memory_free = Bytes(std::uint64_t{100} << 30);
  a.scratch_free = Bytes(std::uint64_t{50} << 30);
  a.draining = true;
  a.recent_tickets = {id<job::TicketId>(80), id<job::TicketId>(90)};
  a.jobs_running = 3;
  a.jobs_queued = 1;
  a.issued = kNow;
  a.software = "0.1.0";
  a.signing_key = id<certs::SigningPublicKey>(44);
  a.memory_total = Bytes(std::uint64_t{128} << 30);
  a.scratch_total = Bytes(std::uint64_t{64} << 30);
  return a;
}
inline Ticket ticket() {
  return {id<job::TicketId>(3), id<certs::MemberId>(1), 1'790'000'000'001, id<certs::MemberId>(5), id<job::JobId>(6),
          {"recon.spect", 1}, grant(), kNow, std::chrono::milliseconds(60000)};
}
inline Place place() {
  return {id<job::RequestId>(2), id<job::JobId>(6), {"recon.spect", 1}, needs(), {id<certs::MemberId>(8), id<certs::MemberId>(9)}};
}
inline Candidate candidate(std::uint8_t first, const std::string& rejection) {
  Candidate c;
  c.node = id<certs::MemberId>(first);
  c.boot = 1'790'000'000'001;
  c.sequence = 5;
  c.cores_free = 48;
  c.cores_held = 4;
  c.cores_per_job_max = 16;
  c.cores_total = 64;
  c.rate_per_core = FlopRate(2.5e10);
  c.memory_free = Bytes(1 << 30);
  c.memory_held = Bytes(1 << 20);
  c.scratch_free = Bytes(1 << 29);
  c.scratch_held = Bytes(1 << 21);
  c.memory_total = Bytes(std::uint64_t{1} << 33);
  c.scratch_total = Bytes(std::uint64_t{1} << 32);
  c.draining = !rejection.empty();
  c.age = std::chrono::milliseconds(1234);
  c.rejection = rejection;
  return c;
}
inline DecisionRecord decision() {
  return {place(), id<certs::MemberId>(5), id<certs::MemberId>(7), kNow, {candidate(1, ""), candidate(8, "excluded")}, 3,
          id<certs::MemberId>(1), grant()};
}
inline job::StreamFact fact(const std::string& name, std::uint8_t first) { return {name, Bytes(123'456'789), digest(first)}; }
inline Receipt receipt() {
  return {"north", id<job::JobId>(6), id<certs::MemberId>(5), id<certs::MemberId>(1), {"recon.spect", 1}, digest(50),
          R"({"iterations":10,"subsets":8})", {fact("scan", 60)}, {fact("volume", 70), fact("passport.json", 71)}, kNow};
}
inline JobStatus status() {
  JobStatus s;
  s.job = id<job::JobId>(6);
  s.service = {"recon.spect", 1};
  s.state = job::JobState::Failed;
  s.input_complete = true;
  s.stage = "iterate";
  s.fraction = 0.625;
  s.remaining = Seconds(12.5);
  s.step = 5;
  s.steps = 8;
  s.grant = grant();
  s.failure = job::JobFailure{"out-of-memory", "1.2 GiB asked, 1 GiB granted", job::Retry::Elsewhere};
  s.outputs = {fact("volume", 70)};
  s.receipt = signed_of(certs::kinds::receipt, encode_body(receipt()));
  s.expires = kNow;
  return s;
}
inline Open open() {
  Open o;
  o.job = id<job::JobId>(6);
  o.ticket = signed_of(certs::kinds::ticket, encode_body(ticket()));
  o.service = {"recon.spect", 1};
  o.parameters = {{"attenuation", true}, {"iterations", std::int64_t{10}}, {"fwhm", -0.5}, {"algorithm", std::string("osem")}};
  o.needs = needs();
  o.inputs = {fact("scan", 60), fact("mu", 61)};
  return o;
}
inline certs::Signed signed_advert() { return signed_of(certs::kinds::advert, encode_body(advert())); }
inline certs::Signed signed_ticket() { return signed_of(certs::kinds::ticket, encode_body(ticket())); }
inline certs::Signed signed_decision() { return signed_of(certs::kinds::decision, encode_body(decision())); }

inline std::vector<Message> all() {
  Open direct = open();
  direct.ticket.reset();
  direct.parameters.clear();
  JobStatus queued;
  queued.job = id<job::JobId>(6);
  queued.service = {"qa.spect", 1};
  return {
      Greet{{1, 2, 65535}},
      Hello{1, "north", {certs::encode(signed_of(certs::kinds::certificate, {1, 2, 3})), {4, 5}}, kNow, 3, digest(9)},
      Welcome{id<job::JobId>(11).bytes, 7702},
      RevocationList{certs::encode(signed_of(certs::kinds::revocations, {9, 8, 7}))},
      Bye{"clock", "clock differs by 24 h 00 min: die Uhr geht nach (\xc3\xa4)"},
      Announce{signed_advert()},
      Renew{1'790'000'000'001, 17},
      Withdraw{1'790'000'000'001},
      LeaseGranted{1'790'000'000'001, 17, std::chrono::milliseconds(3000)},
      LeaseRefused{"stale-boot", "boot 5 is older than boot 6"},
      Watch{},
      Snapshot{{{signed_advert(), std::chrono::milliseconds(2500)}, {signed_advert(), std::chrono::milliseconds(1)}}, false},
      Changed{{signed_advert(), std::chrono::milliseconds(2500)}},
      Lost{id<certs::MemberId>(1), 1'790'000'000'001, "lease"},
      Pulse{42},
      place(),
      CancelPlace{id<job::RequestId>(2)},
      Waiting{id<job::RequestId>(2), 3, Seconds(71.25), "2 requests before this one"},
      Waiting{id<job::RequestId>(2), 1, std::nullopt, ""},
      Placed{id<job::RequestId>(2), signed_advert(), signed_ticket(), signed_decision()},
      Unplaceable{id<job::RequestId>(2), "no node offers recon.spect/2", signed_decision()},
      Reserve{signed_ticket()},
      Reserved{id<job::TicketId>(3)},
      ReserveRefused{id<job::TicketId>(3), "capacity", "12 GiB asked, 8 GiB free"},
      Release{id<job::TicketId>(3)},
      open(),
      direct,
      OpenRefused{id<job::JobId>(6), "conflict", "this job was opened with other parameters", job::Retry::Never},
      status(),
      queued,
      JobNotice{id<job::JobId>(6), "motion", "views 12 to 19 moved by 4 mm"},
      Attach{id<job::JobId>(6)},
      CancelJob{id<job::JobId>(6)},
      Fetch{id<job::JobId>(6), "volume"},
      Collected{id<job::JobId>(6)},
      Wiped{id<job::JobId>(6)},
      JobRefused{id<job::JobId>(6), "owner", "this is another member's job"},
      ListJobs{},
      JobList{{status(), queued}},
      Drain{true},
      Drain{false},
      Drained{true, 2},
      StreamOffer{{id<job::JobId>(6), "scan", 4}, 7, 123'456'789},
      StreamCredit{7, 1'048'576, {0x01, 0x80, 0xff}, 16'777'216},
      StreamEnd{7, 123'456'789, digest(60)},
      StreamDone{7},
      StreamAbort{7, true, "cancelled", "by the user"},
      Join{id<job::JobId>(11).bytes},
      Joined{},
      ChunkHeader{7, 1'048'576, 65'536},
  };
}

// Another value of a signed body's kind is never needed by tests that only move bytes.
inline std::vector<std::pair<std::string, ByteString>> bodies() {
  return {{"body-advert", encode_body(advert())}, {"body-ticket", encode_body(ticket())},
          {"body-decision", encode_body(decision())}, {"body-receipt", encode_body(receipt())}};
}

}  // namespace tomogrid::wire::samples
