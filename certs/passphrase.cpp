// Where a passphrase comes from: a file, the environment, a terminal.
#include <fcntl.h>
#include <sodium.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "certs/private_file.h"
#include "certs/secret.h"

namespace tomogrid::certs {

namespace {

constexpr std::size_t kPassphraseMax = 1024;

Result<std::unique_ptr<Passphrase>> from_file(const std::filesystem::path& path) {
  auto content = read_private_file(path, kPassphraseMax + 1);
  if (!content) return content.error();
  std::string_view text = text_of((*content)->view());
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return Error{ErrorCode::Usage, path.string() + " holds an empty passphrase"};
  return passphrase_of(text);
}

// The terminal with echo, line editing and signals off, put back at the end. Signals are off so that Ctrl-C cannot
// leave the user's terminal without echo; it arrives as a byte instead.
class QuietTerminal final {
 public:
  QuietTerminal() : fd_(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY)) {
    if (fd_ < 0 || ::tcgetattr(fd_, &before_) != 0) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | ISIG);
    ready_ = ::tcsetattr(fd_, TCSAFLUSH, &quiet) == 0;
  }
  ~QuietTerminal() {
    if (ready_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
    if (fd_ >= 0) ::close(fd_);
  }
  QuietTerminal(const QuietTerminal&) = delete;
  QuietTerminal& operator=(const QuietTerminal&) = delete;
  bool ready() const { return ready_; }

  void say(std::string_view text) const { [[maybe_unused]] const ssize_t n = ::write(fd_, text.data(), text.size()); }

  // Usage when empty or too long, Interrupted at Ctrl-C.
  Result<std::unique_ptr<Passphrase>> ask(const std::string& prompt) const {
    say(prompt + ": ");
    SecretBytes typed(kPassphraseMax);
    std::size_t length = 0;
    for (;;) {
      char c = 0;
      if (::read(fd_, &c, 1) != 1 || c == 3) {
        say("\n");
        return Error{ErrorCode::Interrupted, "no passphrase was entered"};
      }
      if (c == '\n' || c == '\r' || c == 4) break;
      if (c == 127 || c == 8)
        length -= length > 0 ? 1 : 0;
      else if (c == 21)
        length = 0;  // Ctrl-U
      else if (length < kPassphraseMax)
        typed.writable()[length++] = static_cast<std::uint8_t>(c);
    }
    say("\n");
    if (length == 0) return Error{ErrorCode::Usage, "an empty passphrase protects nothing"};
    return passphrase_of(text_of(typed.view().first(length)));
  }

 private:
  int fd_;
  bool ready_ = false;
  termios before_{};
};

bool same(const Passphrase& a, const Passphrase& b) {
  return a.size() == b.size() && sodium_memcmp(a.view().data(), b.view().data(), a.size()) == 0;
}

}  // namespace

Result<std::unique_ptr<Passphrase>> read_passphrase(const PassphraseSource& source) {
  if (source.file) return from_file(*source.file);
  if (const char* text = std::getenv("TOMOGRID_PASSPHRASE"); text != nullptr && *text != '\0') {
    if (std::strlen(text) > kPassphraseMax) return Error{ErrorCode::Usage, "TOMOGRID_PASSPHRASE is too long"};
    return passphrase_of(text);
  }
  const QuietTerminal terminal;
  if (!terminal.ready()) {
    return Error{ErrorCode::Usage, "a passphrase is needed (" + source.prompt + ") and there is no terminal; give " +
                                       "--passphrase-file FILE or set TOMOGRID_PASSPHRASE"};
  }
  auto first = terminal.ask(source.prompt);
  if (!first || !source.confirm) return first;
  auto second = terminal.ask(source.prompt + " again");
  if (!second) return second;
  if (!same(**first, **second)) return Error{ErrorCode::Usage, "the two passphrases differ; nothing was written"};
  return first;
}

}  // namespace tomogrid::certs
