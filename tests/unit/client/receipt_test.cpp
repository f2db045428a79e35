#include "client/receipt.h"

#include <gtest/gtest.h>

#include "world.h"

namespace tomogrid::client {
namespace {

using testing::kWall;
using testing::make_member;

class AReceipt : public ::testing::Test {
 protected:
  KeptReceipt keep(const certs::Identity& signer, const wire::Receipt& content) const {
    return {signer.signed_record(certs::kinds::receipt, wire::encode_body(content)), certs::encode(signer.chain())};
  }
  certs::Authority authority{"test"};
  std::unique_ptr<certs::Identity> node = make_member(authority, "alpha", certs::Role::Node);
  std::unique_ptr<certs::Identity> user = make_member(authority, "doctor", certs::Role::Clinician);
  wire::Receipt receipt{"test",
                        job::JobId{{1}},
                        user->member(),
                        node->member(),
                        {"recon.spect", 1},
                        {},
                        "{}",
                        {},
                        {{"volume.f32", Bytes(4), {}}},
                        kWall};
  certs::RevocationList nobody{"test", 0, {}, {}, {}};
};

TEST_F(AReceipt, OfANodeHolds) {
  const auto judged = judge(keep(*node, receipt), authority.anchor(), nobody);
  ASSERT_TRUE(judged) << judged.error().message;
  EXPECT_EQ(judged->receipt, receipt);
  EXPECT_EQ(judged->node.subject, "alpha");
  EXPECT_FALSE(judged->revoked_since);
}

TEST_F(AReceipt, OfAUserDoesNot) {
  receipt.node = user->member();
  EXPECT_EQ(judge(keep(*user, receipt), authority.anchor(), nobody).error().code, ErrorCode::Unverified);
}

TEST_F(AReceipt, InAnothersNameDoesNot) {
  receipt.node = user->member();
  EXPECT_EQ(judge(keep(*node, receipt), authority.anchor(), nobody).error().code, ErrorCode::Unverified);
}

TEST_F(AReceipt, WithAnAlteredByteDoesNot) {
  const KeptReceipt good = keep(*node, receipt);
  for (std::size_t i = 0; i < good.receipt.body.size(); ++i) {
    KeptReceipt bad = good;
    bad.receipt.body[i] ^= 1;
    EXPECT_FALSE(judge(bad, authority.anchor(), nobody)) << "byte " << i;
  }
  KeptReceipt unsigned_one = good;
  unsigned_one.receipt.signature[5] ^= 1;
  EXPECT_EQ(judge(unsigned_one, authority.anchor(), nobody).error().code, ErrorCode::Unverified);
}

TEST_F(AReceipt, OfAnotherFederationDoesNot) {
  certs::Authority other("test");
  EXPECT_FALSE(judge(keep(*node, receipt), other.anchor(), nobody));
  receipt.federation = "elsewhere";
  EXPECT_FALSE(judge(keep(*node, receipt), authority.anchor(), nobody));
}

TEST_F(AReceipt, OfANodeRemovedSinceIsShownAsSuch) {
  ASSERT_TRUE(authority.revoke("alpha", kWall));
  const auto judged = judge(keep(*node, receipt), authority.anchor(), authority.revocations());
  ASSERT_TRUE(judged) << judged.error().message;
  EXPECT_TRUE(judged->revoked_since);
}

TEST_F(AReceipt, FileComesBackAndSaysWhatItHolds) {
  const ReceiptFile file{keep(*node, receipt), R"({"geometry":1})"};
  const std::string text = encode(file, receipt, "alpha");
  EXPECT_NE(text.find("\"node_name\": \"alpha\""), std::string::npos);
  const auto back = decode_receipt_file(text);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->kept.receipt, file.kept.receipt);
  EXPECT_EQ(back->kept.chain, file.kept.chain);
  EXPECT_EQ(back->volume_header, file.volume_header);
  for (std::size_t length = 0; length + 2 < text.size(); length += 7)
    EXPECT_FALSE(decode_receipt_file(text.substr(0, length)));
}

TEST_F(AReceipt, MayAddDefaultsButNotChangeWhatWasAsked) {
  const job::Parameters asked{{"iterations", std::int64_t{4}}, {"fwhm", 2.0}};
  EXPECT_TRUE(contains({{"iterations", std::int64_t{4}}, {"fwhm", 2.0}, {"algorithm", std::string("osem")}}, asked));
  EXPECT_TRUE(contains({{"iterations", std::int64_t{4}}, {"fwhm", std::int64_t{2}}}, asked));
  EXPECT_FALSE(contains({{"iterations", std::int64_t{5}}, {"fwhm", 2.0}}, asked));
  EXPECT_FALSE(contains({{"iterations", std::int64_t{4}}}, asked));
  EXPECT_FALSE(contains({{"iterations", std::string("4")}, {"fwhm", 2.0}}, asked));
}

}  // namespace
}  // namespace tomogrid::client
