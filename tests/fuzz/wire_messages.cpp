// The decoders of frames and signed bodies. What decodes must encode to the same bytes. The first byte picks the decoder.
#include <algorithm>
#include <cstdlib>

#include "wire/messages.h"

namespace {

using tomogrid::ByteView;

template <class Value, class Encode>
void hold(const tomogrid::Result<Value>& value, ByteView bytes, Encode encode) {
  if (!value) return;
  const tomogrid::ByteString again = encode(*value);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::wire;
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  const auto body = [](const auto& value) { return encode_body(value); };
  switch (data[0] % 8) {
    case 1: hold(decode_advert(bytes), bytes, body); break;
    case 2: hold(decode_ticket(bytes), bytes, body); break;
    case 3: hold(decode_decision(bytes), bytes, body); break;
    case 4: hold(decode_receipt(bytes), bytes, body); break;
    default: hold(decode(bytes), bytes, [](const Message& message) { return encode(message); });
  }
  return 0;
}
