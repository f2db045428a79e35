// Both sides of a session without sockets: how it opens, and every refusal by its own reason.
#include "wire/session.h"

#include <gtest/gtest.h>

#include <deque>

#include "base/file.h"
#include "certs/certs.h"

namespace tomogrid::wire {
namespace {

using namespace std::chrono_literals;
using certs::Role;

constexpr WallTime kWall{1'790'000'000'000};   // 2026-09-21
constexpr Instant kStart{std::chrono::seconds(1000)};

std::unique_ptr<certs::SecretKeys> seeded(std::uint8_t n) { return certs::SecretKeys::from_seed({n}); }

// A member with its list, as a service holds them.
struct Someone {
  Someone(std::unique_ptr<certs::Identity> made, const certs::Anchor& anchor)
      : identity(std::move(made)), store(folder.path() / "revocations.list", anchor) {}
  Self self() const { return {*identity, store.list(), store.record()}; }
  TemporaryFolder folder;
  std::unique_ptr<certs::Identity> identity;
  certs::RevocationStore store;
};

class SessionTest : public ::testing::Test {
 protected:
  std::unique_ptr<Someone> someone(const std::string& name, certs::Roles roles, std::uint8_t seed, certs::Authority& by,
                                   WallTime issued = kWall) {
    return std::make_unique<Someone>(certs::make_identity(by, name, roles, issued, seeded(seed)).or_throw(), by.anchor());
  }
  void SetUp() override {
    node = someone("node-a", Role::Node, 1, authority);
    user = someone("doctor", Role::Clinician, 2, authority);
  }
  Target target() const {
    return {"127.0.0.1", 7701, node->identity->transport_key(), Role::Node, node->identity->member()};
  }
  // Passes messages back and forth until nobody has more to say.
  void converse() {
    SessionEffects first = client->start();
    take(std::move(first), true);
    while (!to_server.empty() || !to_client.empty()) {
      if (!to_server.empty()) {
        const Message message = to_server.front();
        to_server.pop_front();
        take(server->handle({now, wall + server_shift}, message), false);
      } else {
        const Message message = to_client.front();
        to_client.pop_front();
        take(client->handle({now, wall + client_shift}, message), true);
      }
    }
  }
  void take(SessionEffects effects, bool from_client) {
    for (SessionEffect& effect : effects) {
      if (auto* said = std::get_if<SaySession>(&effect)) {
        said_by.push_back({from_client, std::string(name_of(said->message))});
        (from_client ? to_server : to_client).push_back(std::move(said->message));
      } else if (const auto* end = std::get_if<SessionEnd>(&effect)) {
        (from_client ? client_end : server_end) = *end;
      } else if (const auto* up = std::get_if<SessionUp>(&effect)) {
        (from_client ? client_up : server_up) = *up;
      } else if (const auto* adopt = std::get_if<AdoptRevocations>(&effect)) {
        Someone& owner = from_client ? *user : *node;
        ASSERT_TRUE(owner.store.offer(adopt->record));
        take((from_client ? *client : *server).revocations_changed(), from_client);
      } else if (const auto* notice = std::get_if<SessionNotice>(&effect)) {
        notices.push_back(notice->event + ": " + notice->text);
      }
    }
  }
  void begin(std::optional<Target> dialled = std::nullopt) {
    client.emplace(Session::client(user->self(), dialled ? *dialled : target(), {1}, kStart + 3s));
    server.emplace(Session::server(node->self(), user->identity->transport_key(), {42}, {2}, 7702, kStart + 5s));
  }
  void expect_refused_by_client(const std::string& code, const std::string& words) {
    ASSERT_TRUE(client_end);
    EXPECT_EQ(client_end->code, code);
    EXPECT_NE(client_end->reason.find(words), std::string::npos) << client_end->reason;
    EXPECT_FALSE(client_end->by_peer);
    // Who the client is was never said.
    for (const auto& [by_client, name] : said_by) EXPECT_FALSE(by_client && name == "hello");
    ASSERT_TRUE(server_end);
    EXPECT_TRUE(server_end->by_peer);
    EXPECT_EQ(server_end->code, code);
    expect_nobody_up();
  }
  void expect_refused_by_server(const std::string& code, const std::string& words) {
    ASSERT_TRUE(server_end);
    EXPECT_EQ(server_end->code, code);
    EXPECT_NE(server_end->reason.find(words), std::string::npos) << server_end->reason;
    EXPECT_FALSE(server_end->by_peer);
    ASSERT_TRUE(client_end);
    EXPECT_EQ(client_end->code, code);
    EXPECT_TRUE(client_end->by_peer);
    expect_nobody_up();
  }
  void expect_nobody_up() {
    EXPECT_FALSE(client_up);
    EXPECT_FALSE(server_up);
    EXPECT_EQ(client->state(), Session::State::Closed);
    EXPECT_EQ(server->state(), Session::State::Closed);
  }

