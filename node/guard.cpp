#include "node/guard.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace tomogrid::node {

namespace {

constexpr int kHold = 4;  // the node's end of this pipe is open as long as the worker may run

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::vector<int>> number_list(const std::string& text) {
  std::vector<int> numbers;
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const auto value = number(text.substr(begin, end - begin));
    if (!value || *value >= CPU_SETSIZE) return std::nullopt;
    numbers.push_back(static_cast<int>(*value));
    begin = end + 1;
  }
  return numbers;
}

void limit(int resource, std::uint64_t value) {
  const rlimit bound{value, value};
  ::setrlimit(static_cast<__rlimit_resource>(resource), &bound);
}

void bind_to(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  ::sched_setaffinity(0, sizeof set, &set);  // not allowed: it runs where it may
}

// In the child: only async-signal-safe calls from here to exec.
[[noreturn]] void become_worker(const GuardOptions& options, char* const* argv, pid_t guard) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != guard) ::_exit(127);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  bind_to(options.cpus);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, options.open_files);
#if !defined(__SANITIZE_ADDRESS__)  // whose own shadow memory is beyond any limit for the program
  if (options.memory_limit != 0) limit(RLIMIT_DATA, options.memory_limit);
#endif
  if (options.file_limit != 0) limit(RLIMIT_FSIZE, options.file_limit);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execv(argv[0], argv);
  ::_exit(127);
}

// Sends `signal` to every child; the kernel lists them. Returns how many there are.
std::size_t signal_children(int signal) {
  std::FILE* file = std::fopen("/proc/thread-self/children", "re");
  if (file == nullptr) return 0;
  std::size_t count = 0;
  long pid = 0;
  while (std::fscanf(file, "%ld", &pid) == 1) {
    ::kill(static_cast<pid_t>(pid), signal);
    ++count;
  }
  std::fclose(file);
  return count;
}

// All that descends from the guard ends here: what a killed process leaves behind becomes a child in the next round.
void kill_descendants() {
  while (signal_children(SIGKILL) > 0) {
    while (::waitpid(-1, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
}

bool node_is_here() {
  char go = 0;
  ssize_t n = -1;
  while ((n = ::read(kHold, &go, 1)) < 0 && errno == EINTR) {
  }
  return n == 1;
}

// Waits for the worker, for the node's hold to end, and then at most `grace` more. Returns the worker's wait status.
int wait_for(pid_t worker, int signals, int grace_ms) {
  bool held = true;
  auto deadline = std::chrono::steady_clock::time_point::max();
  while (true) {
    int status = 0;
    pid_t ended = 0;
    while ((ended = ::waitpid(-1, &status, WNOHANG)) > 0) {
      if (ended == worker) return status;
    }
    int wait_ms = -1;
    if (!held) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
      if (left <= 0) {
        ::kill(worker, SIGKILL);
        while (::waitpid(worker, &status, 0) < 0 && errno == EINTR) {
        }
        return status;
      }
      wait_ms = static_cast<int>(left) + 1;
    }
    pollfd watched[2] = {{signals, POLLIN, 0}, {held ? kHold : -1, POLLIN, 0}};
    if (::poll(watched, 2, wait_ms) < 0) continue;
    if ((watched[0].revents & POLLIN) != 0) {
      signalfd_siginfo info;
      if (::read(signals, &info, sizeof info) < 0) continue;
    }
    if (held && watched[1].revents != 0) {
      held = false;
      deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(grace_ms);
      signal_children(SIGTERM);
    }
  }
}

}  // namespace

std::vector<std::string> guard_arguments(const GuardOptions& options) {
  std::vector<std::string> words{
      "--memory",     std::to_string(options.memory_limit), "--file",     std::to_string(options.file_limit),
      "--open-files", std::to_string(options.open_files),   "--grace-ms", std::to_string(options.grace_ms)};
  if (!options.cpus.empty()) {
    std::string list;
    for (const int cpu : options.cpus) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    words.insert(words.end(), {"--cpus", list});
  }
  words.push_back("--");
  words.insert(words.end(), options.command.begin(), options.command.end());
  return words;
}

std::optional<GuardOptions> parse_guard_arguments(const std::vector<std::string>& words) {
  GuardOptions options;
  std::size_t i = 0;
  for (; i + 1 < words.size() && words[i] != "--"; i += 2) {
    const auto value = number(words[i + 1]);
    if (words[i] == "--cpus") {
      const auto cpus = number_list(words[i + 1]);
      if (!cpus) return std::nullopt;
      options.cpus = *cpus;
    } else if (!value) {
      return std::nullopt;
    } else if (words[i] == "--memory") {
      options.memory_limit = *value;
    } else if (words[i] == "--file") {
      options.file_limit = *value;
    } else if (words[i] == "--open-files") {
      options.open_files = *value;
    } else if (words[i] == "--grace-ms") {
      options.grace_ms = static_cast<int>(std::min<std::uint64_t>(*value, 60'000));
    } else {
      return std::nullopt;
    }
  }
  if (i >= words.size() || words[i] != "--") return std::nullopt;
  options.command.assign(words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
  if (options.command.empty() || options.command.front().empty() || options.command.front().front() != '/')
    return std::nullopt;
  return options;
}

int run_guard(const GuardOptions& options) {
  ::fcntl(kHold, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::prctl(PR_SET_DUMPABLE, 0);
  // SIGTERM to the group is for the worker; the guard stays to see it end.
  sigset_t blocked;
  sigemptyset(&blocked);
  for (const int signal : {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGPIPE}) sigaddset(&blocked, signal);
  ::sigprocmask(SIG_SETMASK, &blocked, nullptr);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  const int signals = ::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0 || !node_is_here()) return 125;

  std::vector<char*> argv;
  for (const std::string& word : options.command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t guard = ::getpid();
  const pid_t worker = ::fork();  // this program has one thread and nothing open but the pipes
  if (worker < 0) return 126;
  if (worker == 0) become_worker(options, argv.data(), guard);
  for (const int fd : {0, 1, 2, 3}) ::close(fd);  // so that the node sees the worker's ends of them

  const int status = wait_for(worker, signals, options.grace_ms);
  kill_descendants();
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  const int signal = WTERMSIG(status);
  limit(RLIMIT_CORE, 0);
  ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::raise(signal);
  return 128 + signal;
}

}  // namespace tomogrid::node
