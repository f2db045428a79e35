// Certificates, requests and lists as text files that survive mail: blocks of base64 between BEGIN and END lines.
//
//   -----BEGIN TOMOGRID CERTIFICATE CHAIN-----
//   ... base64, 64 characters a line ...
//   -----END TOMOGRID CERTIFICATE CHAIN-----
//
// Blocks ANCHOR, CERTIFICATE CHAIN, REQUEST and REVOCATIONS, each at most once; text outside blocks is ignored, so a
// file may explain itself. Nothing in a file is trusted for being there.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "certs/certificate.h"

namespace tomogrid::certs {

inline constexpr std::size_t kBundleLimit = 256 * 1024;

struct Bundle {
  std::optional<Anchor> anchor;
  std::optional<CertificateChain> chain;
  std::optional<Signed> request;
  std::optional<Signed> revocations;
  bool operator==(const Bundle&) const = default;
};

std::string bundle_text(const Bundle& bundle);
// BadInput: no block, an unknown or repeated or unfinished one, bad base64, a malformed body.
Result<Bundle> parse_bundle(std::string_view text);

Result<Bundle> read_bundle(const std::filesystem::path& path);
Result<void> write_bundle(const std::filesystem::path& path, const Bundle& bundle);

}  // namespace tomogrid::certs
