#include "job/worker_channel.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "base/file.h"

namespace tomogrid::job {

WorkerChannel::WorkerChannel(const std::filesystem::path& folder, int input, int output)
    : folder_(folder),
      order_(parse_work_order(text_of(read_file(folder / "job.json", mebibytes(1)).or_throw())).or_throw()),
      input_(input),
      output_(output) {
  std::signal(SIGPIPE, SIG_IGN);
}

std::filesystem::path WorkerChannel::input_path(const std::string& name) const { return folder_ / "in" / name; }
std::filesystem::path WorkerChannel::output_path(const std::string& name) const { return folder_ / "out" / name; }

std::vector<ToWorker> WorkerChannel::poll(std::chrono::milliseconds wait) {
  std::vector<ToWorker> lines;
  while (!ended_) {
    pollfd watch{input_, POLLIN, 0};
    const int ready = ::poll(&watch, 1, lines.empty() ? static_cast<int>(wait.count()) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) break;
    char buffer[4096];
    const ssize_t n = ::read(input_, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      ended_ = cancelled_ = true;
      break;
    }
    pending_.append(buffer, static_cast<std::size_t>(n));
    std::size_t begin = 0;
    for (std::size_t end = pending_.find('\n'); end != std::string::npos; end = pending_.find('\n', begin)) {
      auto line = parse_to_worker(std::string_view(pending_).substr(begin, end - begin));
      begin = end + 1;
      if (!line) continue;
      if (std::holds_alternative<Cancel>(*line)) cancelled_ = true;
      lines.push_back(*std::move(line));
    }
    pending_.erase(0, begin);
    if (pending_.size() > kWorkerLineLimit) pending_.clear();
  }
  return lines;
}

bool WorkerChannel::say(const FromWorker& line) {
  std::string text = encode(line) + "\n";
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(output_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void WorkerChannel::write_output(const std::string& name, ByteView content) const {
  write_file(output_path(name), content, FileMode::Private).or_throw();
}

}  // namespace tomogrid::job
