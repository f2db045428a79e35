// Small text conversions that several rooms need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tomogrid {

using ByteString = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

inline ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text_of(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string to_hex(ByteView bytes);
// Lower or upper case; nullopt unless every character is a hexadecimal digit and the count is even.
std::optional<ByteString> from_hex(std::string_view text);

// True for well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates).
bool is_utf8(std::string_view text);
// `text` with control characters (C0, DEL, C1) removed and ill-formed bytes replaced by '?': safe for a terminal.
std::string printable(std::string_view text);
// "12.3 MiB", "640 B".
std::string human_bytes(std::uint64_t bytes);
// "3 h 05 min", "4 min 10 s", "12 s".
std::string human_seconds(double seconds);
// "2026-11-25T01:20:15Z".
std::string iso_time(std::int64_t unix_ms);

}  // namespace tomogrid
