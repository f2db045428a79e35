// The text half of an Interfile 3.3 file: lines `key := value`. A small strict reader of ours, because Debian has no
// library for it. Pure; not for other rooms. Throws Refusal.
//
// As the standard says (Todd-Pokropek, Cradduck and Deconinck 1992): keys and words ignore case, blanks, tabs,
// underscores and '!'; ';' begins a comment; reading stops at "END OF INTERFILE". Unlike it: a key given twice with
// different values is refused, and so are a missing end, lines longer than 64 KiB, more than 4096 keys and bytes that
// are not text.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tomogrid::image {

class InterfileHeader {
 public:
  explicit InterfileHeader(std::string_view text);

  // Keys are given as people write them: "matrix size [1]".
  bool has(std::string_view key) const;
  std::string text(std::string_view key) const;                     // as written, trimmed; "" when absent or empty
  std::string word(std::string_view key) const;                     // lower case, without blanks: for comparison
  std::optional<double> number(std::string_view key) const;         // refused when there but not a number
  std::vector<double> numbers(std::string_view key) const;          // "1, 2, 3" or "{1, 2, 3}"
  std::size_t count(std::string_view key, std::size_t least, std::size_t most) const;
  std::size_t count_or(std::string_view key, std::size_t fallback, std::size_t least, std::size_t most) const;

 private:
  const std::string* find(std::string_view key) const;
  std::map<std::string, std::string, std::less<>> values_;
};

// Lower case, without blanks, tabs, underscores and '!'.
std::string interfile_key(std::string_view text);

}  // namespace tomogrid::image
