#include "support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

extern char** environ;

namespace tomogrid::test {

namespace {

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!added.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> result;
  for (std::string& word : words) result.push_back(word.data());
  result.push_back(nullptr);
  return result;
}

int decode(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

Process::Process(std::vector<std::string> words, std::map<std::string, std::string> environment) {
  int out[2], err[2];
  if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  posix_spawn_file_actions_adddup2(&actions, err[1], 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  std::vector<std::string> variables = merged_environment(environment);
  const std::string program = words.at(0);
  const int error = ::posix_spawnp(&pid_, program.c_str(), &actions, nullptr, pointers(words).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  ::close(out[1]);
  ::close(err[1]);
  if (error != 0) {
    ::close(out[0]);
    ::close(err[0]);
    throw std::runtime_error("cannot start " + program + ": " + std::generic_category().message(error));
  }
  out_.descriptor = out[0];
  err_.descriptor = err[0];
  out_.reader = std::thread([this] { read_all(out_); });
  err_.reader = std::thread([this] { read_all(err_); });
}

Process::~Process() {
  if (running()) {
    signal(SIGKILL);
    (void)wait(std::chrono::seconds(10));
  }
  // A grandchild may hold the pipe open: the readers end when it closes, and our end is shut here in any case.
  out_.reader.join();
  err_.reader.join();
  ::close(out_.descriptor);
  ::close(err_.descriptor);
}

void Process::read_all(Stream& stream) {
  char buffer[4096];
  while (true) {
    pollfd watch{stream.descriptor, POLLIN, 0};
    const int ready = ::poll(&watch, 1, 100);
    if (ready == 0) {
      const std::lock_guard lock(mutex_);
      if (status_) break;   // ended; what a grandchild may still write is not ours
      continue;
    }
    const ssize_t n = ::read(stream.descriptor, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    const std::lock_guard lock(mutex_);
    stream.text.append(buffer, static_cast<std::size_t>(n));
    changed_.notify_all();
  }
  const std::lock_guard lock(mutex_);
  stream.ended = true;
  changed_.notify_all();
}

std::optional<std::string> Process::wait_in(Stream& stream, const std::function<bool(const std::string&)>& wanted, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::unique_lock lock(mutex_);
  std::size_t begin = 0;
  while (true) {
    for (std::size_t end = stream.text.find('\n', begin); end != std::string::npos; end = stream.text.find('\n', begin)) {
      std::string line = stream.text.substr(begin, end - begin);
      begin = end + 1;
      if (wanted(line)) return line;
    }
    if (stream.ended || changed_.wait_until(lock, deadline) == std::cv_status::timeout) return std::nullopt;
  }
}

std::optional<std::string> Process::wait_line(const std::function<bool(const std::string&)>& wanted, std::chrono::milliseconds limit) {
  return wait_in(out_, wanted, limit);
}

std::optional<std::string> Process::wait_error_line(const std::function<bool(const std::string&)>& wanted, std::chrono::milliseconds limit) {
  return wait_in(err_, wanted, limit);
}

std::optional<int> Process::wait(std::chrono::milliseconds limit) {
  {
    const std::lock_guard lock(mutex_);
    if (status_) return status_;
  }
  const int descriptor = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  pollfd watch{descriptor, POLLIN, 0};
  const int ready = ::poll(&watch, 1, static_cast<int>(limit.count()));
  if (descriptor >= 0) ::close(descriptor);
  if (ready <= 0) return std::nullopt;
  int status = 0;
  if (::waitpid(pid_, &status, 0) != pid_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  status_ = decode(status);
  return status_;
}

void Process::signal(int number) const { ::kill(pid_, number); }
bool Process::running() { return !wait(std::chrono::milliseconds(0)); }

std::string Process::output() {
  const std::lock_guard lock(mutex_);
  return out_.text;
}

std::string Process::errors() {
  const std::lock_guard lock(mutex_);
  return err_.text;
}

Outcome run(std::vector<std::string> words, std::map<std::string, std::string> environment, std::chrono::milliseconds limit) {
  const std::string name = words.at(0);
  Process process(std::move(words), std::move(environment));
  const auto status = process.wait(limit);
  if (!status) {
    process.signal(SIGKILL);
    throw std::runtime_error(name + " did not end in time\n" + process.output() + process.errors());
  }
  // The readers see the end of the pipes right after the process is gone.
  (void)process.wait_line([](const std::string&) { return false; }, std::chrono::seconds(5));
  (void)process.wait_error_line([](const std::string&) { return false; }, std::chrono::seconds(5));
  return {*status, process.output(), process.errors()};
}

}  // namespace tomogrid::test
