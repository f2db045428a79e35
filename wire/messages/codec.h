// Private to this folder: how values become one canonical Cap'n Proto segment and back. The only bytes accepted for a value
// are the ones that this program would write, which refuses padding, trailing bytes, unknown fields and other layouts at
// once; what versions mean is settled by greet, before any message that has fields.
#pragma once

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/array.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"
#include "base/time.h"
#include "certs/signed.h"
#include "job/job.h"
#include "wire/messages/bounds.h"

namespace tomogrid::wire::codec {

// Thrown by get() for what is well-formed Cap'n Proto and still wrong; becomes BadInput in decode_root().
struct Malformed final : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] inline void refuse(const char* field, const std::string& why) { throw Malformed(std::string(field) + " " + why); }

// ---- Writing -----------------------------------------------------------------------------------------------------------
template <class Array>
::capnp::Data::Reader data_of(const Array& bytes) {
  return {bytes.data(), bytes.size()};
}
// For sentences: printable, and cut to `limit` at a character, so that no text of ours is ever refused for its length.
std::string sentence(const std::string& text, std::size_t limit = kReasonLimit);

template <class List, class Values, class Put>
void put_each(List list, const Values& values, Put&& put) {
  unsigned i = 0;
  for (const auto& value : values) put(list, i++, value);
}

template <class Schema, class Fill>
ByteString encode_root(Fill&& fill) {
  ::capnp::MallocMessageBuilder message;
  fill(message.initRoot<Schema>());
  const kj::Array<::capnp::word> words = ::capnp::canonicalize(message.getRoot<Schema>().asReader());
  const auto bytes = words.asBytes();
  return ByteString(bytes.begin(), bytes.end());
}

// ---- Reading -----------------------------------------------------------------------------------------------------------
std::string get_name(::capnp::Text::Reader text, const char* field);                        // job::is_name
std::string get_word(::capnp::Text::Reader text, const char* field, std::size_t limit, bool may_be_empty = false);  // visible ASCII
std::string get_sentence(::capnp::Text::Reader text, const char* field, std::size_t limit = kReasonLimit);  // as sentence() leaves it
ByteString get_bytes(::capnp::Data::Reader data, const char* field, std::size_t limit);
double get_number(double value, const char* field);                                         // finite, not negative
WallTime get_wall(std::int64_t unix_ms, const char* field);                                 // 1970 to 9999
std::chrono::milliseconds get_span(std::int64_t ms, const char* field);                     // 0 to ten years
// An encoded certs::Signed of `kind`; the signature is not judged here.
certs::Signed get_signed(::capnp::Data::Reader data, const char* field, std::string_view kind);

template <std::size_t N>
std::array<std::uint8_t, N> get_fixed(::capnp::Data::Reader data, const char* field) {
  if (data.size() != N) refuse(field, "has " + std::to_string(data.size()) + " bytes");
  std::array<std::uint8_t, N> bytes{};
  std::copy(data.begin(), data.end(), bytes.begin());
  return bytes;
}

template <class Enum>
Enum get_enum(std::uint8_t value, Enum last, const char* field) {
  if (value > static_cast<std::uint8_t>(last)) refuse(field, "has the unknown value " + std::to_string(value));
  return static_cast<Enum>(value);
}

// Checks the count before anything is allocated.
template <class Value, class List, class Get>
std::vector<Value> get_each(const List& list, const char* field, std::size_t limit, Get&& get) {
  if (list.size() > limit) refuse(field, "has " + std::to_string(list.size()) + " entries");
  std::vector<Value> values;
  values.reserve(list.size());
  for (auto&& entry : list) values.push_back(get(entry));
  return values;
}

// `write(value)` is this value's encoder. Cap'n Proto validates lazily and throws from any getter, so everything is read
// inside this one try. The traversal limit counts every visit: once through is enough, and lists of zero-sized elements
// (amplification) are charged as well.
template <class Schema, class Value, class Read, class Write>
Result<Value> decode_root(ByteView bytes, std::size_t limit, const char* what, Read&& read, Write&& write) {
  const auto refused = [&](const std::string& why) { return Error{ErrorCode::BadInput, std::string(what) + " is malformed: " + why}; };
  if (bytes.size() > limit) {
    return refused("it has " + std::to_string(bytes.size()) + " bytes, more than " + std::to_string(limit));
  }
  if (bytes.empty() || bytes.size() % sizeof(::capnp::word) != 0) return refused("it is cut short");
  const std::size_t count = bytes.size() / sizeof(::capnp::word);
  kj::Array<::capnp::word> words = kj::heapArray<::capnp::word>(count);   // copied: words must be aligned
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  try {
    ::capnp::ReaderOptions options;
    options.traversalLimitInWords = count * 4 + 64;
    options.nestingLimit = 8;
    const kj::ArrayPtr<const ::capnp::word> segment = words.asPtr();
    ::capnp::SegmentArrayMessageReader message(kj::arrayPtr(&segment, 1), options);
    Value value = read(message.getRoot<Schema>());
    const ByteString again = write(value);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
      return refused("its bytes are not the canonical form of what they say");
    }
    return value;
  } catch (const Malformed& wrong) {
    return refused(wrong.what());
  } catch (const kj::Exception& wrong) {
    return refused(std::string(wrong.getDescription().cStr()));
  }
}

}  // namespace tomogrid::wire::codec
