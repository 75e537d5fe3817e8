// SPDX-License-Identifier: MIT
#include "core/base/log.hpp"

#include <atomic>
#include <memory>

#include <fmt/format.h>

#include <sa/log.hpp>

#include "core/base/log_sink.hpp"

namespace sa { inline namespace v0 {
namespace detail {
namespace {

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
    write_to_sink(level, sentence);
  } catch (...) { // NOLINT(bugprone-empty-catch): a log that cannot be written must not harm an allocation
  }
}

} // namespace

std::string unknown_log_level(const char* value) {
  return fmt::format("{}={} is not a level, warnings are shown; use trace, debug, info, warn, error, critical or off",
                     log_variable, value);
}

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
