#include "certs/member.h"

#include <sys/stat.h>

#include "base/file.h"
#include "certs/authority.h"
#include "certs/files.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

class Member : public testing::Test {
 protected:
  TemporaryFolder home;
  std::filesystem::path folder = member_folder(home.path(), std::nullopt);
  Authority authority{"north", seeded(1)};
  Signed create(const Passphrase* passphrase = nullptr) {
    return good(create_member(folder, {.name = "alice", .roles = Role::Clinician, .groups = {"b", "a"}}, kNow,
                              passphrase, SealCost::minimal()));
  }
  CertificateChain answer(const Signed& request) {
    return good(authority.issue(request, {.roles = Role::Clinician}, kNow));
  }
  Result<void> install(const CertificateChain& chain) {
    return install_member(folder, chain, authority.anchor(), authority.revocation_record(), kNow);
  }
};

TEST_F(Member, RequestIssueInstallLoad) {
  const Signed request = create();
  EXPECT_EQ(good(verify_request(request)).groups, (std::vector<std::string>{"a", "b"}));
  ASSERT_TRUE(install(answer(request)));
  const auto alice = good(load_identity(folder, kNow));
  EXPECT_EQ(alice->name(), "alice");
  EXPECT_EQ(alice->roles(), Roles{Role::Clinician});
  EXPECT_EQ(alice->anchor(), authority.anchor());
  EXPECT_TRUE(verify_chain(alice->chain(), authority.anchor(), kNow, RevocationList{}));
  const Signed record = alice->signed_record(kinds::advert, {1});
  EXPECT_TRUE(verify(record, kinds::advert, good(verify_request(request)).signing_key));
}

TEST_F(Member, EachMissingStepNamesTheCommandThatDoesIt) {
  expect_error(load_identity(folder, kNow), ErrorCode::NotFound, "tomogrid certs install");
  make_private_folder(folder);
  const Signed elsewhere = request_of(*seeded(5), "alice", Role::Clinician);
  expect_error(install(answer(elsewhere)), ErrorCode::NotFound, "tomogrid certs request");
}

TEST_F(Member, SealedKeysNeedTheirPassphrase) {
  const auto right = passphrase_of("right"), wrong = passphrase_of("wrong");
  ASSERT_TRUE(install(answer(create(right.get()))));
  EXPECT_TRUE(needs_passphrase(folder));
  expect_error(load_identity(folder, kNow), ErrorCode::Usage, "is sealed");
  expect_error(load_identity(folder, kNow, wrong.get()), ErrorCode::Refused, "wrong passphrase");
  EXPECT_TRUE(load_identity(folder, kNow, right.get()));
}

TEST_F(Member, KeysReadableByOthersAreRefused) {
  ASSERT_TRUE(install(answer(create())));
  EXPECT_FALSE(needs_passphrase(folder));
  ASSERT_EQ(::chmod((folder / "keys.secret").c_str(), 0644), 0);
  expect_error(load_identity(folder, kNow), ErrorCode::Refused, "can be read by others");
}

TEST_F(Member, AFolderOpenToOthersIsRefused) {
  std::filesystem::create_directories(folder);
  ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
  expect_error(create_member(folder, {.name = "alice", .roles = Role::Clinician}, kNow), ErrorCode::Refused,
               "chmod 700");
}

TEST_F(Member, KeysAreNeverMadeTwice) {
  create();
  expect_error(create_member(folder, {.name = "bob", .roles = Role::Clinician}, kNow), ErrorCode::Conflict,
               "never replaced");
}

TEST_F(Member, BadNamesAndRolesAreRefusedBeforeKeysAreMade) {
  expect_error(create_member(folder, {.name = "Alice", .roles = Role::Clinician}, kNow), ErrorCode::BadInput, "a-z");
  expect_error(create_member(folder, {.name = "alice", .roles = {}}, kNow), ErrorCode::BadInput, "no role");
  expect_error(create_member(folder, {.name = "alice", .roles = {Role::Admin, Role::Researcher}}, kNow),
               ErrorCode::BadInput, "mix");
  expect_error(create_member(folder, {.name = "alice", .roles = Role::Node, .groups = {"A"}}, kNow),
               ErrorCode::BadInput, "group");
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(Member, AnotherMembersCertificateIsNotInstalled) {
  create();
  const auto chain = answer(request_of(*seeded(5), "bob", Role::Clinician));
  expect_error(install(chain), ErrorCode::Refused, "other keys");
  EXPECT_FALSE(std::filesystem::exists(folder / "anchor.cert"));
}

TEST_F(Member, TrustInAnAuthorityIsNotReplaced) {
  const Signed request = create();
  ASSERT_TRUE(install(answer(request)));
  Authority other("north", seeded(9));
  const auto chain = good(other.issue(request, {.roles = Role::Clinician}, kNow));
  const auto record = good(other.refresh_revocations(kNow));
  expect_error(install_member(folder, chain, other.anchor(), record, kNow), ErrorCode::Conflict,
               "trusts another authority");
  EXPECT_EQ(good(load_identity(folder, kNow))->anchor(), authority.anchor());
}

TEST_F(Member, ExpiredNotYetValidAndRevokedAreSaidAtStart) {
  const Signed request = create();
  ASSERT_TRUE(install(answer(request)));
  expect_error(load_identity(folder, kNow + 366 * kDay), ErrorCode::Refused, "expired");
  expect_error(load_identity(folder, kNow - kDay), ErrorCode::Refused, "not yet valid");
  good(RevocationStore(revocations_file(folder), authority.anchor()).offer(good(authority.revoke("alice", kNow))));
  expect_error(load_identity(folder, kNow), ErrorCode::Refused, "revoked");
}

TEST_F(Member, AListSignedLaterBeatsTheClock) {
  const Signed request = create();
  ASSERT_TRUE(install(answer(request)));
  good(RevocationStore(revocations_file(folder), authority.anchor())
           .offer(good(authority.refresh_revocations(kNow + 400 * kDay))));
  expect_error(load_identity(folder, kNow), ErrorCode::Refused, "expired");
}

TEST_F(Member, AnOlderListInABundleIsNotTakenBack) {
  const Signed old_list = good(authority.refresh_revocations(kNow));
  const Signed request = create();
  const auto chain = answer(request);
  good(authority.issue(request_of(*seeded(6), "bob", Role::Node), {.roles = Role::Node}, kNow));
  good(authority.revoke("bob", kNow));
  ASSERT_TRUE(install(chain));
  ASSERT_TRUE(install_member(folder, chain, authority.anchor(), old_list, kNow));
  EXPECT_EQ(RevocationStore(revocations_file(folder), authority.anchor()).list().number, 2U);
}

TEST(MemberFolder, SeveralMembersPerHome) {
  EXPECT_EQ(member_folder("/h", std::nullopt), "/h/member");
  EXPECT_EQ(member_folder("/h", "node1"), "/h/members/node1");
  EXPECT_EQ(authority_folder("/h"), "/h/authority");
}

}  // namespace
}  // namespace tomogrid::certs
