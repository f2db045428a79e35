#include "scenarios/scenario.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace tomogrid::test {

using namespace std::chrono_literals;

namespace {

[[noreturn]] void fail(const std::string& why) {
  throw std::runtime_error(why);
}

std::uint64_t number(const std::string& text) {
  std::size_t end = 0;
  std::uint64_t value = 0;
  try {
    value = std::stoull(text, &end);
  } catch (const std::exception&) {
    end = 0;
  }
  if (end == 0 || end != text.size()) fail("\"" + text + "\" is not a number");
  return value;
}

Duration duration(const std::string& text) {
  const std::size_t unit = text.find_first_not_of("0123456789");
  if (unit == 0 || unit == std::string::npos) fail("\"" + text + "\" is not a time; write 400ms, 4s or 2min");
  const auto value = static_cast<std::int64_t>(number(text.substr(0, unit)));
  const std::string name = text.substr(unit);
  if (name == "ms") return std::chrono::milliseconds(value);
  if (name == "s") return std::chrono::seconds(value);
  if (name == "min") return std::chrono::minutes(value);
  fail("\"" + name + "\" is not a unit of time; write ms, s or min");
}

std::vector<std::string> split(const std::string& text, char between) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, between);) parts.push_back(part);
  return parts;
}

std::string joined(const std::set<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text.empty() ? "nothing" : text;
}

std::string member_name(const std::string& word) {
  return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos ? "node" + word : word;
}

}  // namespace

