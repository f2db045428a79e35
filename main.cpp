// The program `tomogrid`: one table of commands, each living in its own room.
#include <algorithm>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/options.h"
#include "base/text.h"
#include "certs/commands.h"
#include "client/commands.h"
#include "image/commands.h"
#include "manager/commands.h"
#include "node/commands.h"
#include "registry/commands.h"

namespace {

using tomogrid::Command;

std::vector<Command> all_commands() {
  std::vector<Command> all = tomogrid::client::client_commands();
  const auto add = [&all](std::vector<Command> more) { std::move(more.begin(), more.end(), std::back_inserter(all)); };
  all.push_back(tomogrid::image::phantom_command());
  add(tomogrid::certs::certs_commands());
  all.push_back(tomogrid::registry::registry_command());
  all.push_back(tomogrid::manager::manager_command());
  all.push_back(tomogrid::manager::manager_replay_command());
  add(tomogrid::node::node_commands());
  return all;
}

// "tomogrid certs init" is reached by the words "certs" "init".
std::vector<std::string> words_of(const Command& command) {
  std::vector<std::string> words;
  std::size_t at = command.name.find(' ');
  while (at != std::string::npos) {
    const std::size_t next = command.name.find(' ', at + 1);
    words.push_back(command.name.substr(at + 1, next == std::string::npos ? next : next - at - 1));
    at = next;
  }
  return words;
}

// The command whose words are the longest beginning of `given`; null when there is none.
const Command* find(const std::vector<Command>& commands, const std::vector<std::string>& given) {
  const Command* best = nullptr;
  std::size_t length = 0;
  for (const Command& command : commands) {
    const std::vector<std::string> words = words_of(command);
    if (words.size() <= length || words.size() > given.size()) continue;
    if (!std::equal(words.begin(), words.end(), given.begin())) continue;
    best = &command;
    length = words.size();
  }
  return best;
}

// Levenshtein's distance: insertions, deletions and replacements of one letter.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

std::string nearest(const std::vector<Command>& commands, const std::vector<std::string>& given) {
  std::string best;
  std::size_t least = 4;
  for (const Command& command : commands) {
    const std::string name = command.name.substr(command.name.find(' ') + 1);
    const std::size_t words = words_of(command).size();
    std::string asked = given.front();
    for (std::size_t i = 1; i < std::min(words, given.size()); ++i) asked += " " + given[i];
    if (const std::size_t d = distance(asked, name); d < least) best = command.name, least = d;
  }
  return best;
}

void print_help(const std::vector<Command>& commands) {
  std::size_t width = 0;
  for (const Command& command : commands) width = std::max(width, command.name.size());
  std::cout << "tomogrid: a federation of clusters for tomographic images\n\n";
  for (const Command& command : commands) {
    std::cout << "  " << command.name << std::string(width - command.name.size() + 2, ' ') << command.summary << "\n";
  }
  std::cout << "\nEach command explains itself: tomogrid recon --help. To try things: tomogrid up.\n\n"
               "Exit status: 0 done; 1 internal; 2 usage; 3 bad input; 4 unreachable; 5 refused; 6 unplaceable;\n"
               "  7 job failed; 8 cancelled; 9 not found; 10 conflict; 11 storage; 12 unverified; 130 detached\n";
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Command> commands = all_commands();
  const std::vector<std::string> given(argv + 1, argv + argc);
  if (given.empty() || given.front() == "--help" || given.front() == "-h" || given.front() == "help") {
    print_help(commands);
    return given.empty() ? static_cast<int>(tomogrid::ErrorCode::Usage) : 0;
  }
  if (given.front() == "--version") {
    std::cout << "tomogrid " << TOMOGRID_VERSION << "\n";
    return 0;
  }
  if (const Command* command = find(commands, given)) {
    const auto words = static_cast<int>(words_of(*command).size());
    return command->main(argc - words, argv + words);
  }
  std::cerr << "tomogrid: no command \"" << tomogrid::printable(given.front()) << "\"";
  if (const std::string hint = nearest(commands, given); !hint.empty()) std::cerr << "; did you mean " << hint << "?";
  std::cerr << "\ntry: tomogrid --help\n";
  return static_cast<int>(tomogrid::ErrorCode::Usage);
}
