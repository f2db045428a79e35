#include "certs/files.h"

#include <sodium.h>

#include "base/file.h"

namespace tomogrid::certs {

namespace {

constexpr std::string_view kAnchor = "ANCHOR";
constexpr std::string_view kChain = "CERTIFICATE CHAIN";
constexpr std::string_view kRequest = "REQUEST";
constexpr std::string_view kRevocations = "REVOCATIONS";
constexpr std::string_view kBegin = "-----BEGIN TOMOGRID ";
constexpr std::string_view kEnd = "-----END TOMOGRID ";
constexpr std::string_view kDashes = "-----";

Error malformed(std::string why) {
  return {ErrorCode::BadInput, "not a Tomogrid certificate file: " + std::move(why)};
}

std::string armor(std::string_view label, ByteView bytes) {
  std::string base64(sodium_base64_ENCODED_LEN(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
  sodium_bin2base64(base64.data(), base64.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
  base64.pop_back();  // the terminating zero
  std::string text;
  text.append(kBegin).append(label).append(kDashes).append("\n");
  for (std::size_t i = 0; i < base64.size(); i += 64) text.append(base64, i, 64).append("\n");
  return text.append(kEnd).append(label).append(kDashes).append("\n");
}

std::optional<ByteString> from_base64(const std::string& base64) {
  ByteString bytes(base64.size() / 4 * 3 + 3);
  std::size_t length = 0;
  if (sodium_base642bin(bytes.data(), bytes.size(), base64.data(), base64.size(), nullptr, &length, nullptr,
                        sodium_base64_VARIANT_ORIGINAL) != 0) {
    return std::nullopt;
  }
  bytes.resize(length);
  return bytes;
}

// Puts a decoded body into its place of the bundle, once.
template <class T>
Result<void> put(std::optional<T>& place, Result<T> value, std::string_view label) {
  if (!value) return value.error();
  if (place) return malformed("it has two blocks " + std::string(label));
  place = *std::move(value);
  return {};
}

Result<Signed> record_of(ByteView bytes, std::string_view kind) {
  auto record = decode_signed(bytes);
  if (record && record->kind != kind)
    return malformed("a block holds a " + record->kind + ", not a " + std::string(kind));
  return record;
}

Result<void> put_block(Bundle& bundle, std::string_view label, ByteView bytes) {
  if (label == kAnchor) return put(bundle.anchor, decode_anchor(bytes), label);
  if (label == kChain) return put(bundle.chain, decode_chain(bytes), label);
  if (label == kRequest) return put(bundle.request, record_of(bytes, kinds::request), label);
  if (label == kRevocations) return put(bundle.revocations, record_of(bytes, kinds::revocations), label);
  return malformed("block " + printable(label) + " is unknown; is there a newer version of this program?");
}

// The next line without its end (LF or CR LF); removes it from `text`.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::string bundle_text(const Bundle& bundle) {
  std::string text;
  if (bundle.anchor) text += armor(kAnchor, encode(*bundle.anchor));
  if (bundle.chain) text += armor(kChain, encode(*bundle.chain));
  if (bundle.request) text += armor(kRequest, encode(*bundle.request));
  if (bundle.revocations) text += armor(kRevocations, encode(*bundle.revocations));
  return text;
}

Result<Bundle> parse_bundle(std::string_view text) {
  if (text.size() > kBundleLimit) return malformed("it is too large");
  Bundle bundle;
  while (!text.empty()) {
    const std::string_view begin = take_line(text);
    if (!begin.starts_with(kBegin) || !begin.ends_with(kDashes) || begin.size() < kBegin.size() + kDashes.size())
      continue;
    const std::string_view label = begin.substr(kBegin.size(), begin.size() - kBegin.size() - kDashes.size());
    const std::string last = std::string(kEnd) + std::string(label) + std::string(kDashes);
    std::string base64;
    bool ended = false;
    while (!text.empty() && !ended) {
      const std::string_view line = take_line(text);
      ended = line == last;
      if (!ended) base64 += line;
    }
    if (!ended) return malformed("block " + printable(label) + " has no end: the file is cut short");
    const auto bytes = from_base64(base64);
    if (!bytes) return malformed("block " + printable(label) + " is not base64: it was altered on its way");
    if (auto done = put_block(bundle, label, *bytes); !done) return done.error();
  }
  if (bundle == Bundle{}) return malformed("it holds no block; a file begins with " + std::string(kBegin) + "...");
  return bundle;
}

Result<Bundle> read_bundle(const std::filesystem::path& path) {
  auto content = read_file(path, Bytes(kBundleLimit));
  if (!content) return content.error();
  auto bundle = parse_bundle(text_of(*content));
  if (!bundle) return Error{bundle.error().code, path.string() + ": " + bundle.error().message};
  return bundle;
}

Result<void> write_bundle(const std::filesystem::path& path, const Bundle& bundle) {
  return write_file(path, bytes_of(bundle_text(bundle)));
}

}  // namespace tomogrid::certs
