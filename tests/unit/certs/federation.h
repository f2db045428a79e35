// A small federation in memory with the same keys every time.
#pragma once

#include <gtest/gtest.h>

#include "certs/certs.h"

namespace tomogrid::certs {

inline constexpr WallTime kNow{1'790'000'000'000};  // 2026-09-21
inline constexpr std::chrono::hours kDay{24};

inline std::unique_ptr<SecretKeys> seeded(std::uint8_t n) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = n;
  return SecretKeys::from_seed(seed);
}

inline Signed request_of(const SecretKeys& keys, const std::string& name, Roles roles) {
  return make_request(keys, {.federation = "north", .subject = name, .roles = roles, .made = kNow});
}

template <class T>
T good(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}

// The result is refused with this code and its message contains these words.
template <class T>
void expect_error(const Result<T>& result, ErrorCode code, const std::string& words) {
  ASSERT_FALSE(result.has_value()) << "no error, expected: " << words;
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
}

}  // namespace tomogrid::certs
