#include "node/reporter.h"

#include "base/log.h"
#include "base/text.h"

namespace tomogrid::node {

void AuditReporter::report(const wire::Report& what) {
  std::string line = what.event;
  certs::AuditEntry entry;
  entry.time = clock_.wall();
  entry.verb = what.event;
  for (const auto& [name, value] : what.fields) {
    std::string shown = printable(value);
    if (name == "outcome") {
      entry.outcome = shown;
    } else if (const auto member = name == "member" ? certs::parse_member_id(value) : std::nullopt) {
      entry.actor = *member;
      shown = certs::short_text(*member);
    } else if (const auto id = name == "job" ? job::parse_id<job::JobId>(value) : std::nullopt) {
      entry.job = *id;
      shown = job::short_text(*id);
    } else {
      entry.detail += (entry.detail.empty() ? "" : " ") + name + "=" + shown;
    }
    const bool quoted = shown.empty() || shown.find_first_of(" =\"") != std::string::npos;
    line += " " + name + "=" + (quoted ? "\"" + shown + "\"" : shown);
  }
  log::event(what.audit ? log::Level::Info : log::Level::Debug, line);
  if (what.audit) {
    audit_.append(entry);
    // An act is on disk before it is answered. Refusals wait for the next sync(): whoever is refused must not buy disk writes.
    if (entry.outcome.rfind("refused", 0) != 0) audit_.sync();
  }
  if (const auto then = then_.find(what.event); then != then_.end()) then->second(what);
}

}  // namespace tomogrid::node
