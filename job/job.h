// What is asked of a node, and what becomes of it. Values only; the vocabulary that the federation and the workers share.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/quantity.h"
#include "base/result.h"

namespace tomogrid::job {

// 128 random bits, written as 32 hexadecimal digits. `Tag` keeps the kinds apart.
template <class Tag>
struct Id {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Id&) const = default;
};
using JobId = Id<struct JobTag>;          // the only pseudonym of a patient's scan
using TicketId = Id<struct TicketTag>;
using RequestId = Id<struct RequestTag>;  // one question to a manager

std::string id_text(const std::array<std::uint8_t, 16>& bytes);
std::optional<std::array<std::uint8_t, 16>> id_bytes(std::string_view text);
template <class Tag>
std::string to_string(const Id<Tag>& id) { return id_text(id.bytes); }
// The first 8 digits: enough for a log line.
template <class Tag>
std::string short_text(const Id<Tag>& id) { return id_text(id.bytes).substr(0, 8); }
template <class IdType>
std::optional<IdType> parse_id(std::string_view text) {
  const auto bytes = id_bytes(text);
  if (!bytes) return std::nullopt;
  return IdType{*bytes};
}

// Whether the input is complete is a separate fact: a service with streamed input runs while it arrives.
enum class JobState : std::uint8_t { Queued, Running, Finished, Failed, Cancelled };
std::string_view to_string(JobState state);
constexpr bool is_terminal(JobState s) { return s == JobState::Finished || s == JobState::Failed || s == JobState::Cancelled; }

// Where trying again makes sense after a failure.
enum class Retry : std::uint8_t { Here, Elsewhere, Never };
std::string_view to_string(Retry retry);

// Why a job failed. `code` is a stable word ("bad-input", "out-of-memory", "worker-died", "lost", "timeout"); `message`
// holds codes and sizes only, never content of the input.
struct JobFailure {
  std::string code;
  std::string message;
  Retry retry = Retry::Never;
  bool operator==(const JobFailure&) const = default;
};

// "recon.spect/1": name [a-z0-9.-]{1,63}, version 1 to 65535.
struct ServiceName {
  std::string name;
  std::uint32_t version = 1;
  auto operator<=>(const ServiceName&) const = default;
};
std::string to_string(const ServiceName& service);
std::optional<ServiceName> parse_service_name(std::string_view text);
// [a-z0-9.-]{1,63}; streams, members, parameters and services are named so. No leading dot: names become file names.
bool is_name(std::string_view text);

using ParameterValue = std::variant<bool, std::int64_t, double, std::string>;
using Parameters = std::map<std::string, ParameterValue>;

// What a job needs. cores_max 0: as many as are free.
struct Needs {
  std::uint32_t cores_min = 1;
  std::uint32_t cores_max = 0;
  Bytes memory;                        // the worker's own, beside scratch
  Bytes scratch;                       // inputs and outputs
  FlopCount work;                      // forecast; 0: unknown
  std::vector<std::string> labels;     // the node must have all of them
  bool operator==(const Needs&) const = default;
};

// What a node gives it.
struct Grant {
  std::uint32_t cores = 0;
  Bytes memory;
  Bytes scratch;
  bool operator==(const Grant&) const = default;
};

// A hash of content: 32 bytes (certs/content_hash.h computes it).
using Digest = std::array<std::uint8_t, 32>;

// A named input or output with its length. Content hash once it is known.
struct StreamFact {
  std::string name;
  Bytes length;
  Digest root{};
  bool operator==(const StreamFact&) const = default;
};

}  // namespace tomogrid::job