  certs::Authority authority{"north", seeded(100)}, other{"south", seeded(101)}, impostor{"north", seeded(102)};
  std::unique_ptr<Someone> node, user;
  std::optional<Session> client, server;
  std::deque<Message> to_server, to_client;
  std::vector<std::pair<bool, std::string>> said_by;
  std::optional<SessionUp> client_up, server_up;
  std::optional<SessionEnd> client_end, server_end;
  std::vector<std::string> notices;
  Instant now = kStart;
  WallTime wall = kWall;
  std::chrono::milliseconds client_shift{0}, server_shift{0};
};

TEST_F(SessionTest, OpensWithBothSidesVerified) {
  begin();
  converse();
  ASSERT_TRUE(client_up && server_up);
  EXPECT_EQ(client_up->peer.member, node->identity->member());
  EXPECT_EQ(server_up->peer.member, user->identity->member());
  EXPECT_EQ(client_up->session, SessionId{42});
  EXPECT_EQ(client_up->bulk_port, 7702);
  EXPECT_TRUE(*client_up->chain == node->identity->chain());
  const std::vector<std::pair<bool, std::string>> expected{{true, "greet"}, {false, "hello"}, {true, "hello"}, {false, "welcome"}};
  EXPECT_EQ(said_by, expected);
  EXPECT_TRUE(client->open() && server->open());
}

TEST_F(SessionTest, NoVersionInCommonIsRefusedBeforeAnythingIsSaid) {
  begin();
  (void)client->start();
  take(server->handle({now, wall}, Greet{{7, 8}}), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "version");
  EXPECT_NE(server_end->reason.find("1 here, 7, 8 there"), std::string::npos);
  EXPECT_EQ(said_by.size(), 1U);
}

TEST_F(SessionTest, AnotherFederationIsRefused) {
  user = someone("doctor", Role::Clinician, 2, other);
  begin();
  converse();
  expect_refused_by_client("federation", "federation north there, south here");
}

TEST_F(SessionTest, AnAuthorityOfTheSameNameIsRefusedByWhomeverItReaches) {
  node = someone("node-a", Role::Node, 1, impostor);
  begin();
  converse();
  expect_refused_by_client("certificate", "");
}

TEST_F(SessionTest, AUserOfAnotherAuthorityIsRefused) {
  auto real = std::move(user);
  user = someone("doctor", Role::Clinician, 2, impostor);
  begin();
  // This client does not care whom it meets: only the server's judgement is left.
  Hello hello;
  hello.federation = "north";
  for (const certs::Signed& link : user->identity->chain().links) hello.chain.push_back(certs::encode(link));
  hello.wall = wall;
  (void)server->handle({now, wall}, Greet{{1}});
  take(server->handle({now, wall}, hello), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "certificate");
  EXPECT_FALSE(server_up);
}

TEST_F(SessionTest, ExpiredIsRefused) {
  user = someone("doctor", Role::Clinician, 2, authority, kWall - std::chrono::hours(24 * 400));
  begin();
  converse();
  expect_refused_by_server("certificate", "expired");
}

TEST_F(SessionTest, NotYetValidIsRefused) {
  user = someone("doctor", Role::Clinician, 2, authority, kWall + std::chrono::hours(48));
  begin();
  converse();
  expect_refused_by_server("certificate", "not yet valid");
}

TEST_F(SessionTest, RevokedUserIsRefused) {
  ASSERT_TRUE(node->store.offer(authority.revoke("doctor", kWall).or_throw()));
  begin();
  converse();
  expect_refused_by_server("revoked", "revoked");
}

TEST_F(SessionTest, RevokedNodeIsRefusedByWhoeverKnows) {
  ASSERT_TRUE(user->store.offer(authority.revoke("node-a", kWall).or_throw()));
  begin();
  converse();
  expect_refused_by_client("revoked", "revoked");
}

TEST_F(SessionTest, CertificateOfAnotherKeyThanTheConnectionsIsRefused) {
  begin();
  server.emplace(Session::server(node->self(), someone("thief", Role::Clinician, 9, authority)->identity->transport_key(), {42}, {2}, 0, kStart + 5s));
  converse();
  expect_refused_by_server("key", "for another transport key");
}

TEST_F(SessionTest, WhoAnswersWithAnotherKeyThanWasDialledIsRefused) {
  Target wrong = target();
  wrong.transport_key = user->identity->transport_key();
  begin(wrong);
  converse();
  expect_refused_by_client("key", "for another transport key");
}

TEST_F(SessionTest, WrongRoleIsRefused) {
  Target manager = target();
  manager.role = Role::Manager;
  begin(manager);
  converse();
  expect_refused_by_client("role", "node-a is node, not manager");
}

TEST_F(SessionTest, OtherSubjectIsRefused) {
  Target someone_else = target();
  someone_else.member = user->identity->member();
  begin(someone_else);
  converse();
  expect_refused_by_client("subject", "node-a (");
}

TEST_F(SessionTest, ClocksADayApartAreRefusedAsThatAndNotAsExpired) {
  client_shift = std::chrono::hours(-24 * 400);      // so far that every certificate would look "not yet valid"
  begin();
  converse();
  expect_refused_by_client("clock", "clock differs by");
  EXPECT_NE(client_end->reason.find("here"), std::string::npos);
}

TEST_F(SessionTest, ClocksFiveMinutesApartAreRefusedAndAMinuteIsShown) {
  client_shift = 301s;
  begin();
  converse();
  expect_refused_by_client("clock", "clock differs by 5 min 01 s");

  client_end.reset(), server_end.reset(), said_by.clear();
  client_shift = 61s;
  begin();
  converse();
  ASSERT_TRUE(client_up && server_up);
  ASSERT_EQ(notices.size(), 2U);
  EXPECT_NE(notices[0].find("clock.differs: clock differs by 1 min 01 s"), std::string::npos) << notices[0];

  notices.clear();
  client_shift = 59s;
  begin();
  converse();
  EXPECT_TRUE(notices.empty());
}

TEST_F(SessionTest, TheOlderRevocationListIsReplacedOnEitherSide) {
  ASSERT_TRUE(node->store.offer(authority.revoke(someone("gone", Role::Clinician, 30, authority)->identity->name(), kWall).or_throw()));
  begin();
  converse();
  ASSERT_TRUE(client_up && server_up);
  EXPECT_EQ(user->store.list().number, node->store.list().number);
  EXPECT_EQ(said_by.back(), std::make_pair(false, std::string("revocations")));

  ASSERT_TRUE(user->store.offer(authority.refresh_revocations(kWall).or_throw()));
  said_by.clear();
  begin();
  converse();
  EXPECT_EQ(user->store.list().number, node->store.list().number);
  EXPECT_EQ(said_by.back(), std::make_pair(true, std::string("revocations")));
}

TEST_F(SessionTest, AListThatRevokesThePeerEndsTheSession) {
  begin();
  converse();
  ASSERT_TRUE(server->open());
  ASSERT_TRUE(node->store.offer(authority.revoke("doctor", kWall).or_throw()));
  take(server->revocations_changed(), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "revoked");
  EXPECT_EQ(std::get<Bye>(to_client.front()).code, "revoked");
}

TEST_F(SessionTest, AListLearnedInASessionIsHandedOnInOthers) {
  begin();
  converse();
  ASSERT_TRUE(node->store.offer(authority.refresh_revocations(kWall).or_throw()));
  take(server->revocations_changed(), false);
  ASSERT_EQ(to_client.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<RevocationList>(to_client.front()));
  to_client.clear();
  take(server->revocations_changed(), false);
  EXPECT_TRUE(to_client.empty()) << "handed on twice";
}

TEST_F(SessionTest, NoHelloInTimeEndsIt) {
  begin();
  (void)server->handle({now, wall}, Greet{{1}});
  EXPECT_EQ(server->next_deadline(), kStart + 5s);
  EXPECT_TRUE(server->advance({kStart + 4999ms, wall}).empty());
  take(server->advance({kStart + 5s, wall}), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "timeout");
  EXPECT_FALSE(server->next_deadline());
}

TEST_F(SessionTest, ExpiryEndsAnOpenSession) {
  begin();
  converse();
  const WallTime end = server_up->peer.valid_until;
  const Instant due = *server->next_deadline();
  EXPECT_EQ(due, kStart + (end - kWall));
  take(server->advance({due, end - 1s}), false);      // the clock was set back: not yet
  EXPECT_FALSE(server_end);
  take(server->advance({due + 1s, end}), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "certificate");
}

TEST_F(SessionTest, AnythingOutOfPlaceIsAProtocolError) {
  const std::vector<Message> wrong{Hello{}, Welcome{}, RevocationList{}, ListJobs{}, StreamDone{1}};
  for (const Message& message : wrong) {
    begin();
    server_end.reset();
    take(server->handle({now, wall}, message), false);
    ASSERT_TRUE(server_end) << name_of(message);
    EXPECT_EQ(server_end->code, "protocol");
    to_client.clear();
  }
  begin();
  converse();
  server_end.reset();
  take(server->handle({now, wall}, Greet{{1}}), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "protocol");
  EXPECT_TRUE(server->handle({now, wall}, Greet{{1}}).empty()) << "closed is closed";
}

TEST_F(SessionTest, AListThatIsNoneIsAProtocolError) {
  begin();
  converse();
  take(server->handle({now, wall}, RevocationList{{1, 2, 3}}), false);
  ASSERT_TRUE(server_end);
  EXPECT_EQ(server_end->code, "protocol");
}

}  // namespace
}  // namespace tomogrid::wire
