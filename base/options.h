// A command line that explains itself: one table yields parsing, INI configuration, --help and the reference page.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tomogrid {

// One option. Without a value name it is a flag. Also a line `name = value` of the command's INI file.
struct Option {
  std::string name;           // "iterations"; a single letter may follow a comma: "output,o"
  std::string value_name;     // "N", "FILE"; empty: a flag
  std::string help;           // one sentence with the unit and the default's reason
  std::optional<std::string> default_value = std::nullopt;
  bool repeated = false;
};

// What the user gave, checked against the table. Getters name the option in their errors.
class Arguments {
 public:
  bool flag(std::string_view name) const;
  bool given(std::string_view name) const;                       // on the command line or in the INI file
  std::string text(std::string_view name) const;                 // Requires a default or given(); else throws Failure(Usage)
  std::optional<std::string> optional_text(std::string_view name) const;
  std::vector<std::string> texts(std::string_view name) const;
  // Whole text must be a number within [least, most]; else throws Failure(Usage) that says the range.
  std::int64_t integer(std::string_view name, std::int64_t least, std::int64_t most) const;
  // Of an option that may be given several times; empty when it is not.
  std::vector<std::int64_t> integers(std::string_view name, std::int64_t least, std::int64_t most) const;
  double number(std::string_view name, double least, double most) const;
  const std::vector<std::string>& positional() const { return positional_; }

 private:
  friend class Command;
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::map<std::string, bool, std::less<>> given_;
  std::vector<std::string> positional_;
};

// A program or subcommand. Everything here is shown by --help, in this order.
class Command {
 public:
  std::string name;                    // "tomogrid recon"
  std::string summary;                 // one line
  std::string usage;                   // "SCAN -o VOLUME [options]"
  std::string description;             // paragraphs; may be empty
  std::vector<Option> options;         // --help, --json, --config and --log-level are added to all
  std::vector<std::string> examples;   // command lines that work
  std::size_t positional_min = 0;
  std::size_t positional_max = 0;
  std::function<int(const Arguments&)> run;

  // Parses and runs. Prints help (exit 0), or one line of error with a hint (exit 2), or what run() returned.
  // A Failure thrown by run() is printed as one line (as JSON with --json) and becomes its code's exit status.
  int main(int argc, const char* const* argv) const;
  // For tests: parse only.
  Result<Arguments> parse(const std::vector<std::string>& words) const;
  std::string help() const;
};

}  // namespace tomogrid
