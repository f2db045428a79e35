// Addresses of roles as people write them: `HOST:PORT,KEY`, on command lines, in INI files and in ready lines.
//
// HOST is a name, an IPv4 address, or an IPv6 address in brackets. KEY is the transport key of the role that shall
// answer there (the certificate it shows must name that key): 64 hexadecimal digits, which no shell or INI file minds,
// or the 40 characters of Z85 that ZeroMQ uses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "certs/roles.h"
#include "wire/machine.h"

namespace tomogrid::registry {

// "127.0.0.1:4040,<key>": whom to dial for `role`. Usage says which part is wrong.
Result<wire::Target> parse_address(std::string_view text, certs::Role role);
// The form with hexadecimal digits.
std::string address_text(const wire::Target& target);

// Each of `words` is an address or the name of a file with one address a line ('#' begins a comment): NotFound, Usage.
Result<std::vector<wire::Target>> read_addresses(const std::vector<std::string>& words, certs::Role role);

// Where a role listens: "HOST:PORT", port 0 for any free one; "*:4040" for every interface. Usage.
struct ListenAddress {
  std::string host;
  std::uint16_t port = 0;
};
Result<ListenAddress> parse_listen(std::string_view text);

}  // namespace tomogrid::registry
