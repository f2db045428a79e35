#include "certs/authority.h"

#include <sys/stat.h>

#include "base/file.h"
#include "certs/files.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

class AuthorityFolder : public testing::Test {
 protected:
  TemporaryFolder home;
  std::filesystem::path folder = home.path() / "authority";
  std::unique_ptr<Passphrase> passphrase = passphrase_of("a passphrase");
  Anchor anchor = good(create_authority(folder, "north", *passphrase, kNow, SealCost::minimal()));
  auto open() { return open_authority(folder, *passphrase); }
};

TEST_F(AuthorityFolder, OpensWithItsPassphraseOnly) {
  EXPECT_EQ(good(open())->anchor(), anchor);
  expect_error(open_authority(folder, *passphrase_of("another")), ErrorCode::Refused, "wrong passphrase");
  expect_error(open_authority(home.path() / "none", *passphrase), ErrorCode::NotFound, "tomogrid certs init");
}

TEST_F(AuthorityFolder, KeyIsSealedAndPrivate) {
  struct stat status {};
  ASSERT_EQ(::stat((folder / "authority.secret").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_TRUE(good(secret_is_sealed(folder / "authority.secret")));
  ASSERT_EQ(::chmod((folder / "authority.secret").c_str(), 0640), 0);
  expect_error(open(), ErrorCode::Refused, "can be read by others");
}

TEST_F(AuthorityFolder, IsNeverMadeTwice) {
  expect_error(create_authority(folder, "south", *passphrase, kNow, SealCost::minimal()), ErrorCode::Conflict,
               "never replaced");
  EXPECT_EQ(good(open())->anchor(), anchor);
  expect_error(create_authority(home.path() / "x", "No Name", *passphrase, kNow, SealCost::minimal()),
               ErrorCode::BadInput, "federation name");
}

TEST_F(AuthorityFolder, ASwappedAnchorIsFound) {
  Bundle other;
  other.anchor = Anchor{"north", seeded(9)->signing_key()};
  write_bundle(folder / "anchor.cert", other).or_throw();
  expect_error(open(), ErrorCode::Refused, "not about the key");
}

TEST_F(AuthorityFolder, RemembersWhatItIssuedAndRevoked) {
  CertificateChain alice, bob;
  {
    const auto authority = good(open());
    EXPECT_EQ(authority->revocations().number, 1U);
    alice = good(authority->issue(request_of(*seeded(2), "alice", Role::Clinician), {.roles = Role::Clinician}, kNow));
    bob = good(authority->issue(request_of(*seeded(3), "bob", Role::Node), {.roles = Role::Node}, kNow));
    good(authority->revoke("alice", kNow));
  }
  const auto again = good(open());
  ASSERT_EQ(again->issued().size(), 2U);
  EXPECT_EQ(again->revocations().number, 2U);
  for (const Issued& issued : again->issued()) EXPECT_EQ(issued.revoked, issued.certificate.subject == "alice");
  expect_error(verify_chain(alice, anchor, kNow, again->revocations()), ErrorCode::Refused, "revoked");
  EXPECT_TRUE(verify_chain(bob, anchor, kNow, again->revocations()));
  // Revoked keys never come back, not even after the entry has left the list; the name may, with new keys.
  const WallTime later = kNow + 500 * kDay;
  EXPECT_TRUE(good(again->refresh_revocations(later)).body.size() > 0);
  EXPECT_TRUE(again->revocations().entries.empty());
  expect_error(again->issue(request_of(*seeded(2), "alice", Role::Clinician), {.roles = Role::Clinician}, later),
               ErrorCode::Refused, "were revoked");
  expect_error(good(open())->issue(request_of(*seeded(2), "alice", Role::Clinician), {.roles = Role::Clinician}, later),
               ErrorCode::Refused, "were revoked");
  EXPECT_TRUE(again->issue(request_of(*seeded(4), "alice", Role::Clinician), {.roles = Role::Clinician}, later));
}

TEST_F(AuthorityFolder, ACrashBetweenListAndFileLosesNothing) {
  const auto authority = good(open());
  good(authority->issue(request_of(*seeded(2), "alice", Role::Clinician), {.roles = Role::Clinician}, kNow));
  good(authority->revoke("alice", kNow));
  for (const auto& entry : std::filesystem::directory_iterator(folder / "revoked")) {
    std::filesystem::rename(entry.path(), folder / "issued" / entry.path().filename());
  }
  EXPECT_TRUE(good(open())->issued().front().revoked);
}

class InMemory : public testing::Test {
 protected:
  Authority authority{"north", seeded(1)};
  auto issue(std::uint8_t keys, const std::string& name, Roles roles = Role::Clinician, WallTime now = kNow) {
    return authority.issue(request_of(*seeded(keys), name, roles), {.roles = roles}, now);
  }
};

TEST_F(InMemory, OneLiveCertificatePerName) {
  EXPECT_TRUE(issue(2, "alice"));
  EXPECT_TRUE(issue(2, "alice"));  // the same member renews
  expect_error(issue(3, "alice"), ErrorCode::Refused, "belongs to");
  EXPECT_TRUE(issue(3, "alice", Role::Clinician, kNow + 400 * kDay));  // after the end
}

TEST_F(InMemory, KeysHaveOneName) {
  EXPECT_TRUE(issue(2, "alice"));
  expect_error(issue(2, "bob"), ErrorCode::Refused, "are those of alice");
  // A transport key taken from somebody else's certificate: revoking one would revoke the other.
  CertificateRequest stolen{.federation = "north",
                            .subject = "mallory",
                            .transport_key = seeded(2)->transport_key(),
                            .signing_key = seeded(5)->signing_key(),
                            .roles = Role::Clinician,
                            .made = kNow};
  expect_error(authority.issue(sign(*seeded(5), kinds::request, encode(stolen)), {.roles = Role::Clinician}, kNow),
               ErrorCode::Refused, "are those of alice");
}

TEST_F(InMemory, TheAuthorityDecidesRolesAndTerms) {
  const Signed request = request_of(*seeded(2), "alice", Role::Clinician);
  const auto chain = good(authority.issue(request, {.roles = Role::Researcher, .groups = {"b", "a", "b"}}, kNow));
  const Certificate c = good(decode_certificate(chain.links.front().body));
  EXPECT_EQ(c.roles, Roles{Role::Researcher});
  EXPECT_EQ(c.groups, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(c.not_before, kNow - std::chrono::minutes(5));
  expect_error(authority.issue(request, {.roles = {Role::Admin, Role::Clinician}}, kNow), ErrorCode::BadInput, "mix");
  expect_error(authority.issue(request, {.roles = Role::Clinician, .validity = std::chrono::seconds(1)}, kNow),
               ErrorCode::BadInput, "1 minute to 10 years");
  expect_error(authority.issue(request, {.roles = Role::Clinician, .groups = {"No"}}, kNow), ErrorCode::BadInput,
               "group");
  expect_error(authority.issue(request, {.roles = Role::Clinician, .issuing = IssuingLimits{}}, kNow),
               ErrorCode::BadInput, "needs the role admin");
}

TEST_F(InMemory, RequestsOfOthersAreRefused) {
  Signed request = request_of(*seeded(2), "alice", Role::Clinician);
  Authority south("south");
  expect_error(south.issue(request, {.roles = Role::Clinician}, kNow), ErrorCode::Refused, "for federation north");
  request.body[60] ^= 1;
  EXPECT_FALSE(authority.issue(request, {.roles = Role::Clinician}, kNow).has_value());
}

TEST_F(InMemory, RevokesByNameMemberOrSerial) {
  good(issue(2, "alice"));
  good(issue(3, "bob"));
  const Certificate carol = good(decode_certificate(good(issue(4, "carol")).links.front().body));
  expect_error(authority.revoke("dave", kNow), ErrorCode::NotFound, "dave");
  good(authority.revoke("alice", kNow));
  good(authority.revoke(to_string(seeded(3)->member()), kNow));
  good(authority.revoke(to_string(carol.serial), kNow));
  EXPECT_EQ(authority.revocations().number, 3U);
  EXPECT_EQ(authority.revocations().entries.size(), 3U);
  expect_error(authority.revoke("alice", kNow), ErrorCode::NotFound, "no live certificate");
}

TEST_F(InMemory, ListTimesNeverGoBack) {
  good(authority.refresh_revocations(kNow));
  good(authority.refresh_revocations(kNow - kDay));
  EXPECT_EQ(authority.revocations().issued, kNow);
}

TEST_F(InMemory, AFullListIsRefusedAndSaysWhatToDo) {
  Certificate c = good(decode_certificate(good(issue(2, "alice")).links.front().body));
  for (std::size_t i = 0; i < kRevocationsMax; ++i) {
    c.serial.bytes[0] = static_cast<std::uint8_t>(i);
    c.serial.bytes[1] = static_cast<std::uint8_t>(i >> 8);
    good(authority.revoke(c, kNow));
  }
  c.serial.bytes[2] ^= 0xFF;
  expect_error(authority.revoke(c, kNow), ErrorCode::Refused, "more than the 480");
}

}  // namespace
}  // namespace tomogrid::certs
