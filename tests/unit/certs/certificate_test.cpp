#include "certs/certificate.h"

#include "certs/authority.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

// An authority, a member signed by it directly, and an issuing key with limits.
class Chain : public testing::Test {
 protected:
  Authority authority{"north", seeded(1)};
  RevocationList nobody{.federation = "north"};

  CertificateChain member_chain(std::uint8_t keys = 2, Terms terms = {.roles = Role::Clinician}) {
    return good(authority.issue(request_of(*seeded(keys), "alice", terms.roles), terms, kNow));
  }
  static Terms issuing_terms() {
    Terms terms{.roles = Role::Admin};
    terms.issuing = IssuingLimits{.roles = {Role::Clinician, Role::Node, Role::Admin},
                                  .validity_max = 30 * kDay,
                                  .name_suffix = ".hospital-a",
                                  .groups = {"hospital-a"},
                                  .quota = {},
                                  .may_delegate = true};
    return terms;
  }
  std::unique_ptr<Identity> issuer(Terms terms = issuing_terms()) {
    auto chain = good(authority.issue(request_of(*seeded(3), "desk.hospital-a", terms.roles), terms, kNow));
    return good(Identity::make(seeded(3), std::move(chain), authority.anchor()));
  }
  static Terms short_terms(Roles roles = Role::Clinician) { return {.roles = roles, .validity = 10 * kDay}; }
  auto judge(const CertificateChain& chain, WallTime now = kNow) {
    return verify_chain(chain, authority.anchor(), now, nobody);
  }
  // A certificate with any content, properly signed by the authority.
  CertificateChain forged_by_authority(const std::function<void(Certificate&)>& change) {
    Certificate c = good(decode_certificate(member_chain().links.front().body));
    change(c);
    return {{sign(*seeded(1), kinds::certificate, encode(c))}};
  }
};

TEST_F(Chain, AMemberIsVerified) {
  const auto verified = good(judge(member_chain()));
  EXPECT_EQ(verified.member, seeded(2)->member());
  EXPECT_EQ(verified.certificate.subject, "alice");
  EXPECT_EQ(verified.certificate.roles, Roles{Role::Clinician});
  EXPECT_EQ(verified.certificate.transport_key, seeded(2)->transport_key());
  EXPECT_EQ(verified.valid_until, verified.certificate.not_after);
  EXPECT_EQ(verified.authority_signed, kNow);
}

TEST_F(Chain, ExpiredAndNotYetValidSayWhen) {
  const CertificateChain chain = member_chain();
  const Certificate c = good(decode_certificate(chain.links.front().body));
  EXPECT_TRUE(judge(chain, c.not_before));
  EXPECT_TRUE(judge(chain, c.not_after));
  expect_error(judge(chain, c.not_after + std::chrono::milliseconds(1)), ErrorCode::Refused, "expired on 2027-");
  expect_error(judge(chain, c.not_before - std::chrono::milliseconds(1)), ErrorCode::Refused, "not yet valid");
}

TEST_F(Chain, AClockSetBackDoesNotReviveIt) {
  const CertificateChain chain = member_chain();
  const WallTime late = kNow + 400 * kDay;
  EXPECT_EQ(judged_time(kNow, late), late);
  EXPECT_EQ(judged_time(late, kNow), late);
  expect_error(judge(chain, judged_time(kNow, late)), ErrorCode::Refused, "expired");
}

TEST_F(Chain, RevokedBySerialByKeyOrByTransportKey) {
  const CertificateChain chain = member_chain();
  const Certificate c = good(decode_certificate(chain.links.front().body));
  for (int which = 0; which < 3; ++which) {
    Revocation entry{};
    if (which == 0) entry.serial = c.serial;
    if (which == 1) entry.member = c.member();
    if (which == 2) entry.transport_key = c.transport_key;
    RevocationList list{.federation = "north", .number = 7, .entries = {entry}};
    expect_error(verify_chain(chain, authority.anchor(), kNow, list), ErrorCode::Refused,
                 "revoked by the authority (revocation list 7)");
  }
}

TEST_F(Chain, WrongAuthorityIsNamed) {
  Authority other("north", seeded(9));
  expect_error(verify_chain(member_chain(), other.anchor(), kNow, nobody), ErrorCode::Unverified, "wrong authority");
}

TEST_F(Chain, OtherFederationOfTheSameAuthorityKey) {
  Authority south("south", seeded(1));
  expect_error(verify_chain(member_chain(), south.anchor(), kNow, nobody), ErrorCode::Refused,
               "of federation north, not of south");
}

