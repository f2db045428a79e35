#include "certs/secret.h"

#include <pty.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "base/file.h"
#include "certs/random.h"
#include "federation.h"

namespace tomogrid::certs {
namespace {

class SecretFile : public testing::Test {
 protected:
  SecretFile() { fill_random(secret.writable()); }
  TemporaryFolder folder;
  std::filesystem::path path = folder.path() / "keys.secret";
  SecretBytes secret{64};
  std::unique_ptr<Passphrase> right = passphrase_of("correct horse battery staple");
  std::unique_ptr<Passphrase> wrong = passphrase_of("correct horse battery stapl");

  auto read(const Passphrase* passphrase, SecretPurpose purpose = SecretPurpose::Member) {
    return read_secret(path, purpose, passphrase);
  }
  void write(const Passphrase* passphrase) {
    write_secret(path, secret, SecretPurpose::Member, passphrase, SealCost::minimal()).or_throw();
  }
  std::string hex(const SecretBytes& bytes) { return to_hex(bytes.view()); }
};

TEST_F(SecretFile, ComesBackWithAndWithoutPassphrase) {
  write(nullptr);
  EXPECT_FALSE(good(secret_is_sealed(path)));
  EXPECT_EQ(hex(*good(read(nullptr))), hex(secret));
  std::filesystem::remove(path);
  write(right.get());
  EXPECT_TRUE(good(secret_is_sealed(path)));
  EXPECT_EQ(hex(*good(read(right.get()))), hex(secret));
}

TEST_F(SecretFile, WrongPassphraseIsItsOwnError) {
  write(right.get());
  expect_error(read(wrong.get()), ErrorCode::Refused, "wrong passphrase");
  expect_error(read(nullptr), ErrorCode::Usage, "is sealed");
}

TEST_F(SecretFile, NothingOfTheSecretIsInASealedFile) {
  write(right.get());
  const ByteString content = good(read_file(path, Bytes(4096)));
  for (std::size_t i = 0; i + 8 <= secret.size(); ++i) {
    const auto part = secret.view().subspan(i, 8);
    EXPECT_EQ(std::search(content.begin(), content.end(), part.begin(), part.end()), content.end());
  }
}

TEST_F(SecretFile, IsWrittenForItsOwnerAndRefusedWhenWider) {
  write(nullptr);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  for (const mode_t mode : {0640U, 0604U, 0660U, 0620U, 0602U, 0601U, 0644U}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    expect_error(read(nullptr), ErrorCode::Refused, "chmod 600");
  }
  ASSERT_EQ(::chmod(path.c_str(), 0400), 0);
  EXPECT_TRUE(read(nullptr).has_value());
}

TEST_F(SecretFile, IsNeverReplaced) {
  write(nullptr);
  SecretBytes other(64);
  const auto again = write_secret(path, other, SecretPurpose::Member, nullptr, SealCost::minimal());
  EXPECT_EQ(again.error().code, ErrorCode::Conflict);
  EXPECT_EQ(hex(*good(read(nullptr))), hex(secret));
}

TEST_F(SecretFile, EveryChangedByteAndCutIsFound) {
  for (const Passphrase* passphrase : {right.get(), static_cast<Passphrase*>(nullptr)}) {
    std::filesystem::remove(path);
    write(passphrase);
    const ByteString content = good(read_file(path, Bytes(4096)));
    const auto attempt = [&](ByteView bytes) {
      std::ofstream(path, std::ios::binary | std::ios::trunc) << text_of(bytes);  // keeps the mode
      return read(passphrase);
    };
    for (std::size_t i = 0; i < content.size(); ++i) {
      ByteString changed = content;
      changed[i] ^= 0x01;  // a low bit, so that a changed cost does not take hours
      EXPECT_FALSE(attempt(changed).has_value()) << "byte " << i;
    }
    for (std::size_t length = 0; length < content.size(); ++length) {
      EXPECT_FALSE(attempt(ByteView(content).first(length)).has_value()) << "cut at " << length;
    }
    EXPECT_TRUE(attempt(content).has_value());
  }
}

TEST_F(SecretFile, AbsurdCostsAreRefusedBeforeTheyAreSpent) {
  write(right.get());
  ByteString content = good(read_file(path, Bytes(4096)));
  content[18 + 2 + 8 + 5] = 0xFF;  // 2^47 bytes of memory
  write_file(path, content, FileMode::Private).or_throw();
  expect_error(read(right.get()), ErrorCode::BadInput, "cost is out of range");
}

TEST_F(SecretFile, OnePurposeIsNotAnother) {
  write(right.get());
  expect_error(read(right.get(), SecretPurpose::Authority), ErrorCode::BadInput, "another purpose");
  ByteString content = good(read_file(path, Bytes(4096)));
  content[18] = static_cast<std::uint8_t>(SecretPurpose::Authority);
  write_file(path, content, FileMode::Private).or_throw();
  expect_error(read(right.get(), SecretPurpose::Authority), ErrorCode::Refused, "wrong passphrase");
}

TEST_F(SecretFile, AbsentAndForeignFilesSaySo) {
  expect_error(read(nullptr), ErrorCode::NotFound, "keys.secret");
  write_file(path, bytes_of("something else entirely, long enough"), FileMode::Private).or_throw();
  expect_error(read(nullptr), ErrorCode::BadInput, "not a secret key file");
  expect_error(secret_is_sealed(path), ErrorCode::BadInput, "not a secret key file");
}

TEST_F(SecretFile, PassphraseFromAFileOfTheOwnerOnly) {
  const auto file = folder.path() / "pass";
  write_file(file, bytes_of("two words\n"), FileMode::Private).or_throw();
  EXPECT_EQ(text_of(good(read_passphrase({.file = file}))->view()), "two words");
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  expect_error(read_passphrase({.file = file}), ErrorCode::Refused, "can be read by others");
  write_file(file, bytes_of("\n"), FileMode::Private).or_throw();
  expect_error(read_passphrase({.file = file}), ErrorCode::Usage, "empty");
}

TEST_F(SecretFile, PassphraseFromTheEnvironment) {
  ASSERT_EQ(::setenv("TOMOGRID_PASSPHRASE", "of the environment", 1), 0);
  EXPECT_EQ(text_of(good(read_passphrase({}))->view()), "of the environment");
  ASSERT_EQ(::unsetenv("TOMOGRID_PASSPHRASE"), 0);
}

// What a person types at a terminal, and what the terminal showed. The child ends with 0 when it got `expected`, else
// with the error's code.
struct AtTerminal {
  int status = -1;
  std::string shown;
};
AtTerminal at_terminal(const std::string& typed, const std::string& expected, bool confirm) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    ::unsetenv("TOMOGRID_PASSPHRASE");
    const auto passphrase = read_passphrase({.confirm = confirm});
    if (!passphrase) ::_exit(static_cast<int>(passphrase.error().code));
    ::_exit(text_of((*passphrase)->view()) == expected ? 0 : 99);
  }
  AtTerminal result;
  bool written = false;
  char buffer[256];
  for (;;) {
    const ssize_t n = ::read(terminal, buffer, sizeof buffer);
    if (n <= 0) break;  // EIO: the child has ended
    result.shown.append(buffer, static_cast<std::size_t>(n));
    // Only after the prompt, when echo is off, as a person would.
    if (!written && result.shown.find(": ") != std::string::npos) {
      written = ::write(terminal, typed.data(), typed.size()) == static_cast<ssize_t>(typed.size());
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(terminal);
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

TEST(PassphraseAtTerminal, IsNotShown) {
  const AtTerminal once = at_terminal("open sesame\n", "open sesame", false);
  EXPECT_EQ(once.status, 0);
  EXPECT_EQ(once.shown.find("sesame"), std::string::npos) << once.shown;
  const AtTerminal twice = at_terminal("open sesame\nopen sesame\n", "open sesame", true);
  EXPECT_EQ(twice.status, 0);
  EXPECT_NE(twice.shown.find("again"), std::string::npos) << twice.shown;
}

TEST(PassphraseAtTerminal, CanBeCorrectedAndIsComparedWhenNew) {
  EXPECT_EQ(at_terminal("open sesamx\x7f"
                        "e\n",
                        "open sesame", false)
                .status,
            0);
  EXPECT_EQ(at_terminal("nonsense\x15open sesame\r", "open sesame", false).status, 0);
  EXPECT_EQ(at_terminal("open sesame\nopen sesam\n", "", true).status, static_cast<int>(ErrorCode::Usage));
  EXPECT_EQ(at_terminal("\n", "", false).status, static_cast<int>(ErrorCode::Usage));
  EXPECT_EQ(at_terminal("open\x03", "", false).status, static_cast<int>(ErrorCode::Interrupted));
}

TEST(SealCost, AuthorityCostsMoreThanMembers) {
  EXPECT_GT(SealCost::moderate().memory_bytes, SealCost::interactive().memory_bytes);
  EXPECT_GE(SealCost::interactive().memory_bytes, std::uint64_t{64} << 20);
}

// In a child, so that this process stays as it is.
[[noreturn]] void harden_and_tell() {
  harden_process();
  struct rlimit limit {
    1, 1
  };
  ::getrlimit(RLIMIT_CORE, &limit);
  const bool off = limit.rlim_cur == 0 && limit.rlim_max == 0;
  std::exit(off && ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 7 : 1);
}

TEST(HardenProcessDeathTest, TurnsCoreDumpsOff) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_EXIT(harden_and_tell(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace tomogrid::certs
