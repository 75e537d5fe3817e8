// SPDX-License-Identifier: MIT
#include "core/base/log.hpp"

#include <cstdlib>
#include <memory>
#include <string_view>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr const char* logger_name = "sa";

std::shared_ptr<spdlog::logger> logger() {
  if (auto host = spdlog::get(logger_name)) {
    return host;
  }
  static const std::shared_ptr<spdlog::logger> own = [] {
    auto made = std::make_shared<spdlog::logger>(logger_name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    const char* level = ::secure_getenv("SA_LOG");
    const auto known = spdlog::level::from_str(level != nullptr ? level : "warn"); // off for what it does not know
    const bool unknown = known == spdlog::level::off && std::string_view(level) != "off";
    made->set_level(unknown ? spdlog::level::warn : known);
    if (unknown) {
      made->warn("SA_LOG={} is no level, warnings are shown; use trace, debug, info, warn, error, critical or off", level);
    }
    return made;
  }();
  return own;
}

void write(spdlog::level::level_enum level, const std::function<std::string()>& sentence) noexcept {
  try {
    const auto to = logger();
    if (to->should_log(level)) {
      to->log(level, sentence());
    }
  } catch (...) { // NOLINT(bugprone-empty-catch): a log that cannot be written must not harm who allocates
  }
}

} // namespace

void log_warning(const std::function<std::string()>& sentence) noexcept {
  write(spdlog::level::warn, sentence);
}

void log_debug(const std::function<std::string()>& sentence) noexcept {
  write(spdlog::level::debug, sentence);
}

}}} // namespace sa::v0::detail
