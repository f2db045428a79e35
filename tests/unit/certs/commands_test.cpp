// `tomogrid certs ...` from init to revoke, by the commands' own tables.
#include "certs/commands.h"

#include <unistd.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "certs/audit.h"
#include "certs/member.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

class Commands : public testing::Test {
 protected:
  Commands() {
    ::setenv("TOMOGRID_HOME", home.path().c_str(), 1);
    ::setenv("TOMOGRID_PASSPHRASE", "a passphrase for tests", 1);
  }
  ~Commands() override {
    ::unsetenv("TOMOGRID_HOME");
    ::unsetenv("TOMOGRID_PASSPHRASE");
  }
  // The exit status; what it printed is in `out` and `err`.
  int run(const std::string& name, std::vector<std::string> words) {
    for (const Command& command : certs_commands()) {
      if (command.name != "tomogrid certs " + name) continue;
      words.insert(words.begin(), command.name);
      std::vector<const char*> argv;
      for (const std::string& word : words) argv.push_back(word.c_str());
      testing::internal::CaptureStdout();
      testing::internal::CaptureStderr();
      const int status = command.main(static_cast<int>(argv.size()), argv.data());
      out = testing::internal::GetCapturedStdout();
      err = testing::internal::GetCapturedStderr();
      return status;
    }
    ADD_FAILURE() << "no command " << name;
    return -1;
  }
  std::string path(const std::string& name) { return (home.path() / name).string(); }
  TemporaryFolder home;
  std::string out, err;
};

TEST_F(Commands, AMembersLifeFromInitToRevoke) {
  ASSERT_EQ(run("init", {"--federation", "north"}), 0) << err;
  ASSERT_EQ(run("request", {"--name", "alice", "--role", "clinician", "-o", path("alice.request")}), 0) << err;
  EXPECT_NE(out.find("wants to be  clinician"), std::string::npos) << out;
  ASSERT_EQ(run("issue", {path("alice.request"), "-o", path("alice.cert"), "--yes", "--days", "30"}), 0) << err;
  EXPECT_NE(out.find("Certificate of alice"), std::string::npos) << out;
  ASSERT_EQ(run("install", {path("alice.cert")}), 0) << err;
  ASSERT_EQ(run("show", {}), 0) << err;
  EXPECT_NE(out.find("VALID in federation north"), std::string::npos) << out;
  EXPECT_NE(out.find("open-direct"), std::string::npos) << out;
  ASSERT_EQ(run("show", {path("alice.cert"), "--json"}), 0) << err;
  const auto json = nlohmann::json::parse(out);
  EXPECT_EQ(json["chain"]["valid"], true);
  EXPECT_EQ(json["chain"]["certificates"][0]["roles"], "clinician");
  ASSERT_EQ(run("revoke", {"alice"}), 0) << err;
  ASSERT_EQ(run("install", {path("authority/revocations.list")}), 0) << err;
  EXPECT_EQ(run("show", {}), static_cast<int>(ErrorCode::Refused));
  EXPECT_NE(out.find("was revoked"), std::string::npos) << out;
}

TEST_F(Commands, WrongPassphraseHasItsExitStatus) {
  ASSERT_EQ(run("init", {"--federation", "north"}), 0) << err;
  ASSERT_EQ(run("request", {"--name", "n1", "--role", "node", "--member", "n1", "-o", path("n1.request")}), 0) << err;
  ::setenv("TOMOGRID_PASSPHRASE", "another", 1);
  EXPECT_EQ(run("issue", {path("n1.request"), "--yes", "-o", path("x")}), static_cast<int>(ErrorCode::Refused));
  EXPECT_NE(err.find("wrong passphrase"), std::string::npos) << err;
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

TEST_F(Commands, NobodyIsIssuedUnseen) {
  ASSERT_EQ(run("init", {"--federation", "north"}), 0) << err;
  ASSERT_EQ(run("request", {"--name", "n1", "--role", "node", "--json"}), 0) << err;
  const std::string member = nlohmann::json::parse(out)["request"]["member"];
  const std::string request = path("member/request.cert");
  // Not a terminal here: without --yes or --expect there is nobody to say that the member id is right.
  if (::isatty(STDIN_FILENO) == 0) {
    EXPECT_EQ(run("issue", {request, "-o", path("x")}), static_cast<int>(ErrorCode::Usage)) << out;
  }
  const std::string other = to_string(seeded(7)->member());
  EXPECT_EQ(run("issue", {request, "-o", path("x"), "--expect", other}), static_cast<int>(ErrorCode::Refused));
  EXPECT_EQ(run("issue", {request, "-o", path("x"), "--expect", member}), 0) << err;
  EXPECT_EQ(run("install", {path("x"), "--expect", other}), static_cast<int>(ErrorCode::Refused));
  EXPECT_EQ(run("install", {path("x")}), 0) << err;
}

TEST_F(Commands, SealedKeysAndPassphraseFiles) {
  write_file(path("pass"), bytes_of("member's own\n"), FileMode::Private).or_throw();
  ASSERT_EQ(run("request", {"--name", "alice", "--role", "researcher", "--passphrase-file", path("pass")}), 0) << err;
  EXPECT_TRUE(needs_passphrase(home.path() / "member"));
  EXPECT_EQ(text_of(read_passphrase({.file = path("pass")}).value()->view()), "member's own");
}

TEST_F(Commands, ErrorsSayWhatAndHow) {
  EXPECT_EQ(run("init", {}), static_cast<int>(ErrorCode::Usage));
  EXPECT_NE(err.find("--federation"), std::string::npos);
  EXPECT_EQ(run("request", {"--name", "x", "--role", "king"}), static_cast<int>(ErrorCode::Usage));
  EXPECT_NE(err.find("king"), std::string::npos);
  EXPECT_EQ(run("request", {"--name", "x", "--role", "admin", "--role", "clinician"}),
            static_cast<int>(ErrorCode::BadInput));
  EXPECT_EQ(run("show", {}), static_cast<int>(ErrorCode::NotFound));
  EXPECT_EQ(run("issue", {path("absent"), "--yes"}), static_cast<int>(ErrorCode::NotFound));
  EXPECT_EQ(run("request", {"--name", "x", "--role", "node", "--member", "../x"}), static_cast<int>(ErrorCode::Usage));
  for (const Command& command : certs_commands()) {
    EXPECT_NE(command.help().find("Examples:"), std::string::npos) << command.name;
  }
}

TEST_F(Commands, AuditChecksALog) {
  {
    AuditLog log(path("audit.jsonl"), kNow);
    log.append({.time = kNow, .verb = "hello", .outcome = "done"});
  }
  ASSERT_EQ(run("audit", {path("audit.jsonl"), "--json"}), 0) << err;
  const auto json = nlohmann::json::parse(out);
  EXPECT_EQ(json["lines"], 1);
  EXPECT_EQ(run("audit", {path("audit.jsonl"), "--lines", "1", "--chain", json["chain"]}), 0) << err;
  EXPECT_EQ(run("audit", {path("audit.jsonl"), "--lines", "2", "--chain", json["chain"]}),
            static_cast<int>(ErrorCode::Unverified));
}

}  // namespace
}  // namespace tomogrid::certs
