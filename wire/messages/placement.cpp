#include "wire/messages/placement.h"

#include "wire/messages/codecs.h"

namespace tomogrid::wire {

namespace codec {

void put(schema::Needs::Builder to, const job::Needs& from) {
  to.setCoresMin(from.cores_min);
  to.setCoresMax(from.cores_max);
  to.setMemory(from.memory.count());
  to.setScratch(from.scratch.count());
  to.setWork(from.work.count() + 0.0);
  put_texts(to.initLabels(count_of(from.labels.size())), from.labels);
}
void get(schema::Needs::Reader from, job::Needs& to) {
  to.cores_min = from.getCoresMin();
  to.cores_max = from.getCoresMax();
  to.memory = Bytes(from.getMemory());
  to.scratch = Bytes(from.getScratch());
  to.work = FlopCount(get_number(from.getWork(), "work"));
  to.labels = get_each<std::string>(from.getLabels(), "labels", kLabelsMax,
                                    [](::capnp::Text::Reader text) { return get_word(text, "label", kWordLimit); });
}

void put(schema::Grant::Builder to, const job::Grant& from) {
  to.setCores(from.cores);
  to.setMemory(from.memory.count());
  to.setScratch(from.scratch.count());
}
void get(schema::Grant::Reader from, job::Grant& to) {
  to.cores = from.getCores();
  to.memory = Bytes(from.getMemory());
  to.scratch = Bytes(from.getScratch());
}

void put(schema::Place::Builder to, const Place& from) {
  to.setRequest(data_of(from.request.bytes));
  to.setJob(data_of(from.job.bytes));
  put(to.initService(), from.service);
  put(to.initNeeds(), from.needs);
  put_ids(to.initExcluded(count_of(from.excluded.size())), from.excluded);
}
void get(schema::Place::Reader from, Place& to) {
  to.request = get_id<job::RequestId>(from.getRequest(), "request");
  to.job = get_id<job::JobId>(from.getJob(), "job");
  get(from.getService(), to.service);
  get(from.getNeeds(), to.needs);
  to.excluded = get_each<certs::MemberId>(from.getExcluded(), "excluded", kExcludedMax,
                                          [](::capnp::Data::Reader id) { return get_id<certs::MemberId>(id, "excluded"); });
}

void put(schema::CancelPlace::Builder to, const CancelPlace& from) { to.setRequest(data_of(from.request.bytes)); }
void get(schema::CancelPlace::Reader from, CancelPlace& to) { to.request = get_id<job::RequestId>(from.getRequest(), "request"); }

void put(schema::Waiting::Builder to, const Waiting& from) {
  to.setRequest(data_of(from.request.bytes));
  to.setPosition(from.position);
  if (from.earliest) {
    to.getEarliest().setSeconds(from.earliest->count() + 0.0);
  } else {
    to.getEarliest().setUnknown();
  }
  to.setReason(sentence(from.reason));
}
void get(schema::Waiting::Reader from, Waiting& to) {
  to.request = get_id<job::RequestId>(from.getRequest(), "request");
  to.position = from.getPosition();
  const auto earliest = from.getEarliest();
  if (earliest.isSeconds()) to.earliest = Seconds(get_number(earliest.getSeconds(), "earliest"));
  to.reason = get_sentence(from.getReason(), "reason");
}

void put(schema::Placed::Builder to, const Placed& from) {
  to.setRequest(data_of(from.request.bytes));
  put_signed([&](auto data) { to.setAdvert(data); }, from.advert);
  put_signed([&](auto data) { to.setTicket(data); }, from.ticket);
  put_signed([&](auto data) { to.setDecision(data); }, from.decision);
}
void get(schema::Placed::Reader from, Placed& to) {
  to.request = get_id<job::RequestId>(from.getRequest(), "request");
  to.advert = get_signed(from.getAdvert(), "advert", certs::kinds::advert);
  to.ticket = get_signed(from.getTicket(), "ticket", certs::kinds::ticket);
  to.decision = get_signed(from.getDecision(), "decision", certs::kinds::decision);
}

void put(schema::Unplaceable::Builder to, const Unplaceable& from) {
  to.setRequest(data_of(from.request.bytes));
  to.setReason(sentence(from.reason));
  put_signed([&](auto data) { to.setDecision(data); }, from.decision);
}
void get(schema::Unplaceable::Reader from, Unplaceable& to) {
  to.request = get_id<job::RequestId>(from.getRequest(), "request");
  to.reason = get_sentence(from.getReason(), "reason");
  to.decision = get_signed(from.getDecision(), "decision", certs::kinds::decision);
}

void put(schema::Ticket::Builder to, const Ticket& from) {
  to.setId(data_of(from.id.bytes));
  to.setNode(data_of(from.node.bytes));
  to.setBoot(from.boot);
  to.setClient(data_of(from.client.bytes));
  to.setJob(data_of(from.job.bytes));
  put(to.initService(), from.service);
  put(to.initGrant(), from.grant);
  to.setIssuedMs(from.issued.unix_ms);
  to.setTtlMs(from.ttl.count());
}
void get(schema::Ticket::Reader from, Ticket& to) {
  to.id = get_id<job::TicketId>(from.getId(), "ticket");
  to.node = get_id<certs::MemberId>(from.getNode(), "node");
  to.boot = from.getBoot();
  to.client = get_id<certs::MemberId>(from.getClient(), "client");
  to.job = get_id<job::JobId>(from.getJob(), "job");
  get(from.getService(), to.service);
  get(from.getGrant(), to.grant);
  to.issued = get_wall(from.getIssuedMs(), "issued");
  to.ttl = get_span(from.getTtlMs(), "ttl");
}

void put(schema::Reserve::Builder to, const Reserve& from) {
  put_signed([&](auto data) { to.setTicket(data); }, from.ticket);
}
void get(schema::Reserve::Reader from, Reserve& to) { to.ticket = get_signed(from.getTicket(), "ticket", certs::kinds::ticket); }

void put(schema::Reserved::Builder to, const Reserved& from) { to.setTicket(data_of(from.ticket.bytes)); }
void get(schema::Reserved::Reader from, Reserved& to) { to.ticket = get_id<job::TicketId>(from.getTicket(), "ticket"); }

void put(schema::ReserveRefused::Builder to, const ReserveRefused& from) {
  to.setTicket(data_of(from.ticket.bytes));
  to.setCode(from.code);
  to.setReason(sentence(from.reason));
}
void get(schema::ReserveRefused::Reader from, ReserveRefused& to) {
  to.ticket = get_id<job::TicketId>(from.getTicket(), "ticket");
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.reason = get_sentence(from.getReason(), "reason");
}

void put(schema::Release::Builder to, const Release& from) { to.setTicket(data_of(from.ticket.bytes)); }
void get(schema::Release::Reader from, Release& to) { to.ticket = get_id<job::TicketId>(from.getTicket(), "ticket"); }

void put(schema::Candidate::Builder to, const Candidate& from) {
  to.setNode(data_of(from.node.bytes));
  to.setBoot(from.boot);
  to.setSequence(from.sequence);
  to.setCoresFree(from.cores_free);
  to.setCoresHeld(from.cores_held);
  to.setCoresPerJobMax(from.cores_per_job_max);
  to.setCoresTotal(from.cores_total);
  to.setRatePerCore(from.rate_per_core.count() + 0.0);
  to.setMemoryFree(from.memory_free.count());
  to.setMemoryHeld(from.memory_held.count());
  to.setScratchFree(from.scratch_free.count());
  to.setScratchHeld(from.scratch_held.count());
  to.setDraining(from.draining);
  to.setAgeMs(from.age.count());
  to.setRejection(sentence(from.rejection, kWordLimit));
  to.setMemoryTotal(from.memory_total.count());
  to.setScratchTotal(from.scratch_total.count());
}
void get(schema::Candidate::Reader from, Candidate& to) {
  to.node = get_id<certs::MemberId>(from.getNode(), "node");
  to.boot = from.getBoot();
  to.sequence = from.getSequence();
  to.cores_free = from.getCoresFree();
  to.cores_held = from.getCoresHeld();
  to.cores_per_job_max = from.getCoresPerJobMax();
  to.cores_total = from.getCoresTotal();
  to.rate_per_core = FlopRate(get_number(from.getRatePerCore(), "rate per core"));
  to.memory_free = Bytes(from.getMemoryFree());
  to.memory_held = Bytes(from.getMemoryHeld());
  to.scratch_free = Bytes(from.getScratchFree());
  to.scratch_held = Bytes(from.getScratchHeld());
  to.draining = from.getDraining();
  to.age = get_span(from.getAgeMs(), "age");
  to.rejection = get_sentence(from.getRejection(), "rejection", kWordLimit);
  to.memory_total = Bytes(from.getMemoryTotal());
  to.scratch_total = Bytes(from.getScratchTotal());
}

void put(schema::DecisionRecord::Builder to, const DecisionRecord& from) {
  put(to.initPlace(), from.place);
  to.setClient(data_of(from.client.bytes));
  to.setDecidedBy(data_of(from.decided_by.bytes));
  to.setDecidedMs(from.decided.unix_ms);
  put_structs(to.initCandidates(count_of(from.candidates.size())), from.candidates);
  to.setCandidatesLeftOut(from.candidates_left_out);
  if (from.winner) to.setWinner(data_of(from.winner->bytes));
  put(to.initGrant(), from.grant);
}
void get(schema::DecisionRecord::Reader from, DecisionRecord& to) {
  get(from.getPlace(), to.place);
  to.client = get_id<certs::MemberId>(from.getClient(), "client");
  to.decided_by = get_id<certs::MemberId>(from.getDecidedBy(), "decided by");
  to.decided = get_wall(from.getDecidedMs(), "decided");
  to.candidates = get_structs<Candidate>(from.getCandidates(), "candidates", kCandidatesMax);
  to.candidates_left_out = from.getCandidatesLeftOut();
  if (from.hasWinner()) to.winner = get_id<certs::MemberId>(from.getWinner(), "winner");
  get(from.getGrant(), to.grant);
}

}  // namespace codec

ByteString encode_body(const Ticket& ticket) { return codec::encode_value<schema::Ticket>(ticket); }
Result<Ticket> decode_ticket(ByteView body) { return codec::decode_value<schema::Ticket, Ticket>(body, 4096, "a ticket"); }
ByteString encode_body(const DecisionRecord& decision) { return codec::encode_value<schema::DecisionRecord>(decision); }
Result<DecisionRecord> decode_decision(ByteView body) {
  return codec::decode_value<schema::DecisionRecord, DecisionRecord>(body, certs::kSignedBodyLimit, "a decision");
}

}  // namespace tomogrid::wire
