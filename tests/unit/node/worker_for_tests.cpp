// A worker that does as its parameter "mode" says; obeys the contract of job/worker_protocol.h unless that is the
// point.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "base/file.h"
#include "job/worker_channel.h"

using namespace tomogrid;

namespace {

// All inputs complete, or false: stop.
bool wait_for_inputs(job::WorkerChannel& channel) {
  std::size_t complete = 0;
  while (complete < channel.order().inputs.size() && !channel.cancelled()) {
    for (const job::ToWorker& line : channel.poll(std::chrono::seconds(60))) {
      if (std::holds_alternative<job::InputComplete>(line)) ++complete;
    }
  }
  return !channel.cancelled();
}

std::string surroundings() {
  std::string text;
  for (char** variable = environ; *variable != nullptr; ++variable) text += std::string(*variable) + "\n";
  cpu_set_t set;
  CPU_ZERO(&set);
  ::sched_getaffinity(0, sizeof set, &set);
  text += "cpus=" + std::to_string(CPU_COUNT(&set)) + "\n";
  rlimit limit{};
  ::getrlimit(RLIMIT_CORE, &limit);
  text += "core=" + std::to_string(limit.rlim_cur) + "\n";
  ::getrlimit(RLIMIT_FSIZE, &limit);
  text += "file=" + std::to_string(limit.rlim_cur) + "\n";
  for (int fd = 0; fd < 64; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) text += "fd=" + std::to_string(fd) + "\n";
  }
  text += "cwd=" + std::filesystem::current_path().string() + "\n";
  text += "group-leader=" + std::to_string(::getpgrp()) + "\n";
  return text;
}

// Deaf to the end of its input and to SIGTERM, with a child that has left the process group.
[[noreturn]] void hang(job::WorkerChannel& channel) {
  ::signal(SIGTERM, SIG_IGN);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setpgid(0, 0);
    for (;;) ::pause();
  }
  channel.say(job::Notice{"child", std::to_string(child)});
  for (;;) ::pause();
}

}  // namespace

int main() {
  job::WorkerChannel channel(std::filesystem::current_path());
  const auto mode = std::get<std::string>(channel.order().parameters.at("mode"));
  channel.say(job::Progress{"start", 0.0, std::nullopt, 0, 2});
  if (mode == "hang") hang(channel);
  if (mode == "crash") ::raise(SIGSEGV);
  if (mode == "long-lines") {
    const std::string line = std::string(200'000, 'x') + "\nnonsense\n";
    for (std::size_t done = 0; done < line.size();) {
      const ssize_t n = ::write(3, line.data() + done, line.size() - done);
      if (n <= 0) return 9;
      done += static_cast<std::size_t>(n);
    }
    channel.say(job::Notice{"after", "still heard"});
    return 0;
  }
  if (mode == "greedy") {
    std::string everything;
    try {
      for (;;) everything.append(16 << 20, 'x');
    } catch (const std::bad_alloc&) {
      everything = {};
      channel.say(job::WorkerFailed{{"out-of-memory", "", job::Retry::Elsewhere}});
      return 1;
    }
  }
  if (mode == "surroundings") channel.write_output("volume.f32", bytes_of(surroundings()));
  if (mode == "echo") {
    if (!wait_for_inputs(channel)) return 4;
    ByteString content = read_file(channel.input_path("scan.f32"), mebibytes(64)).or_throw();
    std::reverse(content.begin(), content.end());
    channel.write_output("preview.png", bytes_of("preview"));
    channel.say(job::PreviewReady{"preview.png", "half"});
    channel.write_output("volume.f32", content);
  }
  channel.say(job::Progress{"write", 1.0, std::nullopt, 2, 2});
  return 0;
}
