// Private to this folder: Cap'n Proto bodies as bytes and back, whole, inside one try.
#pragma once

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/array.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "base/quantity.h"
#include "base/result.h"
#include "base/text.h"

namespace tomogrid::certs {

// What a decoder throws for a body that is well-formed Cap'n Proto and still wrong; becomes BadInput.
struct MalformedBody final : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class Schema, class Fill>
ByteString encode_canonical(Fill&& fill) {
  ::capnp::MallocMessageBuilder message;
  auto root = message.initRoot<Schema>();
  fill(root);
  const kj::Array<::capnp::word> words = ::capnp::canonicalize(root.asReader());
  const auto bytes = words.asBytes();
  return ByteString(bytes.begin(), bytes.end());
}

// Decodes with `read` (Schema::Reader -> Value; throws MalformedBody), then encodes again and compares: the only bytes
// accepted for a value are the ones this program would write. That refuses trailing bytes, padding, unknown fields and
// other orders at once. Cap'n Proto validates lazily and throws from any getter, so everything is read inside this try.
template <class Schema, class Value, class Read>
Result<Value> decode_canonical(ByteView bytes, Bytes limit, const std::string& what, Read&& read) {
  const auto refuse = [&](const std::string& why) {
    return Error{ErrorCode::BadInput, what + " is malformed: " + why};
  };
  if (bytes.size() > limit.count()) {
    return refuse("it has " + std::to_string(bytes.size()) + " bytes, more than " + std::to_string(limit.count()));
  }
  if (bytes.empty() || bytes.size() % sizeof(::capnp::word) != 0) return refuse("it is cut short");
  // Copied, because words must be aligned. The traversal limit counts every visit: once through is enough, and lists of
  // zero-sized elements (amplification) are charged as well.
  const std::size_t word_count = bytes.size() / sizeof(::capnp::word);
  kj::Array<::capnp::word> words = kj::heapArray<::capnp::word>(word_count);
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  try {
    ::capnp::ReaderOptions options;
    options.traversalLimitInWords = word_count * 4 + 64;
    options.nestingLimit = 8;
    const kj::ArrayPtr<const ::capnp::word> segment = words.asPtr();
    ::capnp::SegmentArrayMessageReader message(kj::arrayPtr(&segment, 1), options);
    Value value = read(message.getRoot<Schema>());
    const ByteString again = encode(value);
    if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) {
      return refuse("its bytes are not the canonical form of what they say");
    }
    return value;
  } catch (const MalformedBody& wrong) {
    return refuse(wrong.what());
  } catch (const kj::Exception& wrong) {
    return refuse(std::string(wrong.getDescription().cStr()));
  }
}

template <std::size_t N>
std::array<std::uint8_t, N> fixed_bytes(::capnp::Data::Reader data, const char* field) {
  if (data.size() != N) throw MalformedBody(std::string(field) + " has " + std::to_string(data.size()) + " bytes");
  std::array<std::uint8_t, N> bytes{};
  std::copy(data.begin(), data.end(), bytes.begin());
  return bytes;
}

template <class Array>
::capnp::Data::Reader data_of(const Array& bytes) {
  return {bytes.data(), bytes.size()};
}

}  // namespace tomogrid::certs
