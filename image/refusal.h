// How this room's readers say no: thrown deep inside nested reading, turned into one Result at the room's door.
// Not for other rooms.
#pragma once

#include <filesystem>
#include <new>
#include <string>
#include <utility>

#include "base/result.h"

namespace tomogrid::image {

struct Refusal {
  std::string what;
};

[[noreturn]] inline void refuse(std::string what) { throw Refusal{std::move(what)}; }
inline void refuse_unless(bool condition, const char* what) {
  if (!condition) throw Refusal{what};
}

// A value, or throws what is wrong with it.
template <class T>
T expect(Result<T> result) {
  if (!result) refuse(result.error().message);
  return std::move(result).value();
}

// Runs `read`; a Refusal becomes BadInput that begins with the file's name.
template <class T, class Read>
Result<T> guarded(const std::filesystem::path& path, Read read) {
  try {
    return read();
  } catch (const Refusal& refusal) {
    return Error{ErrorCode::BadInput, path.string() + ": " + refusal.what};
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::BadInput, path.string() + ": needs more memory than this machine has"};
  }
}

}  // namespace tomogrid::image
