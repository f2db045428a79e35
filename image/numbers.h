// Numbers as text, independent of the locale and exact both ways. Not for other rooms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tomogrid::image {

// The shortest text that reads back as the same double.
std::string shortest(double value);
// A DICOM Decimal String: at most 16 characters, as exact as they allow.
std::string decimal_string(double value);
// The whole text is one finite number. Spaces around it are allowed, a leading '+' too.
std::optional<double> parse_double(std::string_view text);
std::optional<std::int64_t> parse_integer(std::string_view text);
// The double whose shortest text is that of `value`: 3.32f becomes 3.32, not 3.319999933.
double widen(float value);
std::string_view trimmed(std::string_view text);
std::string lower_case(std::string_view text);

}  // namespace tomogrid::image
