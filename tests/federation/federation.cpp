#include "federation/federation.h"

#include <signal.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

namespace tomogrid::test {

using nlohmann::json;
using namespace std::chrono_literals;

std::string json_text(const std::string& line, const std::string& member) {
  const json object = json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains(member)) return "";
  return object[member].is_string() ? object[member].get<std::string>() : object[member].dump();
}

Federation::Federation(std::string name) : authority_(std::make_unique<certs::Authority>(std::move(name))) {}

Federation::~Federation() {
  for (auto& [name, process] : processes_) process->signal(SIGKILL);
}

std::filesystem::path Federation::home_of(const std::string& name) const { return folder_.path() / name; }

void Federation::add_member(const std::string& name, certs::Roles roles, std::optional<certs::Terms> terms) {
  const WallTime now = SystemClock().wall();
  make_private_folder(home_of(name));
  const auto folder = certs::member_folder(home_of(name), std::nullopt);
  certs::NewMember wanted;
  wanted.name = name;
  wanted.roles = roles;
  wanted.federation = authority_->anchor().federation;
  const certs::Signed request = certs::create_member(folder, wanted, now).or_throw();
  certs::Terms granted = terms.value_or(certs::Terms{});
  granted.roles = roles;
  const auto chain = authority_->issue(request, granted, now).or_throw();
  // Expired or not yet valid on purpose: installing checks validity, so it is told a time at which the chain holds.
  const WallTime valid = granted.not_before ? WallTime{granted.not_before->unix_ms + 1} : now;
  certs::install_member(folder, chain, authority_->anchor(), authority_->revocation_record(), valid).or_throw();
}

Ready Federation::start(const std::string& name, std::vector<std::string> words) {
  processes_.erase(name);
  words.insert(words.begin(), tomogrid_program());
  words.insert(words.end(), {"--home", home_of(name).string(), "--no-discovery", "--json", "--log-level", "info"});
  processes_[name] = std::make_unique<Process>(words, std::map<std::string, std::string>{{"TOMOGRID_HOME", home_of(name).string()}});
  const auto line = processes_[name]->wait_line([](const std::string& text) { return json_text(text, "ready") == "true"; }, 30s);
  if (!line) throw std::runtime_error(name + " did not start\n" + processes_[name]->output() + processes_[name]->errors());
  Ready ready;
  ready.role = json_text(*line, "role");
  ready.name = json_text(*line, "name");
  ready.member = json_text(*line, "member");
  ready.host = json_text(*line, "host");
  ready.transport_key = json_text(*line, "transport_key");
  ready.control_port = std::stoi(json_text(*line, "control_port"));
  ready.bulk_port = std::stoi(json_text(*line, "bulk_port"));
  ready_[name] = ready;
  return ready;
}

std::vector<std::string> Federation::registry_options() const {
  std::vector<std::string> words;
  for (const auto& [name, ready] : ready_) {
    if (ready.role == "registry") words.insert(words.end(), {"--registry", ready.address()});
  }
  return words;
}

std::vector<std::string> Federation::addresses() const {
  std::vector<std::string> words = registry_options();
  for (const auto& [name, ready] : ready_) {
    if (ready.role == "manager") words.insert(words.end(), {"--manager", ready.address()});
  }
  return words;
}

Ready Federation::start_registry(const std::string& name, const std::vector<std::string>& options) {
  if (!std::filesystem::exists(home_of(name))) add_member(name, certs::Role::Registry);
  std::vector<std::string> words{"registry", "--listen", "127.0.0.1:0"};
  words.insert(words.end(), options.begin(), options.end());
  return start(name, words);
}

Ready Federation::start_manager(const std::string& name, const std::vector<std::string>& options) {
  if (!std::filesystem::exists(home_of(name))) add_member(name, certs::Role::Manager);
  std::vector<std::string> words{"manager", "--listen", "127.0.0.1:0"};
  for (const std::string& word : registry_options()) words.push_back(word);
  words.insert(words.end(), options.begin(), options.end());
  return start(name, words);
}

Ready Federation::start_node(const std::string& name, const NodeSpec& spec) {
  if (!std::filesystem::exists(home_of(name))) add_member(name, certs::Role::Node);
  std::vector<std::string> words{"node", "--listen", spec.listen, "--cores", std::to_string(spec.cores), "--rate", std::to_string(spec.gflops)};
  for (const std::string& word : registry_options()) words.push_back(word);
  words.insert(words.end(), spec.options.begin(), spec.options.end());
  return start(name, words);
}

void Federation::kill(const std::string& name) {
  processes_.at(name)->signal(SIGKILL);
  if (!processes_.at(name)->wait(10s)) throw std::runtime_error(name + " survived SIGKILL");
}

void Federation::end(const std::string& name) {
  processes_.at(name)->signal(SIGTERM);
  if (!processes_.at(name)->wait(20s)) throw std::runtime_error(name + " did not end on SIGTERM\n" + processes_.at(name)->errors());
}

std::unique_ptr<Process> Federation::start_tomogrid(const std::string& user, std::vector<std::string> words) {
  words.insert(words.begin(), tomogrid_program());
  for (const std::string& word : addresses()) words.push_back(word);
  return std::make_unique<Process>(words, std::map<std::string, std::string>{{"TOMOGRID_HOME", home_of(user).string()}});
}

Outcome Federation::tomogrid(const std::string& user, std::vector<std::string> words, std::chrono::milliseconds limit) {
  words.insert(words.begin(), tomogrid_program());
  for (const std::string& word : addresses()) words.push_back(word);
  return run(words, {{"TOMOGRID_HOME", home_of(user).string()}}, limit);
}

void Federation::wait_nodes(const std::string& user, std::size_t count) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  Outcome last;
  while (std::chrono::steady_clock::now() < deadline) {
    last = tomogrid(user, {"nodes", "--json"});
    const json listing = json::parse(last.output, nullptr, false);
    const json& nodes = listing.is_object() && listing.contains("nodes") ? listing["nodes"] : listing;
    if (nodes.is_array() && nodes.size() == count) return;
  }
  throw std::runtime_error("not " + std::to_string(count) + " nodes: " + last.output + last.errors);
}

std::filesystem::path Federation::scan(const std::string& name, const std::vector<std::string>& options) {
  const auto path = folder_.path() / name;
  if (std::filesystem::exists(path)) return path;
  std::vector<std::string> words{tomogrid_program(), "phantom", "-o", path.string(), "--size", "64", "--views", "60"};
  words.insert(words.end(), options.begin(), options.end());
  const Outcome made = run(words);
  if (made.status != 0) throw std::runtime_error("phantom: " + made.output + made.errors);
  return path;
}

}  // namespace tomogrid::test
