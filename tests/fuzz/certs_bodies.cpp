// Every decoder of certs/ for bytes from the network. The first byte picks it. What decodes must encode to the same
// bytes.
#include <cstdlib>

#include "certs/certificate.h"
#include "certs/revocation.h"

namespace {

using tomogrid::ByteView;

template <class Value>
void hold(const tomogrid::Result<Value>& value, ByteView bytes) {
  if (!value) return;
  const tomogrid::ByteString again = encode(*value);
  if (!std::equal(again.begin(), again.end(), bytes.begin(), bytes.end())) std::abort();
}

// Nobody holds the key of this anchor, so nothing may ever verify.
void must_not_verify(const tomogrid::certs::CertificateChain& chain) {
  const tomogrid::certs::Anchor anchor{"north", {}};
  if (verify_chain(chain, anchor, {1'790'000'000'000}, {}).has_value()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::certs;
  if (size == 0) return 0;
  const ByteView bytes(data + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      hold(decode_certificate(bytes), bytes);
      break;
    case 1:
      hold(decode_request(bytes), bytes);
      break;
    case 2:
      hold(decode_revocations(bytes), bytes);
      break;
    case 3:
      hold(decode_anchor(bytes), bytes);
      break;
    case 4:
      hold(decode_signed(bytes), bytes);
      break;
    default: {
      const auto chain = decode_chain(bytes);
      hold(chain, bytes);
      if (chain) must_not_verify(*chain);
    }
  }
  return 0;
}
