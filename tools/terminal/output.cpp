// SPDX-License-Identifier: MIT
#include "terminal/output.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "terminal/text.hpp"

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

/// A variable of the environment; "" when it is not set.
std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// As setlocale(3) chooses, without the files that it reads: the terminal's is what counts, also where this machine lacks it.
bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (std::string locale{variable(name)}; !locale.empty()) {
      std::transform(locale.begin(), locale.end(), locale.begin(), [](unsigned char c) { return std::toupper(c); });
      return locale.find("UTF-8") != std::string::npos || locale.find("UTF8") != std::string::npos;
    }
  }
  return false;
}

bool nameless(const std::vector<Table::Cell>& heads) {
  return std::all_of(heads.begin(), heads.end(), [](const auto& head) { return head.text.empty(); });
}

} // namespace

Output::Output(std::string command, bool json)
    : command_(std::move(command)), json_(json), terminal_(::isatty(STDOUT_FILENO) != 0),
      colours_(terminal_ && variable("NO_COLOR").empty() && variable("TERM") != "dumb"), utf8_(locale_is_utf8()),
      columns_(terminal_ ? terminal_columns() : SIZE_MAX) {}

void Output::print(const Json& value) const {
  Json whole{{"sactl", json_version}, {"command", command_}};
  whole.update(value);
  // Names may hold what is no UTF-8.
  line(whole.dump(terminal_ ? 2 : -1, ' ', false, Json::error_handler_t::replace));
}

void Output::line(std::string_view text) const {
  fmt::print("{}\n", text);
}

void Output::sentence(std::string_view text) const {
  for (const auto& one : wrapped(text, columns_)) {
    line(one);
  }
}

void Output::flush() {
  if (std::fflush(stdout) != 0) {
    throw std::system_error(errno, std::system_category(), "standard output");
  }
  if (std::ferror(stdout) != 0) { // an earlier flush failed, and dropped what it had
    throw std::system_error(EIO, std::system_category(), "standard output");
  }
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
  cells.reserve(heads.size());
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
      widths[i] = std::max(widths[i], columns_of(row[i].text));
    }
  }
  constexpr std::size_t gap = 2;
  constexpr std::size_t least = 28; // columns that a last cell is worth starting in
  std::size_t before_last = 0;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    before_last += widths[i] + gap;
  }
  // Too narrow for the last cell beside the others: it goes below, indented.
  if (output.columns() < before_last - std::min(before_last, gap)) {
    print_stacked(output);
    return;
  }
  const bool all_below = output.columns() < before_last + std::min(least, widths.empty() ? 0 : widths.back());
  for (const auto& row : rows_) {
    if (&row == rows_.data() && nameless(row)) {
      continue;
    }
    // Nor does a single long word fit there, but below.
    const std::size_t longest = row.size() < widths.size() || row.empty() ? 0 : least_columns(row.back().text);
    const bool below = all_below || (output.columns() < before_last + longest && output.columns() >= gap + longest);
    const std::size_t indent = below ? gap : before_last;
    std::string text;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == widths.size();
      if (!last) {
        const std::size_t padding = i + 1 == row.size() ? 0 : widths[i] + gap - columns_of(row[i].text);
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
      for (const auto& one : wrapped(row[i].text, room)) {
        text += (first ? "" : "\n" + std::string(indent, ' ')) + output.styled(one, row[i].style);
        first = false;
      }
    }
    text.erase(text.find_last_not_of(' ') + 1);
    output.line(text);
  }
}

void Table::print_stacked(const Output& output) const {
  constexpr std::size_t indent = 2;
  const std::size_t room = output.columns() - std::min(output.columns(), indent);
  const auto& heads = rows_.front();
  for (auto row = rows_.begin() + 1; row != rows_.end(); ++row) {
    std::string text;     // with its styles
    std::size_t used = 0; // columns of the line
    for (std::size_t i = 0; i < row->size(); ++i) {
      const auto& [said, style] = (*row)[i];
      if (said.empty()) {
        continue;
      }
      // What is first and what is last in a row says itself what it is.
      const std::string name = i == 0 || i + 1 == heads.size() || heads[i].text.empty() ? "" : heads[i].text + " ";
      const std::size_t wide = columns_of(name) + columns_of(said);
      const bool fits = i + 1 != heads.size() && used + indent + wide <= output.columns();
      text += used == 0 ? "" : fits ? "  " : "\n  ";
      used = (used == 0 ? 0 : fits ? used + indent : indent) + wide;
      if (used <= output.columns()) {
        text += output.styled(name, Style::Faint) + output.styled(said, style);
        continue;
      }
      bool first = true;
      for (const auto& one : wrapped(name + said, std::max<std::size_t>(room, 8))) {
        text += (first ? "" : "\n  ") + output.styled(one, style);
        first = false;
      }
      used = output.columns(); // the next begins a line
    }
    output.line(text);
  }
}

std::string human_bytes(unsigned long long bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  constexpr double step = 1024;
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= step - 0.05 && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

} // namespace sactl
