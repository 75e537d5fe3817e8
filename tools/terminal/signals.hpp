// SPDX-License-Identifier: MIT
/// Waiting for Ctrl-C and for others at once.
#pragma once

#include <chrono>
#include <optional>

#include <csignal>

#include <sa/unique_fd.hpp>

namespace sactl {

using Clock = std::chrono::steady_clock;

/// The event that ended a wait.
enum class Woken { Ready, Signal, Timeout };

/// While it lives SIGINT, SIGTERM and, unless nohup(1) had it ignored, SIGHUP wait to be asked for. One that came and was not
/// taken does at the end what it always does: ends the program, after everything that was made later than this object is
/// gone.
class Signals {
public:
  /// @throws std::system_error
  Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals();

  /// Waits until @p fd (-1: none) has something to read, or a signal came, which stays.
  /// @throws std::system_error
  Woken wait(int fd, std::optional<Clock::time_point> deadline) const;
  /// Takes the signal that came.
  void take();

private:
  sigset_t before_{};
  sa::UniqueFd fd_;
};

} // namespace sactl
