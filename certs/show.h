// Private to this folder: certificates and lists in words and as JSON.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/time.h"
#include "certs/authority.h"
#include "certs/certificate.h"
#include "certs/files.h"

namespace tomogrid::certs {

// What is needed to say whether a certificate holds, and not only what it claims.
struct Judge {
  WallTime now;
  std::optional<Anchor> anchor = {};  // nullopt: claims are shown as not checked
  RevocationList revocations = {};
};

std::string in_words(const Certificate& certificate);
// The whole file: the verdict on a chain first, then what each certificate says.
std::string in_words(const Bundle& bundle, const Judge& judge);
nlohmann::ordered_json as_json(const Certificate& certificate);
nlohmann::ordered_json as_json(const Bundle& bundle, const Judge& judge);

}  // namespace tomogrid::certs
