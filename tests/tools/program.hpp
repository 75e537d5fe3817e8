// SPDX-License-Identifier: MIT
/// sactl as its users start it.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace tools {

using Words = std::vector<std::string>;

/// What a run left.
struct Ran {
  int status = -1; ///< as the shell says it: 128 and the signal's number
  std::string out;
  std::string err;
};

/// A program that runs, its output kept in memory files: it never waits for who reads them. Killed at the end.
class Running {
public:
  /// @param prepare called in the child, before the program is
  explicit Running(const Words& command, const std::function<void()>& prepare = {});
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running();

  void signal(int number) const;
  /// What standard output has by now.
  [[nodiscard]] std::string out() const;
  /// Waits until standard output has that text; false when it does not come.
  [[nodiscard]] bool says(const std::string& text) const;
  /// Waits for the end.
  Ran finish();

private:
  int out_;
  int err_;
  pid_t child_;
};

/// sactl's arguments, with the program before them.
Words sactl(const Words& arguments);
Ran run(const Words& command, const std::function<void()>& prepare = {});

/// The same on a terminal of that many columns, with the variables of the environment set that are given. `out` is everything
/// that came to the terminal.
struct Terminal {
  unsigned short columns = 40;
  std::vector<std::pair<std::string, std::string>> environment{};
  /// Ctrl-C, pressed so long after the program was executed; negative: not.
  std::chrono::milliseconds interrupt_after{-1};
  bool settings_kept = false; ///< whether the terminal's were the same at the end: an answer
};
Ran run(const Words& command, Terminal& terminal);

/// As it would be typed.
std::string joined(const Words& words);
/// What stays to be seen: without the escape sequences of colours, and without lines that were erased.
std::string plain(const std::string& text);
std::string without_spaces(const std::string& text);
std::vector<std::string> lines(const std::string& text);
/// Characters, not bytes.
std::size_t width(const std::string& line);

/// In a child: becomes the user nobody, without groups.
void become_nobody();
/// In a child: a /dev without any node.
void hide_devices();

} // namespace tools
