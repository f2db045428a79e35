#include "certs/roles.h"

#include "base/text.h"

namespace tomogrid::certs {

namespace {

constexpr std::array<std::string_view, kAllRoles.size()> kRoleNames{"node",       "registry",  "manager", "clinician",
                                                                    "researcher", "developer", "admin",   "auditor"};

constexpr Roles kEveryone = kUserRoles | kManagementRoles;
constexpr Roles kPatientUsers{Role::Clinician, Role::Researcher};
constexpr Roles kOverseers{Role::Admin, Role::Auditor};
// Nodes are told, not shown: they register and are asked. Everyone else may see the listing.
constexpr Roles kWatchers = kUserRoles | kOverseers | Roles{Role::Registry, Role::Manager};

constexpr std::array<Permission, kVerbCount> kTable{{
    {Verb::ServeRegistry, "serve-registry", Role::Registry, "be asked as a registry"},
    {Verb::ServePlacement, "serve-placement", Role::Manager, "be asked as a manager"},
    {Verb::ServeJobs, "serve-jobs", Role::Node, "be asked as a node, and sign receipts"},
    {Verb::AdvertiseNode, "advertise-node", Role::Node, "put its own node advert into a registry"},
    {Verb::AdvertiseRegistry, "advertise-registry", Role::Registry, "be listed as a registry"},
    {Verb::AdvertiseManager, "advertise-manager", Role::Manager, "be listed as a manager"},
    {Verb::ForwardAdverts, "forward-adverts", Role::Registry, "pass on adverts and losses of others"},
    {Verb::WatchMembers, "watch-members", kWatchers, "see the listing of nodes, registries and managers"},
    {Verb::Place, "place", kUserRoles, "ask a manager for a node"},
    {Verb::Reserve, "reserve", Role::Manager, "tell a node to hold capacity, and sign tickets and decisions"},
    {Verb::ReadDecisions, "read-decisions", kUserRoles | kOverseers, "see why a node was picked"},
    {Verb::OpenJob, "open-job", kUserRoles, "open a job with a ticket"},
    {Verb::OpenDirect, "open-direct", kPatientUsers, "open a job at a node without a ticket"},
    {Verb::ListOwnJobs, "list-own-jobs", kUserRoles, "list its own jobs"},
    {Verb::ListAllJobs, "list-all-jobs", kOverseers, "list ids, owners, states and sizes of everyone's jobs"},
    {Verb::WatchOwnJob, "watch-own-job", kUserRoles, "see progress and previews of its own jobs"},
    {Verb::CancelOwnJob, "cancel-own-job", kUserRoles, "cancel its own jobs"},
    {Verb::CancelAnyJob, "cancel-any-job", Role::Admin, "cancel anyone's job"},
    {Verb::CollectOwnJob, "collect-own-job", kUserRoles, "collect results of its own jobs"},
    {Verb::ReadPixels, "read-pixels", kPatientUsers, "read image data of others, where granted"},
    {Verb::Drain, "drain", Role::Admin, "let a node finish and take no more"},
    {Verb::ReadAudit, "read-audit", kOverseers, "read audit logs"},
    {Verb::Issue, "issue", Role::Admin, "hold an issuing key, within its limits"},
    {Verb::Revoke, "revoke", Role::Admin, "ask for a member's removal"},
    {Verb::RelayRevocations, "relay-revocations", kEveryone, "hand on the authority's revocation list"},
    {Verb::UploadApplication, "upload-application", Role::Developer, "upload an application or a measure"},
    {Verb::ApproveApplication, "approve-application", Role::Admin, "approve an uploaded application"},
}};

constexpr bool table_is_in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].verb) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order(), "kTable is indexed by Verb");

}  // namespace

std::string_view to_string(Role role) {
  return kRoleNames[static_cast<std::size_t>(role)];
}

std::optional<Role> parse_role(std::string_view text) {
  for (const Role role : kAllRoles) {
    if (to_string(role) == text) return role;
  }
  return std::nullopt;
}

std::string to_string(Roles roles) {
  std::string text;
  for (const Role role : kAllRoles) {
    if (!roles.contains(role)) continue;
    if (!text.empty()) text.push_back('+');
    text.append(to_string(role));
  }
  return text.empty() ? "none" : text;
}

Result<void> check_one_class(Roles roles) {
  if (roles.empty()) return Error{ErrorCode::BadInput, "no role is given; name one, for example clinician or node"};
  if (roles.intersects(kUserRoles) && roles.intersects(kManagementRoles)) {
    return Error{ErrorCode::BadInput, "roles " + to_string(roles) + " mix users (" + to_string(kUserRoles) +
                                          ") and management (" + to_string(kManagementRoles) +
                                          "); make two members, one for each"};
  }
  return {};
}

std::span<const Permission> permissions() {
  return kTable;
}

std::string_view to_string(Verb verb) {
  return kTable[static_cast<std::size_t>(verb)].name;
}

bool may(Roles roles, Verb verb) {
  return kTable[static_cast<std::size_t>(verb)].roles.intersects(roles);
}

Result<void> require(Roles roles, Verb verb) {
  if (may(roles, verb)) return {};
  const Permission& line = kTable[static_cast<std::size_t>(verb)];
  return Error{ErrorCode::Refused, to_string(roles) + " may not " + std::string(line.name) + " (" +
                                       std::string(line.meaning) + "); this needs " + to_string(line.roles)};
}

}  // namespace tomogrid::certs
