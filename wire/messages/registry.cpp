#include "wire/messages/registry.h"

#include "wire/messages/codecs.h"

namespace tomogrid::wire {

namespace codec {

void put(schema::ServiceName::Builder to, const job::ServiceName& from) {
  to.setName(from.name);
  to.setVersion(from.version);
}
void get(schema::ServiceName::Reader from, job::ServiceName& to) {
  to.name = get_name(from.getName(), "service");
  to.version = from.getVersion();
  if (to.version < 1 || to.version > 65535) refuse("service", "has no version from 1 to 65535");
}

namespace {

void put(schema::Route::Builder to, const Route& from) {
  to.setKind(from.kind);
  to.setHost(from.host);
  to.setControlPort(from.control_port);
}
void get(schema::Route::Reader from, Route& to) {
  to.kind = get_word(from.getKind(), "route kind", kWordLimit);
  to.host = get_word(from.getHost(), "host", kHostLimit);
  to.control_port = from.getControlPort();
}

}  // namespace

void put(schema::Advert::Builder to, const Advert& from) {
  to.setNode(data_of(from.node.bytes));
  to.setName(from.name);
  to.setBoot(from.boot);
  to.setSequence(from.sequence);
  to.setTransportKey(data_of(from.transport_key.bytes));
  put_each(to.initRoutes(count_of(from.routes.size())), from.routes,
           [](auto& list, unsigned i, const Route& route) { put(list[i], route); });
  put_structs(to.initServices(count_of(from.services.size())), from.services);
  put_texts(to.initLabels(count_of(from.labels.size())), from.labels);
  to.setCoresTotal(from.cores_total);
  to.setCoresFree(from.cores_free);
  to.setCoresPerJobMax(from.cores_per_job_max);
  to.setRatePerCore(from.rate_per_core.count() + 0.0);
  to.setMemoryFree(from.memory_free.count());
  to.setScratchFree(from.scratch_free.count());
  to.setDraining(from.draining);
  put_ids(to.initRecentTickets(count_of(from.recent_tickets.size())), from.recent_tickets);
  to.setJobsRunning(from.jobs_running);
  to.setJobsQueued(from.jobs_queued);
  to.setIssuedMs(from.issued.unix_ms);
  to.setSoftware(from.software);
  to.setSigningKey(data_of(from.signing_key.bytes));
  to.setMemoryTotal(from.memory_total.count());
  to.setScratchTotal(from.scratch_total.count());
}
void get(schema::Advert::Reader from, Advert& to) {
  to.node = get_id<certs::MemberId>(from.getNode(), "node");
  to.name = get_name(from.getName(), "name");
  to.boot = from.getBoot();
  to.sequence = from.getSequence();
  to.transport_key = get_id<certs::TransportPublicKey>(from.getTransportKey(), "transport key");
  to.routes = get_each<Route>(from.getRoutes(), "routes", kRoutesMax, [](schema::Route::Reader entry) {
    Route route;
    get(entry, route);
    return route;
  });
  to.services = get_structs<job::ServiceName>(from.getServices(), "services", kServicesMax);
  to.labels = get_each<std::string>(from.getLabels(), "labels", kLabelsMax,
                                    [](::capnp::Text::Reader text) { return get_word(text, "label", kWordLimit); });
  to.cores_total = from.getCoresTotal();
  to.cores_free = from.getCoresFree();
  to.cores_per_job_max = from.getCoresPerJobMax();
  to.rate_per_core = FlopRate(get_number(from.getRatePerCore(), "rate per core"));
  to.memory_free = Bytes(from.getMemoryFree());
  to.scratch_free = Bytes(from.getScratchFree());
  to.draining = from.getDraining();
  to.recent_tickets = get_each<job::TicketId>(from.getRecentTickets(), "recent tickets", kRecentTicketsMax,
                                              [](::capnp::Data::Reader id) { return get_id<job::TicketId>(id, "ticket"); });
  to.jobs_running = from.getJobsRunning();
  to.jobs_queued = from.getJobsQueued();
  to.issued = get_wall(from.getIssuedMs(), "issued");
  to.software = get_word(from.getSoftware(), "software", kWordLimit, true);
  to.signing_key = get_id<certs::SigningPublicKey>(from.getSigningKey(), "signing key");
  to.memory_total = Bytes(from.getMemoryTotal());
  to.scratch_total = Bytes(from.getScratchTotal());
}

void put(schema::Announce::Builder to, const Announce& from) {
  put_signed([&](auto data) { to.setAdvert(data); }, from.advert);
}
void get(schema::Announce::Reader from, Announce& to) { to.advert = get_signed(from.getAdvert(), "advert", certs::kinds::advert); }

void put(schema::Renew::Builder to, const Renew& from) {
  to.setBoot(from.boot);
  to.setSequence(from.sequence);
}
void get(schema::Renew::Reader from, Renew& to) {
  to.boot = from.getBoot();
  to.sequence = from.getSequence();
}

void put(schema::Withdraw::Builder to, const Withdraw& from) { to.setBoot(from.boot); }
void get(schema::Withdraw::Reader from, Withdraw& to) { to.boot = from.getBoot(); }

void put(schema::LeaseGranted::Builder to, const LeaseGranted& from) {
  to.setBoot(from.boot);
  to.setSequence(from.sequence);
  to.setLeaseMs(from.lease.count());
}
void get(schema::LeaseGranted::Reader from, LeaseGranted& to) {
  to.boot = from.getBoot();
  to.sequence = from.getSequence();
  to.lease = get_span(from.getLeaseMs(), "lease");
}

void put(schema::LeaseRefused::Builder to, const LeaseRefused& from) {
  to.setCode(from.code);
  to.setReason(sentence(from.reason));
}
void get(schema::LeaseRefused::Reader from, LeaseRefused& to) {
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.reason = get_sentence(from.getReason(), "reason");
}

void put(schema::Watch::Builder, const Watch&) {}
void get(schema::Watch::Reader, Watch&) {}

void put(schema::Listing::Builder to, const Listing& from) {
  put_signed([&](auto data) { to.setAdvert(data); }, from.advert);
  to.setRemainingMs(from.remaining.count());
}
void get(schema::Listing::Reader from, Listing& to) {
  to.advert = get_signed(from.getAdvert(), "advert", certs::kinds::advert);
  to.remaining = get_span(from.getRemainingMs(), "remaining");
}

void put(schema::Snapshot::Builder to, const Snapshot& from) {
  put_structs(to.initListings(count_of(from.listings.size())), from.listings);
  to.setLast(from.last);
}
void get(schema::Snapshot::Reader from, Snapshot& to) {
  to.listings = get_structs<Listing>(from.getListings(), "listings", kListingsMax);
  to.last = from.getLast();
}

void put(schema::Changed::Builder to, const Changed& from) { put(to.initListing(), from.listing); }
void get(schema::Changed::Reader from, Changed& to) { get(from.getListing(), to.listing); }

void put(schema::Lost::Builder to, const Lost& from) {
  to.setNode(data_of(from.node.bytes));
  to.setBoot(from.boot);
  to.setReason(from.reason);
}
void get(schema::Lost::Reader from, Lost& to) {
  to.node = get_id<certs::MemberId>(from.getNode(), "node");
  to.boot = from.getBoot();
  to.reason = get_word(from.getReason(), "reason", kWordLimit);
}

void put(schema::Pulse::Builder to, const Pulse& from) { to.setNumber(from.number); }
void get(schema::Pulse::Reader from, Pulse& to) { to.number = from.getNumber(); }

}  // namespace codec

ByteString encode_body(const Advert& advert) { return codec::encode_value<schema::Advert>(advert); }
Result<Advert> decode_advert(ByteView body) { return codec::decode_value<schema::Advert, Advert>(body, kAdvertLimit, "an advert"); }

}  // namespace tomogrid::wire
