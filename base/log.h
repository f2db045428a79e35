// One event a line: `lease.granted node=7KQX2 request=19 lease_ms=30000`. Nothing about a patient is ever logged.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace tomogrid::log {

enum class Level { Debug, Info, Warning, Error };

// A named value. Text is made printable and quoted where it holds a space.
struct Field {
  std::string_view name;
  std::string value;
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  Field(std::string_view n, const std::string& v) : name(n), value(v) {}
  Field(std::string_view n, const char* v) : name(n), value(v) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  Field(std::string_view n, T v) : name(n), value(std::to_string(v)) {}
};

// Where events go: standard error, and a file if `path` is not empty. Once, from main. Default: Warning, stderr.
void set_up(Level least, const std::string& path = {});

// `event` is a stable dotted name. Thread safe.
void event(Level level, std::string_view event, std::initializer_list<Field> fields = {});
inline void debug(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::Debug, name, fields); }
inline void info(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::Info, name, fields); }
inline void warning(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::Warning, name, fields); }
inline void error(std::string_view name, std::initializer_list<Field> fields = {}) { event(Level::Error, name, fields); }

}  // namespace tomogrid::log
