// What a person sees while a job runs: on a terminal one line that changes, elsewhere a line for each thing that
// happens. Everything goes to standard error; results go to standard output by others.
#pragma once

#include <string>

#include "wire/messages/job.h"

namespace tomogrid::client {

class Display final {
 public:
  // `quiet`: warnings only (with --json).
  explicit Display(bool quiet);
  ~Display();
  Display(const Display&) = delete;
  Display& operator=(const Display&) = delete;

  bool terminal() const { return terminal_; }
  void line(const std::string& text);     // something happened
  void warning(const std::string& text);  // also when quiet
  void state(const std::string& text);    // waiting, connecting: replaces the line on a terminal
  void progress(const std::string& node, const wire::JobStatus& status);
  // A question on the terminal; the bar comes back with the next progress.
  void ask(const std::string& question);

 private:
  void clear();
  bool quiet_, terminal_, bar_shown_ = false, asking_ = false;
  std::string last_;  // of state() and progress(): not said twice
};

// "[#########...........]  45 %  iterate 3 of 10, 12 s left, node alpha" in `width` columns.
std::string progress_bar(const std::string& node, const wire::JobStatus& status, std::size_t width);
// "alpha: iterate 3 of 10, 40 %, 12 s left": the same for a log; equal text for nearly equal progress.
std::string progress_line(const std::string& node, const wire::JobStatus& status);

}  // namespace tomogrid::client
