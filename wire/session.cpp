#include "wire/session.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "certs/roles.h"

namespace tomogrid::wire {

namespace {

template <class... Kinds>
bool is_any(const Message& message) {
  return (std::holds_alternative<Kinds>(message) || ...);
}

certs::CertificateChain chain_of(const Hello& hello, std::string& wrong) {
  certs::CertificateChain chain;
  for (const ByteString& link : hello.chain) {
    auto record = certs::decode_signed(link);
    if (!record) {
      wrong = record.error().message;
      return {};
    }
    chain.links.push_back(std::move(*record));
  }
  return chain;
}

// Whether the newest list names any certificate of the chain. For the code only: verify_chain() has refused it already.
bool names_revoked(const certs::CertificateChain& chain, const certs::RevocationList& revocations) {
  return std::any_of(chain.links.begin(), chain.links.end(), [&](const certs::Signed& link) {
    const auto certificate = certs::decode_certificate(link.body);
    return certificate && (revocations.revokes(certificate->serial) || revocations.revokes(certificate->member()) ||
                           revocations.revokes(certificate->transport_key));
  });
}

std::string clocks_text(WallTime ours, WallTime theirs) {
  const double apart = static_cast<double>(std::llabs((theirs - ours).count())) / 1000;
  return "clock differs by " + human_seconds(apart) + ": " + iso_time(ours.unix_ms) + " here, " + iso_time(theirs.unix_ms) +
         " there";
}

}  // namespace

bool is_session_message(const Message& message) { return is_any<Greet, Hello, Welcome, RevocationList, Bye>(message); }
bool is_stream_message(const Message& message) { return is_any<StreamCredit, StreamEnd, StreamDone, StreamAbort>(message); }
bool is_bulk_message(const Message& message) { return is_any<Join, Joined, ChunkHeader>(message); }

Session::Session(Self self, Nonce nonce, Instant deadline, State state)
    : self_(self), nonce_(nonce), deadline_(deadline), state_(state) {}

Session Session::client(Self self, Target target, Nonce nonce, Instant deadline) {
  Session session(self, nonce, deadline, State::Greeting);
  session.key_ = target.transport_key;
  session.target_ = std::move(target);
  return session;
}

Session Session::server(Self self, certs::TransportPublicKey key, SessionId id, Nonce nonce, std::uint16_t bulk_port,
                        Instant deadline) {
  Session session(self, nonce, deadline, State::AwaitingGreet);
  session.server_ = true;
  session.key_ = key;
  session.session_ = id;
  session.bulk_port_ = bulk_port;
  return session;
}

SessionEffects Session::start() {
  if (state_ != State::Greeting) return {};
  return {SaySession{Greet{{kProtocolVersion}}}};
}

SessionEffects Session::handle(const Now& now, const Message& message) {
  if (state_ == State::Closed) return {};
  if (const auto* bye = std::get_if<Bye>(&message)) {
    state_ = State::Closed;
    return {SessionEnd{bye->code, bye->reason, true}};
  }
  if (const auto* greet = std::get_if<Greet>(&message); greet != nullptr && state_ == State::AwaitingGreet) {
    SessionEffects effects = on_greet(*greet);
    if (state_ == State::AwaitingHello) effects.push_back(SaySession{own_hello(now)});
    return effects;
  }
  if (const auto* hello = std::get_if<Hello>(&message);
      hello != nullptr && (state_ == State::Greeting || state_ == State::AwaitingHello)) {
    return on_hello(now, *hello);
  }
  if (const auto* welcome = std::get_if<Welcome>(&message); welcome != nullptr && state_ == State::Helloing) {
    return on_welcome(now, *welcome);
  }
  if (const auto* list = std::get_if<RevocationList>(&message); list != nullptr && state_ == State::Open) {
    return on_revocations(*list);
  }
  return refuse("protocol", "a " + std::string(name_of(message)) + " has no place here");
}

SessionEffects Session::on_greet(const Greet& greet) {
  if (std::find(greet.versions.begin(), greet.versions.end(), kProtocolVersion) == greet.versions.end()) {
    std::string theirs;
    for (const std::uint16_t version : greet.versions) theirs += (theirs.empty() ? "" : ", ") + std::to_string(version);
    return refuse("version", "no protocol version in common: " + std::to_string(kProtocolVersion) + " here, " + theirs +
                                 " there; update the older program");
  }
  state_ = State::AwaitingHello;
  return {};
}

Hello Session::own_hello(const Now& now) const {
  Hello hello;
  hello.federation = self_.identity.federation();
  for (const certs::Signed& link : self_.identity.chain().links) hello.chain.push_back(certs::encode(link));
  hello.wall = now.wall;
  hello.revocation_number = self_.revocations.number;
  hello.nonce = nonce_;
  return hello;
}

std::optional<SessionEnd> Session::judge(const Now& now, const Hello& hello, SessionEffects& effects) {
  if (hello.version != kProtocolVersion) return SessionEnd{"version", "hello of protocol version " + std::to_string(hello.version)};
  if (hello.federation != self_.identity.federation()) {
    return SessionEnd{"federation", "federation " + hello.federation + " there, " + self_.identity.federation() + " here"};
  }
  const auto apart = std::chrono::milliseconds(std::llabs((hello.wall - now.wall).count()));
  if (apart > kClockRefused) return SessionEnd{"clock", clocks_text(now.wall, hello.wall) + "; set the wrong one"};
  if (apart > kClockShown) effects.push_back(SessionNotice{"clock.differs", clocks_text(now.wall, hello.wall)});

  std::string wrong;
  certs::CertificateChain chain = chain_of(hello, wrong);
  if (!wrong.empty()) return SessionEnd{"certificate", wrong};
  auto verified = certs::verify_chain(chain, self_.identity.anchor(),
                                      certs::judged_time(now.wall, self_.revocations.issued), self_.revocations);
  if (!verified) {
    return SessionEnd{names_revoked(chain, self_.revocations) ? "revoked" : "certificate", verified.error().message};
  }
  if (verified->certificate.transport_key != key_) {
    return SessionEnd{"key", "the certificate of " + verified->certificate.subject + " is for another transport key than this connection's"};
  }
  if (target_ && !verified->certificate.roles.contains(target_->role)) {
    return SessionEnd{"role", verified->certificate.subject + " is " + certs::to_string(verified->certificate.roles) + ", not " +
                                  std::string(certs::to_string(target_->role))};
  }
  if (target_ && target_->member && *target_->member != verified->member) {
    return SessionEnd{"subject", verified->certificate.subject + " (" + certs::short_text(verified->member) + ") answers, not " +
                                     certs::short_text(*target_->member)};
  }
  peer_ = std::move(*verified);
  chain_ = std::make_shared<const certs::CertificateChain>(std::move(chain));
  peer_list_ = hello.revocation_number;
  return std::nullopt;
}

SessionEffects Session::on_hello(const Now& now, const Hello& hello) {
  SessionEffects effects;
  if (auto end = judge(now, hello, effects)) {
    for (SessionEffect& effect : refuse(end->code, end->reason)) effects.push_back(std::move(effect));
    return effects;
  }
  if (!server_) {
    state_ = State::Helloing;
    effects.push_back(SaySession{own_hello(now)});
    return effects;
  }
  effects.push_back(SaySession{Welcome{session_, bulk_port_}});
  open_now(now, effects);
  return effects;
}

SessionEffects Session::on_welcome(const Now& now, const Welcome& welcome) {
  session_ = welcome.session;
  bulk_port_ = welcome.bulk_port;
  SessionEffects effects;
  open_now(now, effects);
  return effects;
}

void Session::open_now(const Now& now, SessionEffects& effects) {
  state_ = State::Open;
  // From here the deadline is the end of the certificate.
  deadline_ = now.instant + std::max(Duration::zero(), Duration(peer_->valid_until - now.wall));
  effects.push_back(SessionUp{*peer_, chain_, session_, bulk_port_});
  hand_on_revocations(effects);
}

void Session::hand_on_revocations(SessionEffects& effects) {
  if (self_.revocations.number <= peer_list_ || !self_.revocation_record) return;
  peer_list_ = self_.revocations.number;
  effects.push_back(SaySession{RevocationList{certs::encode(*self_.revocation_record)}});
}

SessionEffects Session::on_revocations(const RevocationList& list) {
  auto record = certs::decode_signed(list.signed_list);
  if (!record || record->kind != certs::kinds::revocations) return refuse("protocol", "what was sent is not a revocation list");
  const auto body = certs::decode_revocations(record->body);
  if (!body) return refuse("protocol", body.error().message);
  peer_list_ = std::max(peer_list_, body->number);
  if (body->number <= self_.revocations.number) return {};      // crossed with a newer one: nothing to do
  return {AdoptRevocations{std::move(*record)}};
}

SessionEffects Session::revocations_changed() {
  if (state_ != State::Open) return {};
  if (self_.revocations.revokes(peer_->member) || self_.revocations.revokes(peer_->certificate.serial) ||
      self_.revocations.revokes(key_)) {
    return refuse("revoked", "the certificate of " + peer_->certificate.subject + " was revoked");
  }
  SessionEffects effects;
  hand_on_revocations(effects);
  return effects;
}

SessionEffects Session::advance(const Now& now) {
  if (state_ == State::Closed || now.instant < deadline_) return {};
  if (state_ != State::Open) return refuse("timeout", "no session within the time for it");
  if (now.wall < peer_->valid_until) {                           // the clock was set back meanwhile
    deadline_ = now.instant + Duration(peer_->valid_until - now.wall);
    return {};
  }
  return refuse("certificate", "the certificate of " + peer_->certificate.subject + " has expired; renew it");
}

std::optional<Instant> Session::next_deadline() const {
  if (state_ == State::Closed) return std::nullopt;
  return deadline_;
}

SessionEffects Session::end(std::string code, std::string reason) {
  if (state_ == State::Closed) return {};
  return refuse(std::move(code), std::move(reason));
}

SessionEffects Session::refuse(std::string code, std::string reason) {
  state_ = State::Closed;
  return {SaySession{Bye{code, reason}}, SessionEnd{code, reason, false}};
}

}  // namespace tomogrid::wire
