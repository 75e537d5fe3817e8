// SPDX-License-Identifier: MIT
#include "core/base/log.hpp"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string_view>

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <sa/log.hpp>

namespace sa { inline namespace v0 {
namespace detail {
namespace {

constexpr const char* logger_name = "sa";

std::shared_ptr<spdlog::logger> logger() {
  if (auto registered = spdlog::get(logger_name)) {
    return registered;
  }
  static const std::shared_ptr<spdlog::logger> own = [] {
    auto made = std::make_shared<spdlog::logger>(logger_name, std::make_shared<spdlog::sinks::stderr_sink_mt>());
    const char* level = ::secure_getenv("SA_LOG");
    const auto known = spdlog::level::from_str(level != nullptr ? level : "warn"); // off for what it does not know
    const bool unknown = known == spdlog::level::off && std::string_view(level) != "off";
    made->set_level(unknown ? spdlog::level::warn : known);
    if (unknown) {
      made->warn("SA_LOG={} is not a level, warnings are shown; use trace, debug, info, warn, error, critical or off", level);
    }
    return made;
  }();
  return own;
}

/// The arguments of set_log(). The object never ends: another thread may be about to call it.
struct Host {
  LogFunction function;
  void* data;
  LogLevel most;
  const Host* before; // so that all of them can be reached, by programs that look for leaks
};
constinit std::atomic<const Host*> host{nullptr};

void write(LogLevel level, const std::function<std::string()>& sentence) noexcept {
  try {
    const Host* const listener = host.load(std::memory_order_acquire);
    if (listener != nullptr && listener->function != nullptr) {
      if (level <= listener->most) {
        listener->function(listener->data, static_cast<int>(level), sentence().c_str());
      }
      return;
    }
    const auto to = logger();
    const auto theirs = level == LogLevel::Warning ? spdlog::level::warn : spdlog::level::debug;
    if (to->should_log(theirs)) {
      to->log(theirs, sentence());
    }
  } catch (...) { // NOLINT(bugprone-empty-catch): a log that cannot be written must not harm an allocation
  }
}

} // namespace

void log_warning(const std::function<std::string()>& sentence) noexcept {
  write(LogLevel::Warning, sentence);
}

void log_debug(const std::function<std::string()>& sentence) noexcept {
  write(LogLevel::Debug, sentence);
}

} // namespace detail

void set_log(LogFunction function, void* data, LogLevel most) {
  auto made = std::make_unique<detail::Host>(detail::Host{function, data, most, detail::host.load(std::memory_order_relaxed)});
  while (!detail::host.compare_exchange_weak(made->before, made.get(), std::memory_order_acq_rel)) {
  }
  (void)made.release();
}

}} // namespace sa::v0
