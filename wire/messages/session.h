// How two members come to speak: greet, hello, hello, welcome (docs/protocol.md, "Session"). Values only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/text.h"
#include "base/time.h"

namespace tomogrid::wire {

inline constexpr std::uint16_t kProtocolVersion = 1;

// Joins bulk connections to their session. Made by the server of the session; secret between the two.
using SessionId = std::array<std::uint8_t, 16>;

// Client to server, first and in the clear of CURVE only: which protocol versions the client speaks.
struct Greet {
  std::vector<std::uint16_t> versions;
  bool operator==(const Greet&) const = default;
};

// Both ways: the server's first, so that a client can walk away without having said who it is.
struct Hello {
  std::uint16_t version = kProtocolVersion;
  std::string federation;
  std::vector<ByteString> chain;           // leaf first; each an encoded certs::Signed of kind "certificate"; 1 to 3
  WallTime wall;                           // the sender's clock: 60 s apart is shown, 5 min is refused
  std::uint64_t revocation_number = 0;     // of the list the sender holds
  std::array<std::uint8_t, 32> nonce{};    // fresh
  bool operator==(const Hello&) const = default;
};

// Server to client: the session stands.
struct Welcome {
  SessionId session{};
  std::uint16_t bulk_port = 0;             // same host as control; 0: this role has no bulk door
  bool operator==(const Welcome&) const = default;
};

// Either way, after hello: a newer revocation list, as its authority signed it (encoded certs::Signed).
struct RevocationList {
  ByteString signed_list;
  bool operator==(const RevocationList&) const = default;
};

// Either way: the last message of a session. `code` is a stable word ("clock", "certificate", "revoked", "version",
// "federation", "shutdown", "protocol", "idle"); `reason` a sentence for people.
struct Bye {
  std::string code;
  std::string reason;
  bool operator==(const Bye&) const = default;
};

}  // namespace tomogrid::wire
