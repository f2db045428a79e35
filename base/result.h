// Outcomes that a caller must consider: a value, or a code with a sentence.
//
// Three kinds of trouble, three treatments (CONTRIBUTING.md): an outcome is a Result; a broken world (cannot bind, disk
// full) is an exception, `Failure` below; a bug is TOMOGRID_ASSERT, in release builds too.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>
#include <variant>

namespace tomogrid {

// What kind of trouble, and the exit status a command ends with. Listed by `tomogrid --help`.
enum class ErrorCode : int {
  Internal = 1,      // a bug, or the world broke in a way we have no name for
  Usage = 2,         // the command line or the configuration
  BadInput = 3,      // a file or message is malformed, of the wrong kind, or contradicts itself
  Unreachable = 4,   // nobody answered: no registry, no manager, no node; a cut link
  Refused = 5,       // they answered no: certificate, role, ownership, quota
  Unplaceable = 6,   // no node can ever run this as asked
  JobFailed = 7,     // the job ran and failed
  Cancelled = 8,     // by the user, or by an administrator
  NotFound = 9,      // no such job, member, file
  Conflict = 10,     // the same id with other content
  Storage = 11,      // disk full, not writable
  Unverified = 12,   // a signature, hash or receipt does not match
  Interrupted = 130, // detached by Ctrl-C
};

// What went wrong. `message` is one sentence without a final stop: what was tried, on what, and the remedy.
struct Error {
  ErrorCode code = ErrorCode::Internal;
  std::string message;
  bool operator==(const Error&) const = default;
};

// The world is broken. Thrown by constructors and adapters; caught in main and in the loop's dispatcher only.
class Failure final : public std::runtime_error {
 public:
  explicit Failure(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  Failure(ErrorCode code, std::string message) : Failure(Error{code, std::move(message)}) {}
  const Error& error() const { return error_; }

 private:
  Error error_;
};

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

// A value or an Error, with the names of std::expected (which g++ 12 has only under C++23).
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { require(); return std::get<0>(state_); }
  const T& value() const& { require(); return std::get<0>(state_); }
  T&& value() && { require(); return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  // Requires !has_value().
  const Error& error() const { return std::get<1>(state_); }
  // The value, or the world is broken: for callers that have no other answer. Throws Failure.
  T or_throw() && {
    if (!has_value()) throw Failure(error());
    return std::get<0>(std::move(state_));
  }

 private:
  void require() const { if (!has_value()) assertion_failed(error().message.c_str(), "Result::value", 0); }
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  const Error& error() const { return std::get<1>(state_); }
  void or_throw() && { if (!has_value()) throw Failure(error()); }

 private:
  std::variant<std::monostate, Error> state_;
};

}  // namespace tomogrid

// A bug if false; checked in every build. Prints where and aborts.
#define TOMOGRID_ASSERT(condition) \
  ((condition) ? void(0) : ::tomogrid::assertion_failed(#condition, __FILE__, __LINE__))
