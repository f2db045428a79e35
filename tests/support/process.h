// Real processes in tests: started with their own environment, read line by line, ended by scope.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace tomogrid::test {

class Process final {
 public:
  // Standard input is /dev/null. `environment` is added to this process's own. Throws std::runtime_error.
  Process(std::vector<std::string> words, std::map<std::string, std::string> environment = {});
  ~Process();                                          // SIGKILL if it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // The first line of standard output (from the start) that `wanted` accepts, or nullopt after `limit` or at the end.
  std::optional<std::string> wait_line(const std::function<bool(const std::string&)>& wanted, std::chrono::milliseconds limit);
  // The same for standard error.
  std::optional<std::string> wait_error_line(const std::function<bool(const std::string&)>& wanted, std::chrono::milliseconds limit);
  // Exit status (128 + signal when killed), or nullopt after `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit);
  void signal(int number) const;
  bool running();
  std::string output();
  std::string errors();

 private:
  struct Stream {
    int descriptor = -1;
    std::string text;
    bool ended = false;
    std::thread reader;
  };
  void read_all(Stream& stream);
  std::optional<std::string> wait_in(Stream& stream, const std::function<bool(const std::string&)>& wanted, std::chrono::milliseconds limit);

  pid_t pid_ = -1;
  std::optional<int> status_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Stream out_, err_;
};

// Runs to its end and says what came of it. Throws std::runtime_error with all output after `limit`.
struct Outcome {
  int status = 0;
  std::string output, errors;
};
Outcome run(std::vector<std::string> words, std::map<std::string, std::string> environment = {},
            std::chrono::milliseconds limit = std::chrono::seconds(120));

}  // namespace tomogrid::test
