// What a worker says and hears, work orders, services and parameters. What is believed must come back as the same value.
// The first byte picks the decoder.
#include <cstdlib>
#include <string_view>

#include "job/service.h"
#include "job/worker_protocol.h"

namespace {

template <class Value, class Parse>
void hold(const Value& value, Parse parse) {
  if (!value) return;
  const auto again = parse(encode(*value));
  if (!again || !(*again == *value)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tomogrid::job;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: hold(parse_from_worker(text), parse_from_worker); break;
    case 1: hold(parse_to_worker(text), parse_to_worker); break;
    case 2: hold(parse_work_order(text), parse_work_order); break;
    case 3: (void)parse_service(text); break;
    default:
      if (const auto parameters = parse_parameters(text)) {
        const auto again = parse_parameters(canonical_text(*parameters));
        if (!again || canonical_text(*again) != canonical_text(*parameters)) std::abort();
      }
  }
  return 0;
}
