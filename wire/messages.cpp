#include "wire/messages.h"

#include "message.capnp.h"
#include "wire/messages/codecs.h"

namespace tomogrid::wire {

namespace {

// Every message once: its type, its accessors and tag in message.capnp, its name in logs and diagrams.
#define TOMOGRID_WIRE_MESSAGES(X)                         \
  X(Greet, GREET, "greet")                                \
  X(Hello, HELLO, "hello")                                \
  X(Welcome, WELCOME, "welcome")                          \
  X(RevocationList, REVOCATION_LIST, "revocations")       \
  X(Bye, BYE, "bye")                                      \
  X(Announce, ANNOUNCE, "announce")                       \
  X(Renew, RENEW, "renew")                                \
  X(Withdraw, WITHDRAW, "withdraw")                       \
  X(LeaseGranted, LEASE_GRANTED, "lease-granted")         \
  X(LeaseRefused, LEASE_REFUSED, "lease-refused")         \
  X(Watch, WATCH, "watch")                                \
  X(Snapshot, SNAPSHOT, "snapshot")                       \
  X(Changed, CHANGED, "changed")                          \
  X(Lost, LOST, "lost")                                   \
  X(Pulse, PULSE, "pulse")                                \
  X(Place, PLACE, "place")                                \
  X(CancelPlace, CANCEL_PLACE, "cancel-place")            \
  X(Waiting, WAITING, "waiting")                          \
  X(Placed, PLACED, "placed")                             \
  X(Unplaceable, UNPLACEABLE, "unplaceable")              \
  X(Reserve, RESERVE, "reserve")                          \
  X(Reserved, RESERVED, "reserved")                       \
  X(ReserveRefused, RESERVE_REFUSED, "reserve-refused")   \
  X(Release, RELEASE, "release")                          \
  X(Open, OPEN, "open")                                   \
  X(OpenRefused, OPEN_REFUSED, "open-refused")            \
  X(JobStatus, JOB_STATUS, "job-status")                  \
  X(JobNotice, JOB_NOTICE, "job-notice")                  \
  X(Attach, ATTACH, "attach")                             \
  X(CancelJob, CANCEL_JOB, "cancel-job")                  \
  X(Fetch, FETCH, "fetch")                                \
  X(Collected, COLLECTED, "collected")                    \
  X(Wiped, WIPED, "wiped")                                \
  X(JobRefused, JOB_REFUSED, "job-refused")               \
  X(ListJobs, LIST_JOBS, "list-jobs")                     \
  X(JobList, JOB_LIST, "job-list")                        \
  X(Drain, DRAIN, "drain")                                \
  X(Drained, DRAINED, "drained")                          \
  X(StreamOffer, STREAM_OFFER, "stream-offer")            \
  X(StreamCredit, STREAM_CREDIT, "stream-credit")         \
  X(StreamEnd, STREAM_END, "stream-end")                  \
  X(StreamDone, STREAM_DONE, "stream-done")               \
  X(StreamAbort, STREAM_ABORT, "stream-abort")            \
  X(Join, JOIN, "join")                                   \
  X(Joined, JOINED, "joined")                             \
  X(ChunkHeader, CHUNK_HEADER, "chunk")

struct Names {
#define TOMOGRID_WIRE_NAME(Type, Tag, name) \
  std::string_view operator()(const Type&) const { return name; }
  TOMOGRID_WIRE_MESSAGES(TOMOGRID_WIRE_NAME)
#undef TOMOGRID_WIRE_NAME
};

struct Writer {
  schema::Frame::Builder frame;
#define TOMOGRID_WIRE_PUT(Type, Tag, name) \
  void operator()(const Type& message) { codec::put(frame.init##Type(), message); }
  TOMOGRID_WIRE_MESSAGES(TOMOGRID_WIRE_PUT)
#undef TOMOGRID_WIRE_PUT
};

Message read(schema::Frame::Reader frame) {
  switch (frame.which()) {
#define TOMOGRID_WIRE_GET(Type, Tag, name) \
  case schema::Frame::Tag:                 \
    return codec::get_value<Type>(frame.get##Type());
    TOMOGRID_WIRE_MESSAGES(TOMOGRID_WIRE_GET)
#undef TOMOGRID_WIRE_GET
  }
  codec::refuse("message", "is of an unknown kind");
}

ByteString write(const Message& message) {
  return codec::encode_root<schema::Frame>([&](schema::Frame::Builder frame) { std::visit(Writer{frame}, message); });
}

}  // namespace

std::string_view name_of(const Message& message) { return std::visit(Names{}, message); }

ByteString encode(const Message& message) {
  ByteString frame = write(message);
  TOMOGRID_ASSERT(frame.size() <= kControlMessageLimit);
  return frame;
}

bool fits(const Message& message) { return write(message).size() <= kControlMessageLimit; }

std::vector<Snapshot> split_snapshot(const std::vector<Listing>& listings) {
  constexpr std::size_t kOverhead = 256, kPerListing = 64;      // frame, lists and pointers, generously
  std::vector<Snapshot> parts(1);
  std::size_t size = kOverhead;
  for (const Listing& listing : listings) {
    const std::size_t more = certs::encode(listing.advert).size() + kPerListing;
    if (!parts.back().listings.empty() && (size + more > kControlMessageLimit || parts.back().listings.size() == kListingsMax)) {
      parts.back().last = false;
      parts.emplace_back();
      size = kOverhead;
    }
    parts.back().listings.push_back(listing);
    size += more;
  }
  return parts;
}

Result<Message> decode(ByteView frame) {
  return codec::decode_root<schema::Frame, Message>(frame, kControlMessageLimit, "a message", read, write);
}

}  // namespace tomogrid::wire
