// SPDX-License-Identifier: MIT
#include "core/base/log_sink.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include <fmt/format.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr LogLevel nothing{-1}; ///< below every level there is

struct Named {
  std::string_view name;
  LogLevel most; ///< the last level that is written
};
/// The names that spdlog has.
constexpr std::array<Named, 9> known{{{"trace", LogLevel::Debug},
                                      {"debug", LogLevel::Debug},
                                      {"info", LogLevel::Warning},
                                      {"warning", LogLevel::Warning},
                                      {"warn", LogLevel::Warning},
                                      {"error", nothing},
                                      {"err", nothing},
                                      {"critical", nothing},
                                      {"off", nothing}}};

/// One line, in the form of spdlog: [2026-01-31 12:00:00.123] [sa] [warning] SENTENCE
void write_line(LogLevel level, const std::string& sentence) {
  std::timespec now{};
  std::tm local{};
  std::array<char, 32> time{};
  (void)std::timespec_get(&now, TIME_UTC);
  ::localtime_r(&now.tv_sec, &local);
  (void)std::strftime(time.data(), time.size(), "%Y-%m-%d %H:%M:%S", &local);
  const std::string line = fmt::format("[{}.{:03}] [sa] [{}] {}\n", time.data(), now.tv_nsec / 1'000'000,
                                       level == LogLevel::Warning ? "warning" : "debug", sentence);
  (void)std::fwrite(line.data(), 1, line.size(), stderr); // in one piece: other threads write there too
}

LogLevel most_of_environment() {
  const char* const value = ::secure_getenv(log_variable);
  const auto* const found =
      std::find_if(known.begin(), known.end(), [&](const Named& one) { return one.name == (value != nullptr ? value : "warn"); });
  if (found == known.end()) {
    write_line(LogLevel::Warning, unknown_log_level(value));
    return LogLevel::Warning;
  }
  return found->most;
}

} // namespace

void write_to_sink(LogLevel level, const std::function<std::string()>& sentence) {
  static const LogLevel most = most_of_environment();
  if (level <= most) {
    write_line(level, sentence());
  }
}

}}} // namespace sa::v0::detail
