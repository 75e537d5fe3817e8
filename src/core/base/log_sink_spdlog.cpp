// SPDX-License-Identifier: MIT
#include "core/base/log_sink.hpp"

#include <cstdlib>
#include <memory>
#include <string_view>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* logger_name = "sa";

std::shared_ptr<spdlog::logger> logger() {
  if (auto registered = spdlog::get(logger_name)) {
    return registered;
  }
  static const std::shared_ptr<spdlog::logger> own = [] {
    auto made = std::make_shared<spdlog::logger>(logger_name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    const char* level = ::secure_getenv(log_variable);
    const auto known = spdlog::level::from_str(level != nullptr ? level : "warn"); // off for what it does not know
    const bool unknown = known == spdlog::level::off && std::string_view(level) != "off";
    made->set_level(unknown ? spdlog::level::warn : known);
    if (unknown) {
      made->warn(unknown_log_level(level));
    }
    return made;
  }();
  return own;
}

} // namespace

void write_to_sink(LogLevel level, const std::function<std::string()>& sentence) {
  const auto to = logger();
  const auto theirs = level == LogLevel::Warning ? spdlog::level::warn : spdlog::level::debug;
  if (to->should_log(theirs)) {
    to->log(theirs, sentence());
  }
}

}}} // namespace sa::v0::detail
