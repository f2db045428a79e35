#include "client/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/result.h"
#include "base/text.h"

namespace tomogrid::client {

using SteadyTime = std::chrono::steady_clock;

namespace {

constexpr std::size_t kLineLimit = 64 * 1024;
constexpr std::chrono::milliseconds kPauseMost{10'000};
constexpr std::chrono::seconds kSettled{10};

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&set, signal);
  return set;
}

// In the child: only calls that are safe between fork and exec.
[[noreturn]] void become(char* const* argv, pid_t parent, int output, int log, bool keep_terminal) {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (!keep_terminal) {
    ::setpgid(0, 0);  // Ctrl-C is for the supervisor: it ends them in order
    const int nothing = ::open("/dev/null", O_RDONLY);
    ::dup2(nothing, STDIN_FILENO);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(log, STDERR_FILENO);
  }
  ::execv(argv[0], argv);
  ::_exit(127);
}

}  // namespace

Supervisor::Supervisor() {
  const sigset_t set = watched_signals();
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) throw Failure(ErrorCode::Internal, "cannot watch for signals");
}

Supervisor::~Supervisor() {
  stop(std::chrono::milliseconds(5000));
  ::close(signals_);
}

void Supervisor::launch(Child& child) {
  std::vector<char*> argv;
  for (std::string& word : child.program.command) argv.push_back(word.data());
  argv.push_back(nullptr);
  int ends[2] = {-1, -1};
  if (!child.once) {
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw Failure(ErrorCode::Internal, "cannot make a pipe");
    ::fcntl(ends[1], F_SETFL, 0);
    child.log = ::open(child.program.log.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    if (child.log < 0) throw Failure(ErrorCode::Storage, "cannot write " + child.program.log.string());
  }
  const pid_t self = ::getpid();
  child.started = SteadyTime::now();
  child.pid = ::fork();
  if (child.pid == 0) become(argv.data(), self, ends[1], child.log, child.once);
  if (ends[1] >= 0) ::close(ends[1]);
  if (child.pid < 0)
    throw Failure(ErrorCode::Internal, "cannot start " + child.program.name + ": " + std::strerror(errno));
  child.output = ends[0];
  child.pending.clear();
}

void Supervisor::start(Program program, std::function<void(Program&, const std::string&)> ready) {
  Child child;
  child.program = std::move(program);
  child.ready = std::move(ready);
  children_.push_back(std::move(child));
  launch(children_.back());
}

void Supervisor::start_once(Program program) {
  Child child;
  child.program = std::move(program);
  child.once = true;
  children_.push_back(std::move(child));
  launch(children_.back());
}

std::optional<int> Supervisor::finished(const std::string& name) const {
  for (const Child& child : children_) {
    if (child.once && child.program.name == name) return child.status;
  }
  return std::nullopt;
}

void Supervisor::read_output(Child& child) {
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(child.output, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return;
    if (n == 0) {
      ::close(std::exchange(child.output, -1));
      return;
    }
    if (::write(child.log, buffer, static_cast<std::size_t>(n)) < 0) {
      // A full disk must not end the federation; the log is for people.
    }
    child.pending.append(buffer, static_cast<std::size_t>(n));
    for (std::size_t end; (end = child.pending.find('\n')) != std::string::npos;) {
      const std::string line = child.pending.substr(0, end);
      child.pending.erase(0, end + 1);
      if (line.find("\"ready\"") != std::string::npos) child.ready(child.program, line);
    }
    if (child.pending.size() > kLineLimit) child.pending.clear();
  }
}

void Supervisor::reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found =
        std::find_if(children_.begin(), children_.end(), [pid](const Child& child) { return child.pid == pid; });
    if (found == children_.end()) continue;
    Child& child = *found;
    child.pid = -1;
    child.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (child.output >= 0) read_output(child);
    for (int* descriptor : {&child.output, &child.log}) {
      if (*descriptor >= 0) ::close(std::exchange(*descriptor, -1));
    }
    if (child.once) continue;
    if (SteadyTime::now() - child.started > kSettled) child.pause = std::chrono::milliseconds(200);
    child.again_at = SteadyTime::now() + child.pause;
    if (on_death) on_death(child.program.name, *child.status, child.pause);
    child.pause = std::min(child.pause * 2, kPauseMost);
  }
}

bool Supervisor::step(std::chrono::milliseconds wait) {
  const auto now = SteadyTime::now();
  for (Child& child : children_) {
    if (child.pid >= 0 || child.once) continue;
    if (child.again_at <= now) {
      launch(child);
    } else {
      wait = std::min(wait, std::chrono::duration_cast<std::chrono::milliseconds>(child.again_at - now) +
                                std::chrono::milliseconds(1));
    }
  }
  std::vector<pollfd> waiting{{signals_, POLLIN, 0}};
  for (const Child& child : children_) {
    if (child.output >= 0) waiting.push_back({child.output, POLLIN, 0});
  }
  ::poll(waiting.data(), waiting.size(), static_cast<int>(wait.count()));
  bool go_on = true;
  signalfd_siginfo info{};
  while (::read(signals_, &info, sizeof info) == sizeof info) {
    if (info.ssi_signo != SIGCHLD) go_on = false;
  }
  for (Child& child : children_) {
    if (child.output >= 0) read_output(child);
  }
  reap();
  return go_on;
}

void Supervisor::stop(std::chrono::milliseconds patience) {
  const auto until = SteadyTime::now() + patience;
  // Last started, first ended: nodes say goodbye to a registry that is still there.
  for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
    if (child->pid > 0) ::kill(child->pid, SIGTERM);
  }
  const auto alive = [this] {
    return std::any_of(children_.begin(), children_.end(), [](const Child& child) { return child.pid > 0; });
  };
  for (Child& child : children_) child.once = true;  // not again
  while (alive() && SteadyTime::now() < until) step(std::chrono::milliseconds(50));
  for (Child& child : children_) {
    if (child.pid > 0) ::kill(child.pid, SIGKILL);
  }
  while (alive()) step(std::chrono::milliseconds(50));
  children_.clear();
}

}  // namespace tomogrid::client
