#include "wire/messages/stream.h"

#include "wire/messages/codecs.h"

namespace tomogrid::wire::codec {

void put(schema::StreamOffer::Builder to, const StreamOffer& from) {
  to.setJob(data_of(from.key.job.bytes));
  to.setName(from.key.name);
  to.setGeneration(from.key.generation);
  to.setNumber(from.number);
  to.setLength(from.length);
}
void get(schema::StreamOffer::Reader from, StreamOffer& to) {
  to.key.job = get_id<job::JobId>(from.getJob(), "job");
  to.key.name = get_name(from.getName(), "name");
  to.key.generation = from.getGeneration();
  to.number = from.getNumber();
  to.length = from.getLength();
  if (to.length > kStreamLimit) refuse("length", "is over 1 TiB");
}

void put(schema::StreamCredit::Builder to, const StreamCredit& from) {
  to.setNumber(from.number);
  to.setPrefix(from.prefix);
  to.setBitmap(data_of(from.bitmap));
  to.setCredit(from.credit);
}
void get(schema::StreamCredit::Reader from, StreamCredit& to) {
  to.number = from.getNumber();
  to.prefix = from.getPrefix();
  to.bitmap = get_bytes(from.getBitmap(), "bitmap", kBitmapLimit);
  to.credit = from.getCredit();
}

void put(schema::StreamEnd::Builder to, const StreamEnd& from) {
  to.setNumber(from.number);
  to.setLength(from.length);
  to.setRoot(data_of(from.root));
}
void get(schema::StreamEnd::Reader from, StreamEnd& to) {
  to.number = from.getNumber();
  to.length = from.getLength();
  to.root = get_fixed<32>(from.getRoot(), "root");
}

void put(schema::StreamDone::Builder to, const StreamDone& from) { to.setNumber(from.number); }
void get(schema::StreamDone::Reader from, StreamDone& to) { to.number = from.getNumber(); }

void put(schema::StreamAbort::Builder to, const StreamAbort& from) {
  to.setNumber(from.number);
  to.setFromSender(from.from_sender);
  to.setCode(from.code);
  to.setReason(sentence(from.reason));
}
void get(schema::StreamAbort::Reader from, StreamAbort& to) {
  to.number = from.getNumber();
  to.from_sender = from.getFromSender();
  to.code = get_word(from.getCode(), "code", kWordLimit);
  to.reason = get_sentence(from.getReason(), "reason");
}

void put(schema::Join::Builder to, const Join& from) { to.setSession(data_of(from.session)); }
void get(schema::Join::Reader from, Join& to) { to.session = get_fixed<16>(from.getSession(), "session"); }

void put(schema::Joined::Builder, const Joined&) {}
void get(schema::Joined::Reader, Joined&) {}

void put(schema::ChunkHeader::Builder to, const ChunkHeader& from) {
  to.setNumber(from.number);
  to.setOffset(from.offset);
  to.setLength(from.length);
}
void get(schema::ChunkHeader::Reader from, ChunkHeader& to) {
  to.number = from.getNumber();
  to.offset = from.getOffset();
  to.length = from.getLength();
  if (to.length == 0 || to.length > kChunkLimit) refuse("chunk", "has " + std::to_string(to.length) + " bytes");
}

}  // namespace tomogrid::wire::codec
