// SPDX-License-Identifier: MIT
/// A terminal that a command has for itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <csignal>
#include <termios.h>

#include <sa/unique_fd.hpp>

namespace sactl {

/// The alternate screen, without echo, from construction to destruction. Signals that would end the program are events
/// meanwhile, so that the terminal is always given back as it was.
class Screen {
public:
  struct Size {
    std::size_t columns;
    std::size_t rows;
  };
  struct Event {
    enum Kind {
      Timeout, ///< nothing happened
      Key,     ///< @ref key was pressed
      Redraw,  ///< the terminal has another size, or was somebody else's meanwhile
      End,     ///< @ref signal wants the program to end; 0: the terminal is gone
    };
    Kind kind = Timeout;
    char key = 0;
    int signal = 0;
  };

  /// @throws std::system_error
  Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen();

  [[nodiscard]] static Size size();
  /// Shows @p lines, which fit into size(), in one write and without clearing first: nothing flickers.
  void show(const std::vector<std::string>& lines);
  Event wait(std::chrono::milliseconds timeout);

private:
  void enter();
  void leave();
  void write(std::string_view text);

  sigset_t before_{};
  sa::UniqueFd signals_;
  bool keys_ = false; ///< standard input is a terminal too
  bool gone_ = false;
  termios usual_{};
};

} // namespace sactl
