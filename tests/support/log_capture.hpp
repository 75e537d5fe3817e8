// SPDX-License-Identifier: MIT
/// @file log_capture.hpp
/// What the library logs while it lives, instead of on stderr.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <string_view>

#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

namespace support {

class LogCapture {
public:
  LogCapture() {
    spdlog::drop("sa");
    auto logger = std::make_shared<spdlog::logger>("sa", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    logger->set_level(spdlog::level::warn);
    spdlog::register_logger(std::move(logger));
  }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { spdlog::drop("sa"); }

  /// How often @p words was logged.
  [[nodiscard]] int count(std::string_view words) const {
    const std::string all = text_.str();
    int found = 0;
    for (std::size_t at = all.find(words); at != std::string::npos; at = all.find(words, at + 1)) {
      ++found;
    }
    return found;
  }

private:
  std::ostringstream text_;
};

} // namespace support
