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

/// Characters, as UTF-8 counts them.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

/// Lines of at most @p columns characters, broken at spaces, else after a '/' or ',', else anywhere.
std::vector<std::string> wrap(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (width(text) > columns) {
    std::size_t end = 0; // bytes
    for (std::size_t characters = 0; characters < columns || (text[end] & 0xC0) == 0x80; ++end) {
      characters += (text[end] & 0xC0) != 0x80 ? 1 : 0;
    }
    const std::size_t space = text[end] == ' ' ? end : text.substr(0, end).rfind(' ');
    const std::size_t joint = text.substr(0, end).find_last_of("/,");
    const std::size_t cut = space != std::string_view::npos && space != 0   ? space
                            : joint != std::string_view::npos && joint != 0 ? joint + 1
                                                                            : end;
    lines.emplace_back(text.substr(0, cut));
    text.remove_prefix(cut);
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  }
  lines.emplace_back(text);
  return lines;
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
  for (const auto& one : wrap(text, columns_)) {
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
      widths[i] = std::max(widths[i], width(row[i].text));
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
  const bool below = output.columns() < before_last + std::min(least, widths.empty() ? 0 : widths.back());
  const std::size_t indent = below ? gap : before_last;
  for (const auto& row : rows_) {
    if (&row == rows_.data() && nameless(row)) {
      continue;
    }
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
      const std::size_t wide = width(name) + width(said);
      const bool fits = i + 1 != heads.size() && used + indent + wide <= output.columns();
      text += used == 0 ? "" : fits ? "  " : "\n  ";
      used = (used == 0 ? 0 : fits ? used + indent : indent) + wide;
      if (used <= output.columns()) {
        text += output.styled(name, Style::Faint) + output.styled(said, style);
        continue;
      }
      bool first = true;
      for (const auto& one : wrap(name + said, std::max<std::size_t>(room, 8))) {
        text += (first ? "" : "\n  ") + output.styled(one, style);
        first = false;
      }
      used = output.columns(); // the next begins a line
    }
    output.line(text);
  }
}

std::string printable(std::string_view text) {
  std::string clean;
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
    const unsigned lead = byte(0);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    bool good = length != 0 && !(length == 1 && (lead < 0x20 || lead == 0x7f)) && !(lead == 0xC2 && byte(1) < 0xA0);
    for (std::size_t i = 1; i < length; ++i) {
      good = good && (byte(i) & 0xC0U) == 0x80;
    }
    clean += good ? text.substr(at, length) : "?";
    at += good ? length : 1;
  }
  return clean;
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
