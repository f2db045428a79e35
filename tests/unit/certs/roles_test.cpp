#include "certs/roles.h"

#include <gtest/gtest.h>

#include <sstream>

namespace tomogrid::certs {
namespace {

// Every cell, written down a second time and in another shape than the table in roles.cpp.
constexpr const char* kCells = R"(
verb                 node registry manager clinician researcher developer admin auditor
serve-registry        -      yes      -        -         -          -       -      -
serve-placement       -      -        yes      -         -          -       -      -
serve-jobs            yes    -        -        -         -          -       -      -
advertise-node        yes    -        -        -         -          -       -      -
advertise-registry    -      yes      -        -         -          -       -      -
advertise-manager     -      -        yes      -         -          -       -      -
forward-adverts       -      yes      -        -         -          -       -      -
watch-members         -      yes      yes      yes       yes        yes     yes    yes
place                 -      -        -        yes       yes        yes     -      -
reserve               -      -        yes      -         -          -       -      -
read-decisions        -      -        -        yes       yes        yes     yes    yes
open-job              -      -        -        yes       yes        yes     -      -
open-direct           -      -        -        yes       yes        -       -      -
list-own-jobs         -      -        -        yes       yes        yes     -      -
list-all-jobs         -      -        -        -         -          -       yes    yes
watch-own-job         -      -        -        yes       yes        yes     -      -
cancel-own-job        -      -        -        yes       yes        yes     -      -
cancel-any-job        -      -        -        -         -          -       yes    -
collect-own-job       -      -        -        yes       yes        yes     -      -
read-pixels           -      -        -        yes       yes        -       -      -
drain                 -      -        -        -         -          -       yes    -
read-audit            -      -        -        -         -          -       yes    yes
issue                 -      -        -        -         -          -       yes    -
revoke                -      -        -        -         -          -       yes    -
relay-revocations     yes    yes      yes      yes       yes        yes     yes    yes
upload-application    -      -        -        -         -          yes     -      -
approve-application   -      -        -        -         -          -       yes    -
)";

TEST(Roles, EveryCellOfTheTable) {
  std::istringstream lines(kCells);
  std::string word;
  lines >> word;
  ASSERT_EQ(word, "verb");
  std::vector<Role> columns;
  for (std::size_t i = 0; i < kAllRoles.size(); ++i) {
    lines >> word;
    columns.push_back(parse_role(word).value());
  }
  std::size_t rows = 0;
  while (lines >> word) {
    ASSERT_LT(rows, permissions().size());
    const Permission& line = permissions()[rows++];
    ASSERT_EQ(line.name, word);
    EXPECT_EQ(to_string(line.verb), word);
    for (const Role role : columns) {
      std::string cell;
      lines >> cell;
      EXPECT_EQ(may(role, line.verb), cell == "yes") << to_string(role) << " " << word;
      EXPECT_EQ(require(role, line.verb).has_value(), cell == "yes") << to_string(role) << " " << word;
    }
  }
  EXPECT_EQ(rows, kVerbCount);
}

TEST(Roles, NobodyAndEverybody) {
  for (const Permission& line : permissions()) {
    EXPECT_FALSE(may(Roles{}, line.verb)) << line.name;
    EXPECT_TRUE(may(kUserRoles | kManagementRoles, line.verb)) << line.name;
  }
}

TEST(Roles, PromisesOfTheDesign) {
  EXPECT_FALSE(may(Role::Developer, Verb::ReadPixels));
  EXPECT_FALSE(may(kManagementRoles, Verb::ReadPixels));
  EXPECT_FALSE(may(kManagementRoles, Verb::CollectOwnJob));
  EXPECT_FALSE(may(kManagementRoles, Verb::WatchOwnJob));
  EXPECT_TRUE(may(Role::Admin, Verb::CancelAnyJob));
}

TEST(Roles, RefusalNamesRoleVerbAndRemedy) {
  EXPECT_EQ(
      require(Role::Clinician, Verb::Drain).error(),
      (Error{ErrorCode::Refused, "clinician may not drain (let a node finish and take no more); this needs admin"}));
}

TEST(Roles, OneClassPerCertificate) {
  EXPECT_TRUE(check_one_class({Role::Clinician, Role::Researcher}));
  EXPECT_TRUE(check_one_class({Role::Registry, Role::Manager}));
  EXPECT_EQ(check_one_class({}).error().code, ErrorCode::BadInput);
  EXPECT_EQ(check_one_class({Role::Admin, Role::Clinician}).error().code, ErrorCode::BadInput);
  for (const Role role : kAllRoles) EXPECT_NE(kUserRoles.contains(role), kManagementRoles.contains(role));
}

TEST(Roles, BitsComeBackAndUnknownOnesAreRefused) {
  for (std::uint32_t bits = 0; bits < 256; ++bits) EXPECT_EQ(Roles::from_bits(bits)->bits(), bits);
  EXPECT_FALSE(Roles::from_bits(256).has_value());
  EXPECT_FALSE(Roles::from_bits(0xFFFFFFFF).has_value());
  for (const Role role : kAllRoles) EXPECT_EQ(parse_role(to_string(role)), role);
  EXPECT_FALSE(parse_role("root").has_value());
  EXPECT_EQ(to_string(Roles{Role::Clinician, Role::Developer}), "clinician+developer");
}

}  // namespace
}  // namespace tomogrid::certs
