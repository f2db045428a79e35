// Private to this folder: put(builder, value) and get(reader, value) of every message, in the file of its group.
#pragma once

#include "job.capnp.h"
#include "placement.capnp.h"
#include "registry.capnp.h"
#include "session.capnp.h"
#include "stream.capnp.h"
#include "wire/messages/codec.h"
#include "wire/messages/job.h"
#include "wire/messages/placement.h"
#include "wire/messages/registry.h"
#include "wire/messages/session.h"
#include "wire/messages/stream.h"

namespace tomogrid::wire::codec {

// Each pair: get() throws Malformed or kj::Exception.
#define TOMOGRID_WIRE_CODEC(Name)                 \
  void put(schema::Name::Builder to, const Name& from); \
  void get(schema::Name::Reader from, Name& to);

TOMOGRID_WIRE_CODEC(Greet)
TOMOGRID_WIRE_CODEC(Hello)
TOMOGRID_WIRE_CODEC(Welcome)
TOMOGRID_WIRE_CODEC(RevocationList)
TOMOGRID_WIRE_CODEC(Bye)
TOMOGRID_WIRE_CODEC(Advert)
TOMOGRID_WIRE_CODEC(Announce)
TOMOGRID_WIRE_CODEC(Renew)
TOMOGRID_WIRE_CODEC(Withdraw)
TOMOGRID_WIRE_CODEC(LeaseGranted)
TOMOGRID_WIRE_CODEC(LeaseRefused)
TOMOGRID_WIRE_CODEC(Watch)
TOMOGRID_WIRE_CODEC(Listing)
TOMOGRID_WIRE_CODEC(Snapshot)
TOMOGRID_WIRE_CODEC(Changed)
TOMOGRID_WIRE_CODEC(Lost)
TOMOGRID_WIRE_CODEC(Pulse)
TOMOGRID_WIRE_CODEC(Place)
TOMOGRID_WIRE_CODEC(CancelPlace)
TOMOGRID_WIRE_CODEC(Waiting)
TOMOGRID_WIRE_CODEC(Placed)
TOMOGRID_WIRE_CODEC(Unplaceable)
TOMOGRID_WIRE_CODEC(Ticket)
TOMOGRID_WIRE_CODEC(Reserve)
TOMOGRID_WIRE_CODEC(Reserved)
TOMOGRID_WIRE_CODEC(ReserveRefused)
TOMOGRID_WIRE_CODEC(Release)
TOMOGRID_WIRE_CODEC(Candidate)
TOMOGRID_WIRE_CODEC(DecisionRecord)
TOMOGRID_WIRE_CODEC(Open)
TOMOGRID_WIRE_CODEC(OpenRefused)
TOMOGRID_WIRE_CODEC(JobStatus)
TOMOGRID_WIRE_CODEC(JobNotice)
TOMOGRID_WIRE_CODEC(Attach)
TOMOGRID_WIRE_CODEC(CancelJob)
TOMOGRID_WIRE_CODEC(Fetch)
TOMOGRID_WIRE_CODEC(Collected)
TOMOGRID_WIRE_CODEC(Wiped)
TOMOGRID_WIRE_CODEC(JobRefused)
TOMOGRID_WIRE_CODEC(ListJobs)
TOMOGRID_WIRE_CODEC(JobList)
TOMOGRID_WIRE_CODEC(Drain)
TOMOGRID_WIRE_CODEC(Drained)
TOMOGRID_WIRE_CODEC(Receipt)
TOMOGRID_WIRE_CODEC(StreamOffer)
TOMOGRID_WIRE_CODEC(StreamCredit)
TOMOGRID_WIRE_CODEC(StreamEnd)
TOMOGRID_WIRE_CODEC(StreamDone)
TOMOGRID_WIRE_CODEC(StreamAbort)
TOMOGRID_WIRE_CODEC(Join)
TOMOGRID_WIRE_CODEC(Joined)
TOMOGRID_WIRE_CODEC(ChunkHeader)
#undef TOMOGRID_WIRE_CODEC

// Of job/, shared by several groups.
void put(schema::ServiceName::Builder to, const job::ServiceName& from);
void get(schema::ServiceName::Reader from, job::ServiceName& to);
void put(schema::Needs::Builder to, const job::Needs& from);
void get(schema::Needs::Reader from, job::Needs& to);
void put(schema::Grant::Builder to, const job::Grant& from);
void get(schema::Grant::Reader from, job::Grant& to);

template <class IdType>
IdType get_id(::capnp::Data::Reader data, const char* field) {
  return IdType{get_fixed<sizeof(IdType)>(data, field)};
}

// Structs within structs and lists.
template <class Value, class Reader>
Value get_value(Reader from) {
  Value value;
  get(from, value);
  return value;
}
template <class List, class Values>
void put_structs(List list, const Values& values) {
  put_each(list, values, [](List& to, unsigned i, const auto& value) { put(to[i], value); });
}
template <class Value, class List>
std::vector<Value> get_structs(const List& list, const char* field, std::size_t limit) {
  return get_each<Value>(list, field, limit, [](auto entry) { return get_value<Value>(entry); });
}
template <class List>
void put_texts(List list, const std::vector<std::string>& texts) {
  put_each(list, texts, [](List& to, unsigned i, const std::string& text) { to.set(i, text); });
}
template <class List, class Ids>
void put_ids(List list, const Ids& ids) {
  put_each(list, ids, [](List& to, unsigned i, const auto& id) { to.set(i, data_of(id.bytes)); });
}
// An encoded certs::Signed as Data.
template <class Set>
void put_signed(Set&& set, const certs::Signed& record) {
  const ByteString bytes = certs::encode(record);
  set(data_of(bytes));
}

// The signed bodies share one way in and out.
template <class Schema, class Value>
ByteString encode_value(const Value& value) {
  return encode_root<Schema>([&](typename Schema::Builder to) { put(to, value); });
}
template <class Schema, class Value>
Result<Value> decode_value(ByteView body, std::size_t limit, const char* what) {
  return decode_root<Schema, Value>(body, limit, what, [](typename Schema::Reader from) { return get_value<Value>(from); },
                                    [](const Value& value) { return encode_value<Schema>(value); });
}

constexpr unsigned count_of(std::size_t size) { return static_cast<unsigned>(size); }

}  // namespace tomogrid::wire::codec
