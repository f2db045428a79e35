#include "base/options.h"

#include <boost/program_options.hpp>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/log.h"
#include "base/text.h"

namespace tomogrid {

namespace po = boost::program_options;

namespace {

std::string long_name(const Option& option) {
  return option.name.substr(0, option.name.find(','));
}

std::vector<Option> all_options(const Command& command) {
  std::vector<Option> all = command.options;
  all.push_back({"config", "FILE", "INI file with a line `option = value` for any option here; the command line wins"});
  all.push_back({"log-level", "LEVEL", "debug, info, warning or error", "warning"});
  all.push_back({"json", "", "results and errors as JSON"});
  all.push_back({"help,h", "", "this text"});
  return all;
}

po::options_description describe(const std::vector<Option>& options) {
  po::options_description table("Options");
  for (const Option& option : options) {
    if (option.value_name.empty()) {
      table.add_options()(option.name.c_str(), po::bool_switch(), option.help.c_str());
      continue;
    }
    auto* value = po::value<std::vector<std::string>>()->value_name(option.value_name);
    if (option.repeated) value->composing();
    std::string help = option.help;
    if (option.default_value && !option.default_value->empty()) help += " [" + *option.default_value + "]";
    table.add_options()(option.name.c_str(), value, help.c_str());
  }
  return table;
}

log::Level parse_level(const std::string& text) {
  if (text == "debug") return log::Level::Debug;
  if (text == "info") return log::Level::Info;
  if (text == "warning") return log::Level::Warning;
  if (text == "error") return log::Level::Error;
  throw Failure(ErrorCode::Usage, "--log-level " + text + ": not one of debug, info, warning, error");
}

int report(const Error& error, const std::string& name, bool json) {
  if (json) {
    const nlohmann::json body{{"error", printable(error.message)}, {"code", static_cast<int>(error.code)}};
    std::cout << body.dump() << "\n";
  }
  std::cerr << name << ": " << printable(error.message) << "\n";
  if (error.code == ErrorCode::Usage) std::cerr << "try: " << name << " --help\n";
  return static_cast<int>(error.code);
}

}  // namespace

bool Arguments::flag(std::string_view name) const {
  const auto found = values_.find(name);
  return found != values_.end() && !found->second.empty() && found->second.front() == "true";
}

bool Arguments::given(std::string_view name) const {
  const auto found = given_.find(name);
  return found != given_.end() && found->second;
}

std::optional<std::string> Arguments::optional_text(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end() || found->second.empty()) return std::nullopt;
  return found->second.back();
}

std::string Arguments::text(std::string_view name) const {
  auto value = optional_text(name);
  if (!value) throw Failure(ErrorCode::Usage, "--" + std::string(name) + " is needed");
  return *std::move(value);
}

std::vector<std::string> Arguments::texts(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

namespace {

std::int64_t whole_number(std::string_view name, const std::string& value, std::int64_t least, std::int64_t most) {
  std::int64_t parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (error != std::errc{} || end != value.data() + value.size() || parsed < least || parsed > most) {
    throw Failure(ErrorCode::Usage, "--" + std::string(name) + " " + value + ": a whole number from " +
                                        std::to_string(least) + " to " + std::to_string(most) + " is needed");
  }
  return parsed;
}

}  // namespace

std::int64_t Arguments::integer(std::string_view name, std::int64_t least, std::int64_t most) const {
  return whole_number(name, text(name), least, most);
}

std::vector<std::int64_t> Arguments::integers(std::string_view name, std::int64_t least, std::int64_t most) const {
  std::vector<std::int64_t> numbers;
  for (const std::string& value : texts(name)) numbers.push_back(whole_number(name, value, least, most));
  return numbers;
}

double Arguments::number(std::string_view name, double least, double most) const {
  const std::string value = text(name);
  double parsed = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
  if (error != std::errc{} || end != value.data() + value.size() || !std::isfinite(parsed) || parsed < least ||
      parsed > most) {
    std::ostringstream range;
    range << "--" << name << " " << value << ": a number from " << least << " to " << most << " is needed";
    throw Failure(ErrorCode::Usage, range.str());
  }
  return parsed;
}

Result<Arguments> Command::parse(const std::vector<std::string>& words) const {
  const std::vector<Option> table = all_options(*this);
  po::options_description visible = describe(table);
  po::options_description hidden;
  hidden.add_options()("positional-words", po::value<std::vector<std::string>>());
  po::options_description everything;
  everything.add(visible).add(hidden);
  po::positional_options_description positions;
  positions.add("positional-words", -1);
  try {
    po::variables_map map;
    po::store(po::command_line_parser(words)
                  .options(everything)
                  .positional(positions)
                  .style(po::command_line_style::default_style & ~po::command_line_style::allow_guessing)
                  .run(),
              map);
    if (map.count("config") != 0) {
      const std::string file = map["config"].as<std::vector<std::string>>().back();
      std::ifstream stream(file);
      if (!stream) return Error{ErrorCode::Usage, "cannot open --config " + file};
      po::store(po::parse_config_file(stream, visible), map);
    }
    Arguments arguments;
    for (const Option& option : table) {
      const std::string key = long_name(option);
      const auto& value = map[key];
      if (option.value_name.empty()) {
        arguments.values_[key] = {value.as<bool>() ? "true" : "false"};
        arguments.given_[key] = !value.defaulted();
        continue;
      }
      if (!value.empty()) {
        arguments.values_[key] = value.as<std::vector<std::string>>();
        arguments.given_[key] = true;
        if (!option.repeated && arguments.values_[key].size() > 1) {
          return Error{ErrorCode::Usage, "--" + key + " is given more than once"};
        }
      } else if (option.default_value) {
        arguments.values_[key] = {*option.default_value};
      }
    }
    if (map.count("positional-words") != 0) {
      arguments.positional_ = map["positional-words"].as<std::vector<std::string>>();
    }
    if (!arguments.flag("help") &&
        (arguments.positional_.size() < positional_min || arguments.positional_.size() > positional_max)) {
      return Error{ErrorCode::Usage, "usage: " + name + " " + usage};
    }
    return arguments;
  } catch (const po::error& error) {
    return Error{ErrorCode::Usage, error.what()};
  }
}

std::string Command::help() const {
  std::ostringstream text;
  text << name << ": " << summary << "\n\nusage: " << name << " " << usage << "\n";
  if (!description.empty()) text << "\n" << description << "\n";
  text << "\n" << describe(all_options(*this)) << "\n";
  if (!examples.empty()) text << "Examples:\n";
  for (const std::string& example : examples) text << "  " << example << "\n";
  text << "\nExit status: 0 done; 1 internal; 2 usage; 3 bad input; 4 unreachable; 5 refused; 6 unplaceable;\n"
          "  7 job failed; 8 cancelled; 9 not found; 10 conflict; 11 storage; 12 unverified; 130 detached\n";
  return text.str();
}

int Command::main(int argc, const char* const* argv) const {
  const std::vector<std::string> words(argv + 1, argv + argc);
  auto arguments = parse(words);
  if (!arguments) return report(arguments.error(), name, false);
  if (arguments->flag("help")) {
    std::cout << help();
    return 0;
  }
  const bool json = arguments->flag("json");
  try {
    log::set_up(parse_level(arguments->text("log-level")));
    return run(*arguments);
  } catch (const Failure& failure) {
    return report(failure.error(), name, json);
  } catch (const std::exception& unexpected) {
    return report({ErrorCode::Internal, std::string("unexpected: ") + unexpected.what()}, name, json);
  }
}

}  // namespace tomogrid
