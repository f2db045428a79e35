#include "job/job.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace tomogrid::job {

std::string id_text(const std::array<std::uint8_t, 16>& bytes) { return to_hex(bytes); }

std::optional<std::array<std::uint8_t, 16>> id_bytes(std::string_view text) {
  const auto bytes = from_hex(text);
  if (!bytes || bytes->size() != 16) return std::nullopt;
  std::array<std::uint8_t, 16> id{};
  std::copy(bytes->begin(), bytes->end(), id.begin());
  return id;
}

std::string_view to_string(JobState state) {
  switch (state) {
    case JobState::Queued: return "queued";
    case JobState::Running: return "running";
    case JobState::Finished: return "finished";
    case JobState::Failed: return "failed";
    case JobState::Cancelled: return "cancelled";
  }
  return "unknown";
}

std::string_view to_string(Retry retry) {
  switch (retry) {
    case Retry::Here: return "here";
    case Retry::Elsewhere: return "elsewhere";
    case Retry::Never: return "never";
  }
  return "unknown";
}

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '.') return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
  });
}

std::string to_string(const ServiceName& service) { return service.name + "/" + std::to_string(service.version); }

std::optional<ServiceName> parse_service_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos || !is_name(text.substr(0, slash))) return std::nullopt;
  const std::string_view digits = text.substr(slash + 1);
  std::uint32_t version = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), version);
  if (error != std::errc{} || end != digits.data() + digits.size() || version < 1 || version > 65535) return std::nullopt;
  return ServiceName{std::string(text.substr(0, slash)), version};
}

}  // namespace tomogrid::job
