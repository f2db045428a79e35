#include "client/display.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/text.h"

namespace tomogrid::client {

namespace {

constexpr std::size_t kBarWidth = 20;

std::size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20) return size.ws_col;
  return 80;
}

std::string stage_of(const wire::JobStatus& status) {
  if (status.state == job::JobState::Queued) return status.input_complete ? "queued" : "queued, sending";
  if (status.state != job::JobState::Running) return std::string(job::to_string(status.state));
  std::string text = status.stage.empty() ? "running" : printable(status.stage);
  if (status.steps > 0) text += " " + std::to_string(status.step) + " of " + std::to_string(status.steps);
  return text;
}

}  // namespace

std::string progress_bar(const std::string& node, const wire::JobStatus& status, std::size_t width) {
  const double fraction = status.state == job::JobState::Finished ? 1.0 : std::clamp(status.fraction, 0.0, 1.0);
  const auto filled = static_cast<std::size_t>(std::lround(fraction * static_cast<double>(kBarWidth)));
  std::string percent = std::to_string(std::lround(fraction * 100));
  std::string text = "[" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + "] " +
                     std::string(3 - std::min<std::size_t>(3, percent.size()), ' ') + percent + " %  " +
                     stage_of(status);
  if (status.remaining && status.state == job::JobState::Running)
    text += ", " + human_seconds(status.remaining->count()) + " left";
  text += ", node " + printable(node);
  return text.substr(0, width > 1 ? width - 1 : width);
}

std::string progress_line(const std::string& node, const wire::JobStatus& status) {
  const auto tenths = static_cast<int>(std::clamp(status.fraction, 0.0, 1.0) * 10);
  std::string text = printable(node) + ": ";
  if (status.state != job::JobState::Running) return text + stage_of(status);
  return text + (status.stage.empty() ? "running" : printable(status.stage)) + ", " + std::to_string(tenths * 10) +
         " %";
}

Display::Display(bool quiet) : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

Display::~Display() {
  clear();
}

void Display::clear() {
  if (!bar_shown_) return;
  std::cerr << "\r\033[K" << std::flush;
  bar_shown_ = false;
}

void Display::line(const std::string& text) {
  if (quiet_) return;
  clear();
  std::cerr << printable(text) << std::endl;
}

void Display::warning(const std::string& text) {
  clear();
  std::cerr << "warning: " << printable(text) << std::endl;
}

void Display::state(const std::string& text) {
  if (quiet_ || asking_ || text == last_) return;
  last_ = text;
  if (!terminal_) return line(text);
  std::cerr << "\r\033[K" << printable(text).substr(0, terminal_width() - 1) << std::flush;
  bar_shown_ = true;
}

void Display::progress(const std::string& node, const wire::JobStatus& status) {
  if (quiet_ || asking_) return;
  if (!terminal_) {
    const std::string text = progress_line(node, status);
    if (text == last_) return;
    last_ = text;
    const bool left = status.remaining && status.state == job::JobState::Running;
    return line(text + (left ? ", " + human_seconds(status.remaining->count()) + " left" : ""));
  }
  const std::string text = progress_bar(node, status, terminal_width());
  if (text == last_ && bar_shown_) return;
  last_ = text;
  std::cerr << "\r\033[K" << text << std::flush;
  bar_shown_ = true;
}

void Display::ask(const std::string& question) {
  asking_ = !question.empty();
  clear();
  if (asking_) std::cerr << question << std::flush;
}

}  // namespace tomogrid::client