TEST_F(Chain, EveryAlteredByteIsFound) {
  const CertificateChain chain = member_chain();
  for (std::size_t i = 0; i < chain.links.front().body.size(); ++i) {
    CertificateChain changed = chain;
    changed.links.front().body[i] ^= 0x40;
    const auto verdict = judge(changed);
    ASSERT_FALSE(verdict.has_value()) << i;
    EXPECT_EQ(verdict.error().code, ErrorCode::Unverified) << i;
  }
  CertificateChain changed = chain;
  changed.links.front().signature[5] ^= 1;
  expect_error(judge(changed), ErrorCode::Unverified, "certificate of alice");
  expect_error(judge(changed), ErrorCode::Unverified, "was altered");
}

TEST_F(Chain, SignedNonsenseIsNotACertificate) {
  const CertificateChain chain{{sign(*seeded(1), kinds::certificate, ByteString(64, 0xA5))}};
  expect_error(judge(chain), ErrorCode::BadInput, "malformed");
}

TEST_F(Chain, AnotherKindOfRecordIsNotACertificate) {
  CertificateChain chain = member_chain();
  chain.links.front() = sign(*seeded(1), kinds::revocations, chain.links.front().body);
  EXPECT_EQ(judge(chain).error().code, ErrorCode::Unverified);
}

TEST_F(Chain, LengthIsOneToThree) {
  CertificateChain chain;
  expect_error(judge(chain), ErrorCode::Unverified, "1 to 3");
  for (int i = 0; i < 4; ++i) chain.links.push_back(member_chain().links.front());
  expect_error(judge(chain), ErrorCode::Unverified, "1 to 3");
}

TEST_F(Chain, RolesOfBothClassesAreRefusedEvenWhenSigned) {
  const auto chain = forged_by_authority([](Certificate& c) { c.roles = {Role::Admin, Role::Clinician}; });
  expect_error(judge(chain), ErrorCode::Refused, "mix users");
}

TEST_F(Chain, IssuerFieldMustBeTheSigner) {
  const auto chain = forged_by_authority([](Certificate& c) { c.issuer.bytes[0] ^= 1; });
  expect_error(judge(chain), ErrorCode::Unverified, "names another issuer");
}

TEST_F(Chain, AnIssuingKeyIssuesWithinItsLimits) {
  const auto desk = issuer();
  const auto chain =
      good(issue_by(*desk, request_of(*seeded(4), "bob.hospital-a", Role::Clinician), short_terms(), kNow));
  EXPECT_EQ(chain.links.size(), 2U);
  EXPECT_EQ(good(judge(chain)).certificate.subject, "bob.hospital-a");
}

TEST_F(Chain, WhatAnIssuingKeyMayNotGrantIsNamed) {
  const auto desk = issuer();
  const auto attempt = [&](const std::string& name, Terms terms) {
    return issue_by(*desk, request_of(*seeded(4), name, terms.roles), terms, kNow);
  };
  expect_error(attempt("bob.hospital-a", short_terms(Role::Manager)), ErrorCode::Refused, "has roles manager");
  expect_error(attempt("bob.hospital-b", short_terms()), ErrorCode::Refused, "ending in .hospital-a");
  Terms lasting = short_terms();
  lasting.validity = 31 * kDay;
  expect_error(attempt("bob.hospital-a", lasting), ErrorCode::Refused, "has a validity");
  Terms grouped = short_terms();
  grouped.groups = {"hospital-b"};
  expect_error(attempt("bob.hospital-a", grouped), ErrorCode::Refused, "has groups");
  Terms greedy = short_terms();
  greedy.quota.jobs = 1000;
  expect_error(attempt("bob.hospital-a", greedy), ErrorCode::Refused, "has a quota");
}

