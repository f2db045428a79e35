// How two members come to speak, one side of it (docs/protocol.md, "Session"): greet, hello, hello, welcome; then only
// revocation lists and bye. Pure state machine: no sockets, no clock, no files, no randomness.
//
//   client: Greeting -> Helloing -> Open -> Closed          server: AwaitingGreet -> AwaitingHello -> Open -> Closed
//
// The other side's word is judged in this order, each refusal by its own code: "protocol", "version", "federation", "clock",
// "certificate" (form, signatures, validity), "revoked", "key" (the leaf's transport key is not the key of this
// connection), "role", "subject". After Closed every call returns nothing.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "certs/certificate.h"
#include "certs/identity.h"
#include "certs/revocation.h"
#include "wire/machine.h"
#include "wire/messages.h"

namespace tomogrid::wire {

inline constexpr std::chrono::milliseconds kClockShown{60'000};
inline constexpr std::chrono::milliseconds kClockRefused{300'000};

// Who speaks: this process. What it refers to outlives the session; the list may grow meanwhile.
struct Self {
  const certs::Identity& identity;
  const certs::RevocationList& revocations;
  const std::optional<certs::Signed>& revocation_record;   // the same as signed, to hand on
};

// ---- Effects -------------------------------------------------------------------------------------------------------------
// The other side has proved who it is, and the session stands.
struct SessionUp {
  certs::Verified peer;
  std::shared_ptr<const certs::CertificateChain> chain;   // as the peer showed it
  SessionId session{};
  std::uint16_t bulk_port = 0;       // client only: the peer's
};
struct SaySession { Message message; };
// A list newer than ours: hand it to certs::RevocationStore::offer(), and then call revocations_changed() on every session.
struct AdoptRevocations { certs::Signed record; };
// Shown to people: "clock.differs".
struct SessionNotice { std::string event; std::string text; };
// Over. A bye has been said, or heard (`by_peer`).
struct SessionEnd { std::string code; std::string reason; bool by_peer = false; };
using SessionEffect = std::variant<SessionUp, SaySession, AdoptRevocations, SessionNotice, SessionEnd>;
using SessionEffects = std::vector<SessionEffect>;

class Session final {
 public:
  enum class State { Greeting, Helloing, AwaitingGreet, AwaitingHello, Open, Closed };
  using Nonce = std::array<std::uint8_t, 32>;

  // Client: `target` is whom we dial. `deadline`: Open by then, or ended.
  static Session client(Self self, Target target, Nonce nonce, Instant deadline);
  // Server: `key` is the CURVE key of the connection (User-Id). `session` and `nonce` are fresh and random.
  static Session server(Self self, certs::TransportPublicKey key, SessionId session, Nonce nonce, std::uint16_t bulk_port,
                        Instant deadline);

  // Client: says greet. Server: nothing.
  SessionEffects start();
  // While not Open: every message, and what has no place then is refused. Once Open: those of is_session_message().
  SessionEffects handle(const Now& now, const Message& message);
  SessionEffects advance(const Now& now);
  std::optional<Instant> next_deadline() const;
  // Our list grew: ends the session when it names the peer; otherwise hands the list on if the peer's is older.
  SessionEffects revocations_changed();
  // Says bye.
  SessionEffects end(std::string code, std::string reason);

  State state() const { return state_; }
  bool open() const { return state_ == State::Open; }
  const std::optional<certs::Verified>& peer() const { return peer_; }
  const SessionId& id() const { return session_; }

 private:
  Session(Self self, Nonce nonce, Instant deadline, State state);
  SessionEffects on_greet(const Greet& greet);
  SessionEffects on_hello(const Now& now, const Hello& hello);
  SessionEffects on_welcome(const Now& now, const Welcome& welcome);
  SessionEffects on_revocations(const RevocationList& list);
  SessionEffects refuse(std::string code, std::string reason);
  std::optional<SessionEnd> judge(const Now& now, const Hello& hello, SessionEffects& effects);
  Hello own_hello(const Now& now) const;
  void open_now(const Now& now, SessionEffects& effects);
  void hand_on_revocations(SessionEffects& effects);

  Self self_;
  Nonce nonce_;
  Instant deadline_;
  State state_;
  bool server_ = false;
  std::optional<Target> target_;             // client
  certs::TransportPublicKey key_;            // of the other end of the connection
  SessionId session_{};
  std::uint16_t bulk_port_ = 0;
  std::optional<certs::Verified> peer_;
  std::shared_ptr<const certs::CertificateChain> chain_;
  std::uint64_t peer_list_ = 0;              // number of the newest list that the peer has, or was sent
};

// Greet, Hello, Welcome, RevocationList, Bye.
bool is_session_message(const Message& message);
// StreamCredit, StreamEnd, StreamDone, StreamAbort: handled between sessions and roles.
bool is_stream_message(const Message& message);
// Join, Joined, ChunkHeader: never on a control connection.
bool is_bulk_message(const Message& message);

}  // namespace tomogrid::wire
