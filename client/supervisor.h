// Keeps programs running: starts them, reads their ready line, starts one again when it dies, ends all of them.
//
// For a process without ZeroMQ context and threads (tomogrid up): children are forked and exec'ed, and die with this
// process however it ends. One thread. Errors: Failure when a program cannot be started at all.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace tomogrid::client {

struct Program {
  std::string name;
  std::vector<std::string> command;  // argv
  std::filesystem::path log;         // standard error and output, appended
};

class Supervisor final {
 public:
  Supervisor();
  ~Supervisor();  // ends all
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // `ready` hears the program's ready line, each time it has been started. May change the command for the next start.
  void start(Program program, std::function<void(Program& program, const std::string& line)> ready);
  // Hears of a program that died and will be started again.
  std::function<void(const std::string& name, int status, std::chrono::milliseconds pause)> on_death;

  // Waits at most `wait` for something to happen and deals with it. False once SIGINT or SIGTERM came.
  bool step(std::chrono::milliseconds wait);
  // SIGTERM to all, SIGKILL to those left after `patience`.
  void stop(std::chrono::milliseconds patience);
  // Ends as soon as this one does, with its status; not started again.
  std::optional<int> finished(const std::string& name) const;
  void start_once(Program program);  // a program that inherits our terminal and is not started again

 private:
  struct Child {
    Program program;
    std::function<void(Program&, const std::string&)> ready;
    pid_t pid = -1;
    int output = -1;
    int log = -1;
    std::string pending;
    bool once = false;
    std::optional<int> status;
    std::chrono::steady_clock::time_point started, again_at;
    std::chrono::milliseconds pause{200};
  };
  void launch(Child& child);
  void read_output(Child& child);
  void reap();
  std::vector<Child> children_;
  int signals_ = -1;
};

}  // namespace tomogrid::client
