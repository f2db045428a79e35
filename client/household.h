// The members of a federation on one machine, for trying things: authority, registry, manager, nodes, a clinician and
// an administrator, all under one folder. Made once and kept, so that receipts stay verifiable and jobs survive a
// restart.
//
//   DIR/authority  DIR/members/NAME  DIR/NAME (a role's own state)  DIR/client.ini  DIR/log/NAME.log
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/time.h"

namespace tomogrid::client {

class Household final {
 public:
  // Makes what is missing. Throws Failure; Conflict when another process uses the folder.
  Household(std::filesystem::path folder, unsigned nodes, WallTime now);
  ~Household();
  Household(const Household&) = delete;
  Household& operator=(const Household&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path member(const std::string& name) const { return folder_ / "members" / name; }
  std::filesystem::path home(const std::string& role) const { return folder_ / role; }
  std::filesystem::path log(const std::string& role) const { return folder_ / "log" / (role + ".log"); }
  const std::vector<std::string>& nodes() const { return nodes_; }

 private:
  std::filesystem::path folder_;
  std::vector<std::string> nodes_;
  int lock_ = -1;
};

}  // namespace tomogrid::client
