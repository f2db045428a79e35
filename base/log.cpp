#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "base/text.h"

namespace tomogrid::log {

namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::Debug: return spdlog::level::debug;
    case Level::Info: return spdlog::level::info;
    case Level::Warning: return spdlog::level::warn;
    case Level::Error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto made = std::make_shared<spdlog::logger>("tomogrid", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
    made->set_level(spdlog::level::warn);
    return made;
  }();
  return instance;
}

}  // namespace

void set_up(Level least, const std::string& path) {
  if (!path.empty()) logger()->sinks().push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
  logger()->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
  logger()->set_level(to_spdlog(least));
  logger()->flush_on(spdlog::level::info);
}

void event(Level level, std::string_view name, std::initializer_list<Field> fields) {
  if (!logger()->should_log(to_spdlog(level))) return;
  std::string line(name);
  for (const Field& field : fields) {
    const std::string value = printable(field.value);
    const bool quoted = value.empty() || value.find_first_of(" =\"") != std::string::npos;
    line.append(" ").append(field.name).append("=");
    if (!quoted) {
      line.append(value);
      continue;
    }
    line.push_back('"');
    for (const char c : value) line.append(c == '"' ? "'" : std::string(1, c));
    line.push_back('"');
  }
  logger()->log(to_spdlog(level), line);
}

}  // namespace tomogrid::log
