// A session that hears whatever can be decoded: frames of two bytes of length and content, one after another. Nobody here holds a
// key of the federation, so no session may ever stand.
#include <cstdlib>
#include <memory>
#include <optional>

#include "certs/authority.h"
#include "wire/session.h"

namespace {

using namespace tomogrid;
using namespace tomogrid::wire;

struct Member {
  certs::Authority authority{"north", certs::SecretKeys::from_seed({1})};
  std::unique_ptr<certs::Identity> identity =
      certs::make_identity(authority, "node", certs::Role::Node, {1'790'000'000'000}, certs::SecretKeys::from_seed({2})).or_throw();
  certs::RevocationList list;
  std::optional<certs::Signed> record;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Member member;
  if (size == 0) return 0;
  const Self self{*member.identity, member.list, member.record};
  const Instant deadline{std::chrono::seconds(5)};
  Target target;
  target.transport_key.bytes[0] = 1;
  Session session = data[0] % 2 == 0 ? Session::server(self, {}, {}, {}, 1, deadline) : Session::client(self, target, {}, deadline);
  (void)session.start();
  Now now{Instant{std::chrono::seconds(1)}, {1'790'000'000'000}};
  for (std::size_t at = 1; at + 2 <= size;) {
    const std::size_t length = data[at] | std::size_t{data[at + 1]} << 8;
    at += 2;
    const ByteView frame(data + at, std::min(length, size - at));
    at += frame.size();
    const auto message = decode(frame);
    if (!message) continue;
    for (const SessionEffect& effect : session.handle(now, *message)) {
      if (std::holds_alternative<SessionUp>(effect)) std::abort();
      if (const auto* said = std::get_if<SaySession>(&effect); said != nullptr && !decode(encode(said->message))) std::abort();
    }
    now.instant += std::chrono::milliseconds(100);
    (void)session.advance(now);
  }
  return 0;
}
