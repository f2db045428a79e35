#include "image/nuclides.h"

#include <algorithm>
#include <array>
#include <vector>

#include "image/numbers.h"

namespace tomogrid::image {

namespace {

struct Nuclide {
  const char* name;     // "Tc-99m"
  const char* symbol;   // lower case
  const char* element;  // lower case
  const char* mass;     // "99m"
  double half_life_s;
};

constexpr double kHour = 3600, kDay = 86400, kYear = 365.25 * 86400;
constexpr std::array<Nuclide, 21> kNuclides{{
    {"Tc-99m", "tc", "technetium", "99m", 6.0067 * kHour}, {"I-123", "i", "iodine", "123", 13.2235 * kHour},
    {"I-125", "i", "iodine", "125", 59.407 * kDay},        {"I-131", "i", "iodine", "131", 8.0252 * kDay},
    {"In-111", "in", "indium", "111", 2.8047 * kDay},      {"Tl-201", "tl", "thallium", "201", 3.0421 * kDay},
    {"Ga-67", "ga", "gallium", "67", 3.2617 * kDay},       {"Lu-177", "lu", "lutetium", "177", 6.6443 * kDay},
    {"Xe-133", "xe", "xenon", "133", 5.2475 * kDay},       {"Kr-81m", "kr", "krypton", "81m", 13.1},
    {"Y-90", "y", "yttrium", "90", 2.6684 * kDay},         {"Sm-153", "sm", "samarium", "153", 46.284 * kHour},
    {"Ho-166", "ho", "holmium", "166", 26.812 * kHour},    {"Re-186", "re", "rhenium", "186", 3.7186 * kDay},
    {"Re-188", "re", "rhenium", "188", 17.005 * kHour},    {"Ra-223", "ra", "radium", "223", 11.4352 * kDay},
    {"Ac-225", "ac", "actinium", "225", 9.920 * kDay},     {"Pb-212", "pb", "lead", "212", 10.622 * kHour},
    {"Co-57", "co", "cobalt", "57", 271.811 * kDay},       {"F-18", "f", "fluorine", "18", 1.82890 * kHour},
    {"Cs-137", "cs", "caesium", "137", 30.018 * kYear},
}};

constexpr std::array<const char*, 26> kCollimators{
    "LEHR",  "LEHS", "LEGP", "LEAP", "LEUHR", "LEVXGP", "LEHRHS", "LEHRS", "UHR",  "VXGP", "WEHR", "WEHR45", "ELEGP",
    "ELEAP", "MEGP", "MEAP", "MELP", "MEHRS", "MEHR",   "MEHS",   "ME",    "HEGP", "HEAP", "HEHR", "HE",     "UHE"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return c >= 'a' && c <= 'z';
}

// Runs of letters and runs of digits; an 'm' right behind digits stays with them unless a small letter follows
// ("99mTc").
std::vector<std::string> tokens_of(std::string_view text) {
  text = text.substr(0, 128);
  const std::string lower = lower_case(text);
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < lower.size();) {
    std::size_t end = i;
    if (is_digit(lower[i])) {
      while (end < lower.size() && is_digit(lower[end])) ++end;
      if (end < lower.size() && lower[end] == 'm' && (end + 1 == lower.size() || !is_letter(text[end + 1]))) ++end;
    } else if (is_letter(lower[i])) {
      while (end < lower.size() && is_letter(lower[end])) ++end;
    } else {
      ++i;
      continue;
    }
    tokens.push_back(lower.substr(i, end - i));
    i = end;
  }
  return tokens;
}

}  // namespace

std::optional<std::string> nuclide_in(std::string_view text) {
  const std::vector<std::string> tokens = tokens_of(text);
  const auto has = [&tokens](const char* word) {
    return std::find(tokens.begin(), tokens.end(), word) != tokens.end();
  };
  for (const Nuclide& nuclide : kNuclides) {
    if (has(nuclide.mass) && (has(nuclide.element) || has(nuclide.symbol))) return nuclide.name;
  }
  return std::nullopt;
}

std::optional<Seconds> half_life_of(std::string_view name) {
  for (const Nuclide& nuclide : kNuclides) {
    if (name == nuclide.name) return Seconds(nuclide.half_life_s);
  }
  return std::nullopt;
}

std::optional<std::string> collimator_in(std::string_view text) {
  std::string upper(text.substr(0, 64));
  for (char& c : upper) c = (c >= 'a' && c <= 'z') ? static_cast<char>(c - 'a' + 'A') : c;
  const auto inside_word = [](char c) { return (c >= 'A' && c <= 'Z') || is_digit(c); };
  for (std::size_t i = 0; i < upper.size();) {
    std::size_t end = i;
    while (end < upper.size() && inside_word(upper[end])) ++end;
    const std::string_view word = std::string_view(upper).substr(i, end - i);
    for (const char* known : kCollimators) {
      if (word == known) return std::string(word);
    }
    i = end + 1;
  }
  return std::nullopt;
}

}  // namespace tomogrid::image