// A line taken apart: plain words, and name=value.
struct Scenario::Words {
  std::vector<std::string> plain;
  std::map<std::string, std::string> named;
  explicit Words(const std::string& line) {
    std::stringstream stream(line.substr(0, line.find('#')));
    for (std::string word; stream >> word;) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos) {
        plain.push_back(word);
      } else {
        named[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
  }
  const std::string& at(std::size_t index) const {
    if (index >= plain.size()) fail("a word is missing");
    return plain[index];
  }
  std::string value(const std::string& name, const std::string& otherwise) const {
    const auto found = named.find(name);
    return found == named.end() ? otherwise : found->second;
  }
  void allow(std::size_t least, std::size_t most, const std::set<std::string>& names = {}) const {
    if (plain.size() < least || plain.size() > most) fail("wrong number of words");
    for (const auto& [name, text] : named) {
      if (!names.contains(name)) fail("unknown setting " + name + "=");
    }
  }
};

Scenario::Scenario(std::uint64_t seed) : sim_(seed) {}

Scenario::Member& Scenario::member(const std::string& word) {
  const auto found = all_.find(member_name(word));
  if (found == all_.end()) fail("there is no " + member_name(word));
  return found->second;
}

void Scenario::run(const std::string& line) {
  const Words words(line);
  if (words.plain.empty()) return;
  const std::string& verb = words.at(0);
  if (verb == "registries") return add_registries(words);
  if (verb == "nodes") return add_nodes(words);
  if (verb == "managers") return add_managers(words);
  if (verb == "clients") return add_clients(words);
  if (verb == "place") return place(words);
  if (verb == "expect") return expect(words);
  if (verb == "advance") {
    words.allow(2, 2);
    // In small steps, so that whatever is listed for a while is noticed.
    const Instant end = sim_.now().instant + duration(words.at(1));
    while (sim_.now().instant < end) {
      sim_.run_for(std::min<Duration>(100ms, end - sim_.now().instant));
      note_listed();
    }
  } else if (verb == "partition" || verb == "heal") {
    words.allow(2, 3);
    const Sim::Host host = member(words.at(1)).host;
    const bool cut = verb == "partition";
    if (words.plain.size() == 2) {
      cut ? sim_.isolate(host) : sim_.rejoin(host);
    } else {
      const Sim::Host other = member(words.at(2)).host;
      cut ? sim_.cut(host, other) : sim_.mend(host, other);
    }
  } else if (verb == "kill") {
    words.allow(2, 2);
    sim_.crash(member(words.at(1)).host);
  } else if (verb == "restart") {
    words.allow(2, 2);
    Member& who = member(words.at(1));
    const std::string name = member_name(words.at(1));
    if (sim_.running(who.host)) sim_.crash(who.host);
    who.earlier.push_back(std::move(who.machine));
    ++who.boot;
    if (name.starts_with("node")) {
      who.machine = make_node(name, who);
    } else if (name.starts_with("registry")) {
      who.machine = std::make_unique<registry::Registry>();
    } else if (name.starts_with("manager")) {
      manager::ManagerOptions options;
      options.registries = registries_;
      who.machine = std::make_unique<manager::Manager>(members_.get(name, certs::Role::Manager), options);
    } else {
      fail(name + " cannot be restarted");
    }
    sim_.start(who.host, *who.machine);
  } else if (verb == "withdraw") {
    words.allow(2, 2);
    sim_.perform_effects(member(words.at(1)).host, node(words.at(1)).withdraw(sim_.now()));
  } else if (verb == "free") {
    words.allow(3, 3);
    node(words.at(1)).content().cores_free = static_cast<std::uint32_t>(number(words.at(2)));
    sim_.perform_effects(member(words.at(1)).host, node(words.at(1)).publish(sim_.now()));
  } else if (verb == "drain" || verb == "undrain") {
    words.allow(2, 2);
    node(words.at(1)).content().draining = verb == "drain";
    sim_.perform_effects(member(words.at(1)).host, node(words.at(1)).publish(sim_.now()));
  } else if (verb == "cancel") {
    words.allow(3, 3);
    Member& client = member(words.at(1));
    sim_.perform_effects(
        client.host, dynamic_cast<AskingClient&>(*client.machine).cancel(id_of<job::RequestId>(number(words.at(2)))));
  } else if (verb == "finish") {
    words.allow(2, 2);
    const wire::Placed* answer = placed(number(words.at(1)));
    if (answer == nullptr) fail("request " + words.at(1) + " is not placed");
    const auto ticket = wire::decode_ticket(answer->ticket.body).or_throw();
    const std::string where = name_of(ticket.node);
    sim_.perform_effects(member(where).host, node(where).give_back(sim_.now(), ticket.id));
  } else {
    fail("\"" + verb + "\" is nothing that a scenario can do");
  }
}

// ---- who takes part
// --------------------------------------------------------------------------------------------------

void Scenario::add_registries(const Words& words) {
  words.allow(2, 2, {"lease"});
  if (std::any_of(all_.begin(), all_.end(), [](const auto& entry) {
        return entry.first.starts_with("node") || entry.first.starts_with("manager");
      })) {
    fail("registries come before those who use them");
  }
  registry::RegistryOptions options;
  options.lease = std::chrono::duration_cast<std::chrono::milliseconds>(duration(words.value("lease", "3s")));
  for (std::uint64_t i = number(words.at(1)); i > 0; --i) {
    const std::string name = "registry" + std::to_string(registries_.size() + 1);
    Member& made = all_[name];
    made.host = sim_.add(name, members_.get(name, certs::Role::Registry));
    made.machine = std::make_unique<registry::Registry>(options);
    sim_.start(made.host, *made.machine);
    registries_.push_back(sim_.target(made.host, certs::Role::Registry));
  }
}

std::unique_ptr<AnnouncingNode> Scenario::make_node(const std::string& name, const Member& of) {
  wire::Advert content = idle_node(of.cores, of.rate, of.boot);
  content.routes = {sim_.route(of.host)};
  return std::make_unique<AnnouncingNode>(members_.get(name, certs::Role::Node), registries_, content);
}

void Scenario::add_nodes(const Words& words) {
  words.allow(2, 2, {"lease", "cores", "gflops"});
  if (registries_.empty()) add_registries(Words("registries 1 lease=" + words.value("lease", "3s")));
  const auto cores = split(words.value("cores", "4"), ','), rates = split(words.value("gflops", "1"), ',');
  std::uint64_t first = 1;
  while (all_.contains("node" + std::to_string(first))) ++first;
  for (std::uint64_t i = 0; i < number(words.at(1)); ++i) {
    const std::string name = "node" + std::to_string(first + i);
    const certs::Identity& identity = members_.get(name, certs::Role::Node);
    Member& made = all_[name];
    made.host = sim_.add(name, identity);
    made.cores = static_cast<std::uint32_t>(number(cores[i % cores.size()]));
    made.rate = 1e9 * static_cast<double>(number(rates[i % rates.size()]));
    names_[identity.member()] = name;
    made.machine = make_node(name, made);
    sim_.start(made.host, *made.machine);
  }
  if (!all_.contains("manager1")) add_managers(Words("managers 1"));
  sim_.run_for(1s);
  note_listed();
}

void Scenario::add_managers(const Words& words) {
  words.allow(2, 2);
  std::uint64_t first = 1;
  while (all_.contains("manager" + std::to_string(first))) ++first;
  for (std::uint64_t i = 0; i < number(words.at(1)); ++i) {
    const std::string name = "manager" + std::to_string(first + i);
    const certs::Identity& identity = members_.get(name, certs::Role::Manager);
    Member& made = all_[name];
    made.host = sim_.add(name, identity);
    manager::ManagerOptions options;
    options.registries = registries_;
    made.machine = std::make_unique<manager::Manager>(identity, options);
    sim_.start(made.host, *made.machine);
  }
}

void Scenario::add_clients(const Words& words) {
  words.allow(2, 2, {"at"});
  const Sim::Host at = member(words.value("at", "manager1")).host;
  std::uint64_t first = 1;
  while (all_.contains("client" + std::to_string(first))) ++first;
  for (std::uint64_t i = 0; i < number(words.at(1)); ++i) {
    const std::string name = "client" + std::to_string(first + i);
    Member& made = all_[name];
    made.host = sim_.add(name, members_.get(name, certs::Role::Clinician));
    made.machine = std::make_unique<AskingClient>(sim_.target(at, certs::Role::Manager));
    sim_.start(made.host, *made.machine);
  }
  sim_.run_for(200ms);
}

void Scenario::place(const Words& words) {
  words.allow(3, 3, {"cores", "service"});
  const std::string cores = words.value("cores", "1..");
  const std::size_t dots = cores.find("..");
  const auto least = number(dots == std::string::npos ? cores : cores.substr(0, dots));
  const std::string rest = dots == std::string::npos ? cores : cores.substr(dots + 2);
  wire::Place asked = place_request(number(words.at(2)), static_cast<std::uint32_t>(least),
                                    rest.empty() ? 0 : static_cast<std::uint32_t>(number(rest)));
  if (words.named.contains("service")) {
    const auto service = job::parse_service_name(words.named.at("service"));
    if (!service) fail("no such name of a service");
    asked.service = *service;
  }
  Member& client = member(words.at(1));
  sim_.perform_effects(client.host, dynamic_cast<AskingClient&>(*client.machine).place(asked));
}

// ---- what is expected
// ------------------------------------------------------------------------------------------------

std::string Scenario::name_of(const certs::MemberId& id) const {
  const auto found = names_.find(id);
  return found == names_.end() ? "a stranger" : found->second;
}

// By every manager that runs; they must agree.
std::set<std::string> Scenario::listed() {
  std::optional<std::set<std::string>> common;
  for (auto& [name, who] : all_) {
    const auto* manager = dynamic_cast<const manager::Manager*>(who.machine.get());
    if (manager == nullptr || !sim_.running(who.host)) continue;
    std::set<std::string> seen;
    for (const registry::NodeView& view : manager->watcher().nodes()) seen.insert(name_of(view.advert.node));
    if (common && *common != seen) fail(name + " lists " + joined(seen) + ", another manager " + joined(*common));
    common = std::move(seen);
  }
  return common.value_or(std::set<std::string>{});
}

void Scenario::note_listed() {
  for (auto& [name, who] : all_) {
    const auto* manager = dynamic_cast<const manager::Manager*>(who.machine.get());
    if (manager == nullptr) continue;
    for (const registry::NodeView& view : manager->watcher().nodes()) all_.at(name_of(view.advert.node)).seen = true;
  }
}

const wire::Placed* Scenario::placed(std::uint64_t request) const {
  for (const auto& [name, who] : all_) {
    const auto* client = dynamic_cast<const AskingClient*>(who.machine.get());
    if (client == nullptr) continue;
    const auto found = client->placed().find(id_of<job::RequestId>(request));
    if (found != client->placed().end()) return &found->second;
  }
  return nullptr;
}

void Scenario::expect(const Words& words) {
  const std::string& what = words.at(1);
  note_listed();
  if (what == "listed" || what == "lost") {
    std::set<std::string> named;
    for (std::size_t i = 2; i < words.plain.size(); ++i) named.insert(member_name(words.plain[i]));
    const std::set<std::string> now = listed();
    if (what == "listed" && now != named) fail("listed: " + joined(now));
    if (what == "lost") {
      for (const std::string& name : named) {
        if (!member(name).seen) fail(name + " was never listed");
        if (now.contains(name)) fail(name + " is listed");
      }
    }
    return;
  }
  const std::uint64_t subject = what == "held" || what == "reserved" ? 0 : number(words.at(2));
  const wire::Placed* answer = placed(subject);
  if (what == "placed") {
    words.allow(5, 5, {"cores"});
    if (words.at(3) != "on") fail("write: expect placed REQUEST on NODE");
    if (answer == nullptr) fail("request " + words.at(2) + " is not placed");
    const auto ticket = wire::decode_ticket(answer->ticket.body).or_throw();
    const auto checked = manager::check_decision(
        answer->decision, members_.get("manager1", certs::Role::Manager).certificate().signing_key);
    if (!checked) fail(checked.error().message);
    if (name_of(ticket.node) != member_name(words.at(4)))
      fail("request " + words.at(2) + " is placed on " + name_of(ticket.node));
    if (words.named.contains("cores") && ticket.grant.cores != number(words.named.at("cores")))
      fail("granted: " + std::to_string(ticket.grant.cores) + " cores");
  } else if (what == "waiting" || what == "unplaceable") {
    words.allow(3, 3, {"position"});
    if (answer != nullptr)
      fail("request " + words.at(2) + " is placed on " +
           name_of(wire::decode_ticket(answer->ticket.body).or_throw().node));
    const auto id = id_of<job::RequestId>(subject);
    for (const auto& [name, who] : all_) {
      const auto* client = dynamic_cast<const AskingClient*>(who.machine.get());
      if (client == nullptr) continue;
      const auto never = client->unplaceable().find(id);
      if (never != client->unplaceable().end()) {
        if (what == "waiting") fail("unplaceable: " + never->second.reason);
        return;
      }
      const auto waits = client->waiting().find(id);
      if (waits == client->waiting().end()) continue;
      if (what == "unplaceable") fail("waiting: " + waits->second.reason);
      if (words.named.contains("position") && waits->second.position != number(words.named.at("position")))
        fail("position " + std::to_string(waits->second.position));
      return;
    }
    fail("request " + words.at(2) + " has no answer");
  } else if (what == "held") {
    words.allow(4, 4);
    const auto& holds = dynamic_cast<const manager::Manager&>(*member("manager1").machine).holds();
    const auto found = holds.find(members_.get(member_name(words.at(2)), certs::Role::Node).member());
    const std::uint32_t cores = found == holds.end() ? 0 : found->second.cores;
    if (cores != number(words.at(3))) fail("held: " + std::to_string(cores) + " cores");
  } else if (what == "reserved") {
    words.allow(4, 4);
    std::uint32_t cores = 0;
    for (const auto& [id, ticket] : node(words.at(2)).reserved()) cores += ticket.grant.cores;
    if (cores != number(words.at(3))) fail("reserved: " + std::to_string(cores) + " cores");
  } else if (what == "registered") {
    words.allow(3, 3);
    const auto count = dynamic_cast<const registry::Registry&>(*member("registry1").machine).listing(sim_.now()).size();
    if (count != subject) fail("registered: " + std::to_string(count) + " nodes");
  } else {
    fail("\"" + what + "\" is nothing that can be expected");
  }
}

}  // namespace tomogrid::test
