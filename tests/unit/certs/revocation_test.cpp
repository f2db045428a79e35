#include "certs/revocation.h"

#include "base/file.h"
#include "certs/authority.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

class Revocations : public testing::Test {
 protected:
  TemporaryFolder folder;
  Authority authority{"north", seeded(1)};
  std::filesystem::path file = folder.path() / "revocations.list";
  Signed next() { return good(authority.refresh_revocations(kNow)); }
};

TEST_F(Revocations, OnlyANewerListIsTaken) {
  RevocationStore store(file, authority.anchor());
  EXPECT_EQ(store.list().number, 0U);
  EXPECT_FALSE(store.record().has_value());
  const Signed first = next(), second = next();
  EXPECT_EQ(good(store.offer(second)), RevocationStore::Offered::Newer);
  EXPECT_EQ(good(store.offer(second)), RevocationStore::Offered::Same);
  expect_error(store.offer(first), ErrorCode::Refused, "list 1 is older than the list 2");
  EXPECT_EQ(store.list().number, 2U);
  EXPECT_EQ(store.record(), second);
  EXPECT_EQ(store.latest_signed(), kNow);
}

TEST_F(Revocations, IsOnDiskBeforeItIsUsed) {
  Signed list;
  {
    RevocationStore store(file, authority.anchor());
    list = next();
    good(store.offer(list));
  }
  EXPECT_EQ(RevocationStore(file, authority.anchor()).record(), list);
  // Where it cannot be written it is not used.
  RevocationStore store(folder.path() / "absent" / "revocations.list", authority.anchor());
  EXPECT_EQ(store.offer(list).error().code, ErrorCode::Storage);
  EXPECT_EQ(store.list().number, 0U);
}

TEST_F(Revocations, TwoProcessesOfOneMemberDoNotUndoEachOther) {
  RevocationStore one(file, authority.anchor()), two(file, authority.anchor());
  const Signed first = next(), second = next(), third = next();
  good(one.offer(first));
  good(two.offer(third));
  expect_error(one.offer(second), ErrorCode::Refused, "older than the list 3");
  EXPECT_EQ(RevocationStore(file, authority.anchor()).list().number, 3U);
}

TEST_F(Revocations, WhatAnotherProcessPutsOnDiskIsNoticed) {
  RevocationStore serving(file, authority.anchor());
  EXPECT_FALSE(good(serving.refresh())) << "there is no file";
  RevocationStore command(file, authority.anchor());
  const Signed first = next(), second = next();
  good(command.offer(second));
  EXPECT_TRUE(good(serving.refresh()));
  EXPECT_EQ(serving.record(), second);
  EXPECT_FALSE(good(serving.refresh())) << "nothing new";
  ASSERT_TRUE(write_file(file, bytes_of("garbage"), FileMode::Private));
  EXPECT_FALSE(serving.refresh().has_value());
  EXPECT_FALSE(good(serving.refresh())) << "told once";
  EXPECT_EQ(serving.record(), second) << "what was in use stays";
}

TEST_F(Revocations, TwoListsWithOneNumberAreReported) {
  Authority twin("north", seeded(1));
  RevocationStore store(file, authority.anchor());
  good(store.offer(next()));
  expect_error(store.offer(good(twin.refresh_revocations(kNow + kDay))), ErrorCode::Conflict, "two different");
}

TEST_F(Revocations, AnotherAuthorityOrFederationIsRefused) {
  RevocationStore store(file, authority.anchor());
  Authority other("north", seeded(9)), south("south", seeded(1));
  expect_error(store.offer(good(other.refresh_revocations(kNow))), ErrorCode::Unverified,
               "not signed by the authority");
  expect_error(store.offer(good(south.refresh_revocations(kNow))), ErrorCode::Refused, "federation south");
  Signed altered = next();
  altered.body[40] ^= 1;
  expect_error(store.offer(altered), ErrorCode::Unverified, "altered");
}

TEST_F(Revocations, ADamagedFileStopsTheStart) {
  good(RevocationStore(file, authority.anchor()).offer(next()));
  ByteString text = good(read_file(file, Bytes(1 << 20)));
  text[text.size() / 2] ^= 1;
  ASSERT_TRUE(write_file(file, text));
  EXPECT_THROW(RevocationStore(file, authority.anchor()), Failure);
}

TEST_F(Revocations, NamesSerialMemberAndTransportKey) {
  const auto alice = good(make_identity(authority, "alice", Role::Clinician, kNow, seeded(2)));
  good(authority.revoke("alice", kNow));
  const RevocationList& list = authority.revocations();
  EXPECT_TRUE(list.revokes(alice->certificate().serial));
  EXPECT_TRUE(list.revokes(alice->member()));
  EXPECT_TRUE(list.revokes(alice->transport_key()));
  EXPECT_FALSE(list.revokes(seeded(3)->transport_key()));
}

}  // namespace
}  // namespace tomogrid::certs
