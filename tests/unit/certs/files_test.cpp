#include "certs/files.h"

#include "certs/authority.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

Bundle full() {
  Authority authority("north", seeded(1));
  Bundle bundle;
  bundle.anchor = authority.anchor();
  bundle.request = request_of(*seeded(2), "alice", Role::Clinician);
  bundle.chain = good(authority.issue(*bundle.request, {.roles = Role::Clinician}, kNow));
  bundle.revocations = good(authority.refresh_revocations(kNow));
  return bundle;
}

TEST(CertificateFile, ComesBackThroughMail) {
  const Bundle bundle = full();
  const std::string text = bundle_text(bundle);
  EXPECT_EQ(good(parse_bundle(text)), bundle);
  std::string mailed = "Dear Alice,\n\nhere it is.\n\n";
  for (const char c : text) mailed += c == '\n' ? std::string(" \r\n") : std::string(1, c);
  EXPECT_EQ(good(parse_bundle(mailed + "\r\nRegards\r\n")), bundle);
}

TEST(CertificateFile, EveryTruncationInsideABlockIsFound) {
  Bundle bundle;
  bundle.request = full().request;
  const std::string text = bundle_text(bundle);
  for (std::size_t length = 0; length + 1 < text.size(); ++length) {
    EXPECT_FALSE(parse_bundle(text.substr(0, length)).has_value()) << length;
  }
}

TEST(CertificateFile, FlippedBitsGiveAnErrorOrAnotherRecordThatDoesNotVerify) {
  Bundle bundle;
  bundle.request = full().request;
  const std::string text = bundle_text(bundle);
  for (std::size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string changed = text;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ static_cast<char>(1 << (bit % 8)));
    const auto parsed = parse_bundle(changed);
    if (!parsed || !parsed->request || *parsed->request == *bundle.request) continue;
    EXPECT_FALSE(verify_request(*parsed->request).has_value()) << bit;
  }
}

TEST(CertificateFile, OtherFilesAreRefusedInWords) {
  expect_error(parse_bundle(""), ErrorCode::BadInput, "no block");
  expect_error(parse_bundle("hello\n"), ErrorCode::BadInput, "no block");
  expect_error(parse_bundle("-----BEGIN TOMOGRID PIZZA-----\nAAAA\n-----END TOMOGRID PIZZA-----\n"),
               ErrorCode::BadInput, "unknown");
  expect_error(parse_bundle("-----BEGIN TOMOGRID REQUEST-----\n!\n-----END TOMOGRID REQUEST-----\n"),
               ErrorCode::BadInput, "base64");
  Bundle bundle;
  bundle.anchor = full().anchor;
  const std::string text = bundle_text(bundle);
  expect_error(parse_bundle(text + text), ErrorCode::BadInput, "two blocks");
  expect_error(parse_bundle(std::string(kBundleLimit + 1, ' ')), ErrorCode::BadInput, "too large");
  // A request in a block of revocations.
  bundle = {};
  bundle.request = full().request;
  std::string wrong = bundle_text(bundle);
  for (std::size_t at = wrong.find("REQUEST"); at != std::string::npos; at = wrong.find("REQUEST", at)) {
    wrong.replace(at, 7, "REVOCATIONS");
  }
  expect_error(parse_bundle(wrong), ErrorCode::BadInput, "a block holds a request");
}

}  // namespace
}  // namespace tomogrid::certs
