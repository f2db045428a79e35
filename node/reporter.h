// Where a service's reports go: the log, and for those marked so the audit log too, on disk before the loop goes on.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "base/time.h"
#include "certs/audit.h"
#include "wire/ports.h"

namespace tomogrid::node {

class AuditReporter final : public wire::Reporter {
 public:
  // Creates or continues `file` (certs/audit.h says when that is refused). `clock` outlives the reporter.
  AuditReporter(const std::filesystem::path& file, const Clock& clock) : clock_(clock), audit_(file) {}
  void report(const wire::Report& what) override;
  // What is only in the kernel so far goes to the disk; call each second.
  void sync() { audit_.sync(); }
  // Calls `then` when a report of this name comes by.
  void on(std::string event, std::function<void(const wire::Report&)> then) { then_[std::move(event)] = std::move(then); }

 private:
  const Clock& clock_;
  certs::AuditLog audit_;
  std::map<std::string, std::function<void(const wire::Report&)>> then_;
};

}  // namespace tomogrid::node
