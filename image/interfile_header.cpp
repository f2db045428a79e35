#include "image/interfile_header.h"

#include <cmath>

#include "base/text.h"
#include "image/numbers.h"
#include "image/refusal.h"

namespace tomogrid::image {

namespace {

constexpr std::size_t kMaxLine = 64 * 1024;
constexpr std::size_t kMaxKeys = 4096;

std::string quoted(std::string_view key) {
  return "\"" + printable(key.substr(0, 60)) + "\"";
}

}  // namespace

std::string interfile_key(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '_' || c == '!' || c == '\r') continue;
    result.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return result;
}

InterfileHeader::InterfileHeader(std::string_view text) {
  bool begun = false;
  std::size_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::string where = "line " + std::to_string(line_number);
    if (line.size() > kMaxLine) refuse(where + " is longer than 64 KiB");
    line = trimmed(line.substr(0, line.find(';')));
    if (line.empty()) continue;
    if (line.find('\0') != std::string_view::npos) refuse(where + " is not text");
    const std::size_t sign = line.find(":=");
    if (sign == std::string_view::npos) refuse(where + " is not \"key := value\"");
    const std::string key = interfile_key(line.substr(0, sign));
    const std::string value(trimmed(line.substr(sign + 2)));
    if (!begun) {
      if (key != "interfile") refuse("it does not begin with !INTERFILE");
      begun = true;
      continue;
    }
    if (key == "endofinterfile") return;
    if (key.empty()) refuse(where + " has no key");
    const auto [place, fresh] = values_.emplace(key, value);
    if (!fresh && place->second.empty())
      place->second = value;
    else if (!fresh && !value.empty() && interfile_key(place->second) != interfile_key(value)) {
      refuse(quoted(trimmed(line.substr(0, sign))) + " is there twice with different values");
    }
    if (values_.size() > kMaxKeys) refuse("more than " + std::to_string(kMaxKeys) + " keys");
  }
  refuse(begun ? "it does not end with !END OF INTERFILE: truncated" : "it does not begin with !INTERFILE");
}

const std::string* InterfileHeader::find(std::string_view key) const {
  const auto found = values_.find(interfile_key(key));
  return found == values_.end() ? nullptr : &found->second;
}

bool InterfileHeader::has(std::string_view key) const {
  const std::string* value = find(key);
  return value != nullptr && !value->empty();
}

std::string InterfileHeader::text(std::string_view key) const {
  const std::string* value = find(key);
  return value == nullptr ? std::string() : *value;
}

std::string InterfileHeader::word(std::string_view key) const {
  return interfile_key(text(key));
}

std::optional<double> InterfileHeader::number(std::string_view key) const {
  if (!has(key)) return std::nullopt;
  const auto value = parse_double(text(key));
  if (!value) refuse(quoted(key) + " is not a number");
  return value;
}

std::vector<double> InterfileHeader::numbers(std::string_view key) const {
  const std::string value = text(key);
  std::string_view rest = trimmed(value);
  if (!rest.empty() && rest.front() == '{') {
    if (rest.back() != '}') refuse(quoted(key) + " has no closing brace");
    rest = rest.substr(1, rest.size() - 2);
  }
  std::vector<double> result;
  while (!trimmed(rest).empty()) {
    const std::size_t end = rest.find(',');
    const auto number = parse_double(rest.substr(0, end));
    if (!number) refuse(quoted(key) + " is not a list of numbers");
    result.push_back(*number);
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return result;
}

std::size_t InterfileHeader::count_or(std::string_view key, std::size_t fallback, std::size_t least,
                                      std::size_t most) const {
  const std::optional<double> value = number(key);
  if (!value) return fallback;
  if (*value < static_cast<double>(least) || *value > static_cast<double>(most) || *value != std::floor(*value)) {
    refuse(quoted(key) + " is not a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<std::size_t>(*value);
}

std::size_t InterfileHeader::count(std::string_view key, std::size_t least, std::size_t most) const {
  if (!has(key)) refuse(quoted(key) + " is missing");
  return count_or(key, least, least, most);
}

}  // namespace tomogrid::image
