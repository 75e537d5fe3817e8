// SPDX-License-Identifier: MIT
/// A word to a person who waits.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sactl {

/// Tells the progress of a command on one line of standard error, which is written over and erased at the end. Says nothing where
/// standard error is no terminal, or a dumb one: logs get no such lines.
class Progress {
public:
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  /// Replaces the line by @p text, without its end where the terminal is too narrow.
  void say(std::string_view text);
  /// Erases the line: the answer comes.
  void end();

private:
  std::size_t columns_; ///< of the terminal; 0: says nothing
  std::string said_;
};

} // namespace sactl