TEST_F(Chain, DelegationIsLimitedAndCannotWiden) {
  Terms plain = issuing_terms();
  plain.issuing->may_delegate = false;
  Terms deputy = short_terms(Role::Admin);
  deputy.issuing = IssuingLimits{.roles = {Role::Clinician, Role::Researcher},
                                 .validity_max = 30 * kDay,
                                 .name_suffix = "",
                                 .groups = {},
                                 .quota = {},
                                 .may_delegate = true};
  const Signed ask = request_of(*seeded(4), "deputy.hospital-a", Role::Admin);
  const auto desk = issuer();
  const auto second = good(issue_by(*desk, ask, deputy, kNow));
  const auto clerk = good(Identity::make(seeded(4), second, authority.anchor()));
  const auto chain =
      good(issue_by(*clerk, request_of(*seeded(5), "eve.hospital-a", Role::Clinician), short_terms(), kNow));
  EXPECT_EQ(chain.links.size(), 3U);
  EXPECT_TRUE(judge(chain));
  // Neither a role nor a name that the first issuer was not given, whatever the second says of itself.
  expect_error(
      issue_by(*clerk, request_of(*seeded(5), "eve.hospital-a", Role::Researcher), short_terms(Role::Researcher), kNow),
      ErrorCode::Refused, "desk.hospital-a");
  expect_error(issue_by(*clerk, request_of(*seeded(5), "eve", Role::Clinician), short_terms(), kNow),
               ErrorCode::Refused, "ending in .hospital-a");
  // A fourth certificate does not fit.
  const auto leaf = good(Identity::make(seeded(5), chain, authority.anchor()));
  expect_error(issue_by(*leaf, request_of(*seeded(6), "x.hospital-a", Role::Clinician), short_terms(), kNow),
               ErrorCode::Refused, "at most 3");
}

TEST_F(Chain, WithoutDelegationNoFurtherIssuer) {
  Terms plain = issuing_terms();
  plain.issuing->may_delegate = false;
  const auto desk = issuer(plain);
  Terms deputy = short_terms(Role::Admin);
  deputy.issuing =
      IssuingLimits{.roles = Role::Clinician, .validity_max = kDay, .name_suffix = "", .groups = {}, .quota = {}};
  expect_error(issue_by(*desk, request_of(*seeded(4), "deputy.hospital-a", Role::Admin), deputy, kNow),
               ErrorCode::Refused, "issuing certificate");
}

TEST_F(Chain, AnOrdinaryMemberCannotIssue) {
  const auto alice = good(Identity::make(seeded(2), member_chain(), authority.anchor()));
  expect_error(issue_by(*alice, request_of(*seeded(4), "mallory", Role::Clinician), short_terms(), kNow),
               ErrorCode::Refused, "may not issue certificates");
}

TEST_F(Chain, ARevokedIssuerTakesItsMembersAlong) {
  const auto desk = issuer();
  const auto chain =
      good(issue_by(*desk, request_of(*seeded(4), "bob.hospital-a", Role::Clinician), short_terms(), kNow));
  EXPECT_TRUE(good(authority.revoke("desk.hospital-a", kNow)).body.size() > 0);
  expect_error(verify_chain(chain, authority.anchor(), kNow, authority.revocations()), ErrorCode::Refused,
               "desk.hospital-a");
}

TEST_F(Chain, OutOfOrderOrCutChainsFail) {
  const auto desk = issuer();
  auto chain = good(issue_by(*desk, request_of(*seeded(4), "bob.hospital-a", Role::Clinician), short_terms(), kNow));
  CertificateChain cut{{chain.links.front()}};
  EXPECT_EQ(judge(cut).error().code, ErrorCode::Unverified);
  CertificateChain strange = chain;
  strange.links.front() = member_chain().links.front();
  expect_error(judge(strange), ErrorCode::Unverified, "out of order");
  std::swap(chain.links[0], chain.links[1]);
  EXPECT_EQ(judge(chain).error().code, ErrorCode::Unverified);
}

TEST(CertificateRequest, IsSignedWithTheKeyItNames) {
  const Signed request = request_of(*seeded(2), "alice", Role::Clinician);
  EXPECT_EQ(good(verify_request(request)).subject, "alice");
  Signed altered = request;
  altered.signature[0] ^= 1;
  expect_error(verify_request(altered), ErrorCode::Unverified, "not signed with the key it names");
  // Signed by another key than the one inside: nobody can ask in another's name.
  Signed stolen = sign(*seeded(3), kinds::request, request.body);
  expect_error(verify_request(stolen), ErrorCode::Unverified, "alice");
  expect_error(verify_request(request_of(*seeded(2), "alice", {Role::Admin, Role::Clinician})), ErrorCode::Refused,
               "mix");
  expect_error(verify_request(request_of(*seeded(2), "alice", {})), ErrorCode::Refused, "no role");
}

TEST_F(Chain, AnIdentityNeedsItsOwnCertificate) {
  expect_error(Identity::make(seeded(3), member_chain(), authority.anchor()), ErrorCode::Refused, "about other keys");
  const auto alice = good(make_identity(authority, "carol", Role::Researcher, kNow));
  EXPECT_EQ(alice->name(), "carol");
  const Signed record = alice->signed_record(kinds::receipt, {1, 2, 3});
  EXPECT_TRUE(verify(record, kinds::receipt, alice->certificate().signing_key));
}

}  // namespace
}  // namespace tomogrid::certs
