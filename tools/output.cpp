// SPDX-License-Identifier: MIT
#include "output.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace sactl {
namespace {

std::size_t terminal_columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  unsigned columns = 0;
  if (const char* text = std::getenv("COLUMNS"); text != nullptr) {
    std::from_chars(text, text + std::strlen(text), columns);
  }
  return columns > 0 ? columns : 80;
}

/// Characters, as UTF-8 counts them.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// Lines of at most @p columns characters, broken at spaces where there are any.
std::vector<std::string> wrap(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (width(text) > columns) {
    std::size_t end = 0; // bytes
    for (std::size_t characters = 0; characters < columns || (text[end] & 0xC0) == 0x80; ++end) {
      characters += (text[end] & 0xC0) != 0x80 ? 1 : 0;
    }
    const std::size_t space = text[end] == ' ' ? end : text.substr(0, end).rfind(' ');
    const std::size_t cut = space == std::string_view::npos || space == 0 ? end : space;
    lines.emplace_back(text.substr(0, cut));
    text.remove_prefix(cut);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  lines.emplace_back(text);
  return lines;
}

} // namespace

Output::Output(std::string command, bool json)
    : command_(std::move(command)), json_(json), terminal_(::isatty(STDOUT_FILENO) != 0),
      colours_(terminal_ && std::getenv("NO_COLOR") == nullptr), columns_(terminal_ ? terminal_columns() : SIZE_MAX) {}

void Output::print(const Json& value) const {
  Json whole{{"sactl", json_version}, {"command", command_}};
  whole.update(value);
  // Names may hold what is no UTF-8.
  line(whole.dump(terminal_ ? 2 : -1, ' ', false, Json::error_handler_t::replace));
}

void Output::line(std::string_view text) const {
  fmt::print("{}\n", text);
}

std::string Output::styled(std::string_view text, Style style) const {
  constexpr std::array codes{"", "\x1b[1m", "\x1b[32m", "\x1b[31m", "\x1b[2m"};
  if (!colours_ || style == Style::Plain || text.empty()) {
    return std::string(text);
  }
  return fmt::format("{}{}\x1b[0m", codes[static_cast<std::size_t>(style)], text);
}

Table::Table(std::vector<std::string> heads) {
  std::vector<Cell> cells;
  for (auto& head : heads) {
    cells.emplace_back(std::move(head), Style::Faint);
  }
  rows_.push_back(std::move(cells));
}

void Table::add(std::vector<Cell> cells) {
  rows_.push_back(std::move(cells));
}

void Table::print(const Output& output) const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width(row[i].text));
    }
  }
  constexpr std::size_t gap = 2;
  constexpr std::size_t least = 16; // columns that a last cell is worth starting in
  std::size_t before_last = 0;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    before_last += widths[i] + gap;
  }
  // Too narrow for the last cell beside the others: it goes below, indented.
  const bool below = output.columns() < before_last + std::min(least, widths.empty() ? 0 : widths.back());
  const std::size_t indent = below ? gap : before_last;
  for (const auto& row : rows_) {
    std::string text;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == widths.size();
      if (!last) {
        const std::size_t padding = i + 1 == row.size() ? 0 : widths[i] + gap - width(row[i].text);
        text += output.styled(row[i].text, row[i].style) + std::string(padding, ' ');
        continue;
      }
      if (row[i].text.empty()) {
        continue;
      }
      if (below) {
        text.erase(text.find_last_not_of(' ') + 1);
        text += "\n" + std::string(indent, ' ');
      }
      const std::size_t room = output.columns() == SIZE_MAX
                                   ? SIZE_MAX
                                   : std::max<std::size_t>(output.columns() - std::min(output.columns(), indent), 8);
      bool first = true;
      for (const auto& one : wrap(row[i].text, room)) {
        text += (first ? "" : "\n" + std::string(indent, ' ')) + output.styled(one, row[i].style);
        first = false;
      }
    }
    text.erase(text.find_last_not_of(' ') + 1);
    output.line(text);
  }
}

std::string printable(std::string_view text) {
  std::string clean(text);
  std::replace_if(
      clean.begin(), clean.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return clean;
}

std::string human_bytes(unsigned long long bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  constexpr double step = 1024;
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

} // namespace sactl
