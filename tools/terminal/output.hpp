// SPDX-License-Identifier: MIT
/// Standard output: tables for people, JSON for programs.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace sactl {

/// Keeps the order in which members were added.
using Json = nlohmann::ordered_json;

/// How a word is to stand out on a terminal.
enum class Style { Plain, Strong, Good, Bad, Faint };

class Output {
public:
  /// @param command for the JSON
  Output(std::string command, bool json);

  /// Whether the answer is to be JSON.
  [[nodiscard]] bool json() const noexcept { return json_; }
  /// Whether standard output is a terminal.
  [[nodiscard]] bool terminal() const noexcept { return terminal_; }
  /// Columns of the terminal; SIZE_MAX elsewhere: nothing is cut or wrapped there.
  [[nodiscard]] std::size_t columns() const noexcept { return columns_; }
  /// Whether the locale's characters are UTF-8.
  [[nodiscard]] bool utf8() const noexcept { return utf8_; }

  /// Prints @p value as {"sactl": VERSION, "command": COMMAND, ...}.
  void print(const Json& value) const;
  /// Prints a line.
  void line(std::string_view text) const;
  /// Prints a sentence, on as many lines as the terminal needs for it.
  void sentence(std::string_view text) const;
  /// Has everything that was printed arrive.
  /// @throws std::system_error the disk is full, or the reader is gone: that must not look like success
  static void flush();
  /// @p text as it is to be printed in @p style: as it is where there is no terminal, a dumb one, or NO_COLOR
  /// is set to anything.
  [[nodiscard]] std::string styled(std::string_view text, Style style) const;

private:
  std::string command_;
  bool json_;
  bool terminal_;
  bool colours_;
  bool utf8_;
  std::size_t columns_;
};

/// Rows whose cells stand below each other. On a terminal that is too narrow the last cell of a row is continued below, and
/// begins there where it has a word or a command that is too long for its column; on one too narrow for the others as well, each
/// cell has the name of its column before it, and they are continued below too.
class Table {
public:
  struct Cell {
    Cell(std::string said, Style how = Style::Plain) : text(std::move(said)), style(how) {} // NOLINT(google-explicit-constructor)
    Cell(const char* said) : text(said) {}                                                  // NOLINT(google-explicit-constructor)
    std::string text;
    Style style = Style::Plain;
  };

  /// @param heads the columns' names; when all are empty, that line is not printed
  explicit Table(std::vector<std::string> heads);
  void add(std::vector<Cell> cells);
  void print(const Output& output) const;
  [[nodiscard]] bool empty() const noexcept { return rows_.size() < 2; }

private:
  void print_stacked(const Output& output) const;
  std::vector<std::vector<Cell>> rows_; ///< the first are the heads
};

/// The shape of the JSON, raised when a member changes its meaning or goes.
inline constexpr int json_version = 1;

/// "3.0 MiB", for people.
[[nodiscard]] std::string human_bytes(unsigned long long bytes);

} // namespace sactl
