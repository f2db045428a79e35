#include "client/journal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/file.h"
#include "client/history.h"
#include "client/record.h"

namespace tomogrid::client {
namespace {

Record some_record() {
  Record record;
  record.id = job::JobId{{0xab, 0xcd, 1}};
  record.service = {"recon.spect", 1};
  record.parameters = {
      {"iterations", std::int64_t{4}}, {"sigma", 0.1}, {"response", true}, {"algorithm", std::string("osem")}};
  record.needs.labels = {"gpu"};
  record.needs.work = FlopCount(1e12);
  record.inputs = {{"projections.f32", Bytes(17), job::Digest{1, 2, 3}}};
  record.outputs_required = {"volume.f32"};
  record.created = {1'764'000'000'123};
  record.state = RecordState::Verified;
  Attempt attempt;
  attempt.job = record.id;
  attempt.node = certs::MemberId{{9}};
  attempt.node_name = "alpha";
  attempt.target = {"127.0.0.1", 4040, certs::TransportPublicKey{{7}}, certs::Role::Node, certs::MemberId{{9}}};
  attempt.ticket = certs::Signed{"ticket", {1, 2, 3, 4, 5, 6, 7, 8}, {}};
  attempt.state = AttemptState::Over;
  attempt.reason = "failed: out-of-memory";
  record.attempts = {attempt};
  record.winner = 0;
  record.receipt = KeptReceipt{{"receipt", {8, 8, 8, 8, 8, 8, 8, 8}, {}}, {1, 2}};
  record.outputs = {{"volume.f32", Bytes(4), {}}};
  record.decisions = {{{"decision", {5, 5, 5, 5, 5, 5, 5, 5}, {}}, {3}}};
  return record;
}

TEST(Journal, ARecordComesBackWhole) {
  const Record record = some_record();
  const auto back = decode_record(encode(record));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(encode(*back), encode(record));
  EXPECT_EQ(back->parameters, record.parameters);
  EXPECT_EQ(back->attempts[0].target.member, record.attempts[0].target.member);
  EXPECT_EQ(back->receipt->receipt, record.receipt->receipt);
}

TEST(Journal, ADamagedRecordIsAnErrorAtEveryByte) {
  const std::string text = encode(some_record());
  for (std::size_t length = 0; length < text.size(); ++length) EXPECT_FALSE(decode_record(text.substr(0, length)));
}

TEST(Journal, WhatIsCommittedIsThereAfterReopening) {
  TemporaryFolder folder;
  const Record record = some_record();
  {
    Journal journal(folder.path() / "client");
    ASSERT_TRUE(journal.commit({row_of(record), row_of(KnownNode{"alpha", record.attempts[0].target, {5}})}));
    ASSERT_TRUE(journal.keep(record.id, {{"/tmp/v.nii"}, "/tmp/v.receipt", "", "osem", {1, 2, 3}}));
  }
  Journal journal(folder.path() / "client");
  const auto records = all_records(journal);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(encode(records[0]), encode(record));
  const auto delivery = journal.delivery(record.id);
  ASSERT_TRUE(delivery);
  EXPECT_EQ(delivery->outputs, std::vector<std::string>{"/tmp/v.nii"});
  EXPECT_EQ(delivery->identity, (ByteString{1, 2, 3}));
  ASSERT_TRUE(journal.forget_delivery(record.id));
  EXPECT_FALSE(journal.delivery(record.id));
}

TEST(Journal, IdentityIsGoneFromTheFileOnceForgotten) {
  TemporaryFolder folder;
  const std::string mark = "Beeblebrox^Zaphod";
  {
    Journal journal(folder.path());
    const auto bytes = bytes_of(mark);
    ASSERT_TRUE(journal.keep(job::JobId{{1}}, {{}, "", "", "", {bytes.begin(), bytes.end()}}));
    ASSERT_TRUE(journal.forget_delivery(job::JobId{{1}}));
  }
  const auto content = read_file(folder.path() / "client.db", mebibytes(16)).or_throw();
  EXPECT_EQ(text_of(content).find(to_hex(bytes_of(mark))), std::string_view::npos);
}

TEST(Journal, OnlyItsOwnerCanReadIt) {
  TemporaryFolder folder;
  Journal journal(folder.path());
  ASSERT_TRUE(journal.commit({{"job", "x", "{}"}}));
  for (const char* name : {"client.db", "client.db-wal"}) {
    struct stat status {};
    ASSERT_EQ(::stat((folder.path() / name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777, 0600U) << name;
  }
}

TEST(Journal, TwoProcessesWriteTheirOwnRows) {
  TemporaryFolder folder;
  Journal one(folder.path()), other(folder.path());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(one.commit({{"job", "a", std::to_string(i)}}));
    ASSERT_TRUE(other.commit({{"job", "b", std::to_string(i)}}));
  }
  EXPECT_EQ(one.recover().or_throw().size(), 2U);
}

TEST(Journal, AnEmptyBodyDeletes) {
  TemporaryFolder folder;
  Journal journal(folder.path());
  ASSERT_TRUE(journal.commit({{"job", "a", "x"}}));
  ASSERT_TRUE(journal.commit({{"job", "a", ""}}));
  EXPECT_TRUE(journal.recover().or_throw().empty());
}

TEST(Journal, AJobIsFoundByTheBeginningOfItsId) {
  Record one = some_record(), other = some_record();
  other.id.bytes[2] = 2;
  const std::vector<Record> records{one, other};
  EXPECT_EQ(find_record(records, job::to_string(one.id)).or_throw().id, one.id);
  EXPECT_EQ(find_record(records, "abcd").error().code, ErrorCode::Usage);  // both
  EXPECT_EQ(find_record(records, "abcd02").or_throw().id, other.id);
  EXPECT_EQ(find_record(records, "ab").error().code, ErrorCode::Usage);  // too short
  EXPECT_EQ(find_record(records, "ffff").error().code, ErrorCode::NotFound);
}

TEST(Journal, AFileThatIsNoJournalIsRefused) {
  TemporaryFolder folder;
  ASSERT_TRUE(write_file(folder.path() / "client.db",
                         bytes_of("this is not a database, whatever its name says ...................."),
                         FileMode::Private));
  EXPECT_THROW(Journal(folder.path()), Failure);
}

}  // namespace
}  // namespace tomogrid::client
