#include "registry/address.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "base/text.h"

namespace tomogrid::registry {

namespace {

Error wrong(std::string_view text, const std::string& why) {
  return {ErrorCode::Usage, "\"" + printable(text) + "\" is not an address HOST:PORT,KEY: " + why};
}

std::optional<certs::TransportPublicKey> parse_key(std::string_view text) {
  if (text.size() == 40) return certs::parse_z85(text);
  const auto bytes = text.size() == 64 ? from_hex(text) : std::nullopt;
  if (!bytes) return std::nullopt;
  certs::TransportPublicKey key;
  std::copy(bytes->begin(), bytes->end(), key.bytes.begin());
  return key;
}

bool is_host(std::string_view host) {
  return !host.empty() && host.size() <= 255 &&
         std::all_of(host.begin(), host.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '/' && c != ','; });
}

std::optional<ListenAddress> split(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // an IPv6 address without brackets: which colon begins the port?
  }
  ListenAddress address{std::string(host), 0};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc() || end != digits.data() + digits.size() || !is_host(host)) return std::nullopt;
  return address;
}

}  // namespace

Result<wire::Target> parse_address(std::string_view text, certs::Role role) {
  const std::size_t comma = text.find(',');
  if (comma == std::string_view::npos) return wrong(text, "the key is missing; the role prints it as it starts");
  const auto where = split(text.substr(0, comma));
  if (!where || where->port == 0) return wrong(text, "HOST:PORT needs a host and a port from 1 to 65535");
  const auto key = parse_key(text.substr(comma + 1));
  if (!key) return wrong(text, "the key has 64 hexadecimal digits, or 40 characters of Z85");
  wire::Target target;
  target.host = where->host;
  target.control_port = where->port;
  target.transport_key = *key;
  target.role = role;
  return target;
}

std::string address_text(const wire::Target& target) {
  const bool six = target.host.find(':') != std::string::npos;
  return (six ? "[" + target.host + "]" : target.host) + ":" + std::to_string(target.control_port) + "," +
         to_hex(target.transport_key.bytes);
}

Result<std::vector<wire::Target>> read_addresses(const std::vector<std::string>& words, certs::Role role) {
  std::vector<wire::Target> targets;
  for (const std::string& word : words) {
    if (word.find(',') != std::string::npos) {
      auto target = parse_address(word, role);
      if (!target) return target.error();
      targets.push_back(*std::move(target));
      continue;
    }
    const auto content = read_file(word, mebibytes(1));
    if (!content) return content.error();
    std::string_view rest = text_of(*content);
    while (!rest.empty()) {
      std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.starts_with('#')) continue;
      while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) line.remove_suffix(1);
      while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
      if (line.empty() || line.front() == '#') continue;
      auto target = parse_address(line, role);
      if (!target) return Error{target.error().code, word + ": " + target.error().message};
      targets.push_back(*std::move(target));
    }
  }
  return targets;
}

Result<ListenAddress> parse_listen(std::string_view text) {
  const auto address = split(text);
  if (!address) {
    return Error{ErrorCode::Usage,
                 "\"" + printable(text) +
                     "\" is not HOST:PORT; write 127.0.0.1:0 for any free port, *:4040 for every interface"};
  }
  return *address;
}

}  // namespace tomogrid::registry
