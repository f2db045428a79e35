// Who may do what: the table of roles and verbs. It says *whether*; whose job it is, is ownership and checked by the
// room that keeps the jobs.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace tomogrid::certs {

enum class Role : std::uint8_t { Node, Registry, Manager, Clinician, Researcher, Developer, Admin, Auditor };
inline constexpr std::array kAllRoles{Role::Node,       Role::Registry,  Role::Manager, Role::Clinician,
                                      Role::Researcher, Role::Developer, Role::Admin,   Role::Auditor};
std::string_view to_string(Role role);  // "clinician"
std::optional<Role> parse_role(std::string_view text);

// A set of roles.
class Roles {
 public:
  constexpr Roles() = default;
  constexpr Roles(Role role) : bits_(bit(role)) {}
  constexpr Roles(std::initializer_list<Role> roles) {
    for (const Role role : roles) bits_ |= bit(role);
  }
  // nullopt when a bit stands for no role: a newer certificate than this program understands.
  static constexpr std::optional<Roles> from_bits(std::uint32_t bits) {
    if (bits >= (1U << kAllRoles.size())) return std::nullopt;
    Roles roles;
    roles.bits_ = bits;
    return roles;
  }
  constexpr std::uint32_t bits() const { return bits_; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool contains(Role role) const { return (bits_ & bit(role)) != 0; }
  constexpr bool contains_all(Roles other) const { return (other.bits_ & ~bits_) == 0; }
  constexpr bool intersects(Roles other) const { return (bits_ & other.bits_) != 0; }
  friend constexpr Roles operator|(Roles a, Roles b) {
    a.bits_ |= b.bits_;
    return a;
  }
  constexpr bool operator==(const Roles&) const = default;

 private:
  static constexpr std::uint32_t bit(Role role) { return 1U << static_cast<unsigned>(role); }
  std::uint32_t bits_ = 0;
};
std::string to_string(Roles roles);  // "clinician+researcher", "none"

// Two classes of certificate. One certificate never mixes them, so that no key both administers and reads images: a
// person who does both has two members.
inline constexpr Roles kUserRoles{Role::Clinician, Role::Researcher, Role::Developer};
inline constexpr Roles kManagementRoles{Role::Node, Role::Registry, Role::Manager, Role::Admin, Role::Auditor};
// BadInput when empty or of both classes.
Result<void> check_one_class(Roles roles);

enum class Verb : std::uint8_t {
  ServeRegistry,      // be asked as a registry: what a client requires of the peer it dialled
  ServePlacement,     // be asked as a manager
  ServeJobs,          // be asked as a node; sign receipts
  AdvertiseNode,      // put one's own node advert into a registry
  AdvertiseRegistry,  // be listed as a registry
  AdvertiseManager,   // be listed as a manager
  ForwardAdverts,     // pass on adverts and losses of others to a watcher
  WatchMembers,       // see the listing of nodes, registries and managers
  Place,              // ask a manager for a node
  Reserve,            // tell a node to hold capacity; sign tickets and decisions
  ReadDecisions,      // see why a node was picked
  OpenJob,            // open a job with a ticket
  OpenDirect,         // open a job without one
  ListOwnJobs,
  ListAllJobs,  // ids, owners, states and sizes of everyone's jobs; never content
  WatchOwnJob,  // progress and previews of one's own
  CancelOwnJob,
  CancelAnyJob,
  CollectOwnJob,  // results of one's own
  ReadPixels,     // image data that someone else stored or opened, where granted
  Drain,          // let a node finish and take no more
  ReadAudit,
  Issue,             // hold an issuing key, within its limits
  Revoke,            // ask for a member's removal; the list itself is signed by the authority
  RelayRevocations,  // hand on the authority's list to whoever has an older one
  UploadApplication,
  ApproveApplication,
};
inline constexpr std::size_t kVerbCount = 27;
std::string_view to_string(Verb verb);  // "open-job"

// One line of the table.
struct Permission {
  Verb verb;
  std::string_view name;
  Roles roles;  // any one of these is enough
  std::string_view meaning;
};
// In the order of Verb.
std::span<const Permission> permissions();

bool may(Roles roles, Verb verb);
// The same as an outcome: Refused, "clinician may not drain; this needs admin".
Result<void> require(Roles roles, Verb verb);

}  // namespace tomogrid::certs
