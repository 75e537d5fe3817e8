// SPDX-License-Identifier: MIT
/// @file log_capture.hpp
/// The warnings that the library logs while it lives, in place of standard error. One at a time.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include <sa/log.hpp>

namespace support {

class LogCapture {
public:
  LogCapture() {
    const std::lock_guard lock(heard().lock);
    heard().text.clear();
    sa::set_log([](void*, int, const char* sentence) {
      const std::lock_guard writing(heard().lock);
      heard().text.append(sentence).append("\n");
    });
  }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
  ~LogCapture() { sa::set_log(nullptr); }

  /// How often @p words was logged.
  [[nodiscard]] int count(std::string_view words) const {
    const std::lock_guard lock(heard().lock);
    int found = 0;
    for (std::size_t at = heard().text.find(words); at != std::string::npos; at = heard().text.find(words, at + 1)) {
      ++found;
    }
    return found;
  }

private:
  /// Lives on: a thread may be about to write when the capture ends.
  struct Heard {
    std::mutex lock;
    std::string text;
  };
  static Heard& heard() {
    static Heard& instance = *new Heard;
    return instance;
  }
};

} // namespace support
