#include "wire/messages/codec.h"

namespace tomogrid::wire::codec {

namespace {

// A text pointer may be null (canonical for empty); its reader is then empty.
std::string whole(::capnp::Text::Reader text, const char* field, std::size_t limit) {
  if (text.size() > limit) refuse(field, "has " + std::to_string(text.size()) + " bytes");
  return std::string(text.begin(), text.end());
}

bool is_visible(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

}  // namespace

std::string sentence(const std::string& text, std::size_t limit) {
  std::string result = printable(text);
  if (result.size() <= limit) return result;
  std::size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(result[end]) & 0xc0) == 0x80) --end;   // not within a character
  result.resize(end);
  return result;
}

std::string get_name(::capnp::Text::Reader text, const char* field) {
  std::string name = whole(text, field, 63);
  if (!job::is_name(name)) refuse(field, "is not a name of [a-z0-9.-]");
  return name;
}

std::string get_word(::capnp::Text::Reader text, const char* field, std::size_t limit, bool may_be_empty) {
  std::string word = whole(text, field, limit);
  if (word.empty() && !may_be_empty) refuse(field, "is empty");
  if (!is_visible(word)) refuse(field, "holds a character that is not visible ASCII");
  return word;
}

std::string get_sentence(::capnp::Text::Reader text, const char* field, std::size_t limit) {
  std::string result = whole(text, field, limit);
  if (!is_utf8(result)) refuse(field, "is not UTF-8");
  if (result != sentence(result, limit)) refuse(field, "holds control characters");
  return result;
}

ByteString get_bytes(::capnp::Data::Reader data, const char* field, std::size_t limit) {
  if (data.size() > limit) refuse(field, "has " + std::to_string(data.size()) + " bytes");
  return ByteString(data.begin(), data.end());
}

double get_number(double value, const char* field) {
  if (!std::isfinite(value) || value < 0 || std::signbit(value)) refuse(field, "is not a finite number of at least 0");
  return value;
}

WallTime get_wall(std::int64_t unix_ms, const char* field) {
  constexpr std::int64_t kEndOf9999 = 253'402'300'799'999;
  if (unix_ms < 0 || unix_ms > kEndOf9999) refuse(field, "is not a time between 1970 and 9999");
  return {unix_ms};
}

std::chrono::milliseconds get_span(std::int64_t ms, const char* field) {
  constexpr std::int64_t kTenYears = 10LL * 366 * 24 * 3600 * 1000;
  if (ms < 0 || ms > kTenYears) refuse(field, "is not a span between 0 and ten years");
  return std::chrono::milliseconds(ms);
}

certs::Signed get_signed(::capnp::Data::Reader data, const char* field, std::string_view kind) {
  auto record = certs::decode_signed({data.begin(), data.size()});
  if (!record) refuse(field, "is not a signed record: " + record.error().message);
  if (record->kind != kind) refuse(field, "is a signed " + record->kind + ", not a signed " + std::string(kind));
  return std::move(*record);
}

}  // namespace tomogrid::wire::codec
