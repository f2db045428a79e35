#include "client/settings.h"

#include <algorithm>

#include "base/file.h"
#include "certs/commands.h"
#include "registry/address.h"

namespace tomogrid::client {

namespace fs = std::filesystem;

namespace {

Result<KnownNode> parse_known_node(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || !job::is_name(text.substr(0, equals))) {
    return Error{ErrorCode::Usage, "--node-address " + text + ": NAME=HOST:PORT,KEY is needed"};
  }
  auto target = registry::parse_address(text.substr(equals + 1), certs::Role::Node);
  if (!target) return target.error();
  return KnownNode{text.substr(0, equals), *std::move(target), {}};
}

std::optional<fs::path> settings_file(const Arguments& arguments) {
  if (const auto given = arguments.optional_text("settings")) return fs::path(*given);
  for (const fs::path& file : {tomogrid_home() / "client.ini", tomogrid_home() / "up" / "client.ini"}) {
    std::error_code error;
    if (fs::is_regular_file(file, error)) return file;
  }
  return std::nullopt;
}

// The file read by the same table, so that it may hold what the command line may.
std::optional<Arguments> read_file_arguments(const Arguments& arguments) {
  const auto file = settings_file(arguments);
  if (!file) return std::nullopt;
  Command table;
  table.name = "settings";
  table.options = settings_options();
  auto parsed = table.parse({"--config", file->string()});
  if (!parsed) throw Failure(ErrorCode::Usage, file->string() + ": " + parsed.error().message);
  return *std::move(parsed);
}

bool names_member(const Arguments& arguments) {
  return arguments.given("folder") || arguments.given("member");
}

}  // namespace

std::vector<Option> settings_options() {
  std::vector<Option> options = certs::identity_options();
  options.push_back({"registry", "HOST:PORT,KEY", "a registry, or a file with one a line", std::nullopt, true});
  options.push_back(
      {"manager", "HOST:PORT,KEY", "a manager, or a file with one a line; tried in this order", std::nullopt, true});
  options.push_back(
      {"node-address", "NAME=HOST:PORT,KEY", "where a node is, for when nobody else can tell", std::nullopt, true});
  options.push_back({"no-discovery", "", "do not look for registries on the local network"});
  options.push_back(
      {"settings", "FILE", "INI file with these options [TOMOGRID_HOME/client.ini, else what `tomogrid up` wrote]"});
  return options;
}

std::vector<Option> with_settings(std::vector<Option> own) {
  for (Option& option : settings_options()) own.push_back(std::move(option));
  return own;
}

Settings read_settings(const Arguments& arguments) {
  const auto file = read_file_arguments(arguments);
  const auto from = [&](const char* name) -> const Arguments& {
    return file && !arguments.given(name) ? *file : arguments;
  };
  Settings settings;
  settings.folder = certs::identity_folder(file && !names_member(arguments) ? *file : arguments);
  settings.registries = registry::read_addresses(from("registry").texts("registry"), certs::Role::Registry).or_throw();
  settings.managers = registry::read_addresses(from("manager").texts("manager"), certs::Role::Manager).or_throw();
  for (const std::string& text : from("node-address").texts("node-address"))
    settings.nodes.push_back(parse_known_node(text).or_throw());
  settings.discovery =
      !arguments.flag("no-discovery") && !(file && file->flag("no-discovery")) && settings.registries.empty();
  return settings;
}

std::unique_ptr<certs::Member> load_member(const Arguments& arguments, const Settings& settings) {
  const auto file = read_file_arguments(arguments);
  auto identity = certs::load_identity(file && !names_member(arguments) ? *file : arguments);
  return std::make_unique<certs::Member>(std::move(identity), certs::revocations_file(settings.folder));
}

Result<NodePin> parse_node(const std::string& text) {
  if (text.find(',') != std::string::npos) {
    auto target = registry::parse_address(text, certs::Role::Node);
    if (!target) return target.error();
    return NodePin{target->host + ":" + std::to_string(target->control_port), *std::move(target)};
  }
  if (!job::is_name(text))
    return Error{ErrorCode::Usage, "--node " + text + ": a node's name, or HOST:PORT,KEY, is needed"};
  return NodePin{text, std::nullopt};
}

fs::path services_folder() {
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  return program.parent_path().parent_path() / "share" / "tomogrid" / "services";
}

std::optional<job::ServiceDescriptor> find_service(const job::ServiceName& wanted) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(services_folder(), error)) {
    if (entry.path().extension() != ".json") continue;
    const auto content = read_file(entry.path(), mebibytes(1));
    if (!content) continue;
    auto service = job::parse_service(text_of(*content));
    if (service && service->service == wanted) return *std::move(service);
  }
  return std::nullopt;
}

}  // namespace tomogrid::client
