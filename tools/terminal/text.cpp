// SPDX-License-Identifier: MIT
#include "terminal/text.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

namespace sactl {
namespace {

/// A character of UTF-8 and how many bytes it has.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 1;
  bool valid = false;
};

Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const std::size_t bytes = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || bytes > text.size()) {
    return {lead, 1, false};
  }
  char32_t code = bytes == 1 ? lead : lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return {lead, 1, false};
    }
    code = (code << 6) | (byte(i) & 0x3FU);
  }
  constexpr char32_t least[]{0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  return {code, bytes, code >= least[bytes] && code <= 0x10FFFF && !surrogate};
}

bool moves(char32_t code) {
  const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0);
  const bool direction = (code >= 0x200E && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                         (code >= 0x2066 && code <= 0x2069) || code == 0x061C;
  return control || direction;
}

std::size_t width_of(const Character& character) {
  constexpr char32_t may_be_wide = 0x1100; // the first that East Asian Width calls wide
  return character.valid && character.code >= may_be_wide ? 2 : 1;
}

/// Whether @p text begins with a command in parentheses. Every sentence of the library writes its commands so.
bool begins_with_command(std::string_view text) {
  constexpr std::array<std::string_view, 12> programs{"chgrp", "chmod",    "chown", "dmesg",  "echo",   "insmod",
                                                      "kill",  "modprobe", "sactl", "sysctl", "ulimit", "usermod"};
  return std::any_of(programs.begin(), programs.end(), [&](std::string_view program) {
    return text.starts_with('(') && text.substr(1).starts_with(program) && text.substr(1 + program.size()).starts_with(' ');
  });
}

/// Takes a word, or a whole command in parentheses, off the beginning of @p text, and the spaces behind it.
std::string_view take_word(std::string_view& text) {
  const std::size_t command = begins_with_command(text) ? std::min(text.find(')'), text.size()) : 0;
  const std::string_view word = text.substr(0, text.find(' ', command));
  text.remove_prefix(word.size());
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return word;
}

/// Where the next part of a word that is too long ends: behind its last comma within @p columns, else behind its first one.
std::size_t part_of(std::string_view word, std::size_t columns) {
  std::size_t end = word.size();
  for (std::size_t at = 0; !begins_with_command(word) && (at = word.find(',', at)) != std::string_view::npos; ++at) {
    if (end == word.size() || columns_of(word.substr(0, at + 1)) <= columns) {
      end = at + 1;
    }
  }
  return end;
}

} // namespace

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character character = first_of(text);
    columns += width_of(character);
    text.remove_prefix(character.bytes);
  }
  return columns;
}

std::string harmless(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const Character character = first_of(text);
    const bool keep = character.valid && !moves(character.code);
    clean += keep ? text.substr(0, character.bytes) : std::string_view("?");
    text.remove_prefix(character.bytes);
  }
  return clean;
}

std::string cut(std::string_view text, std::size_t columns) {
  std::size_t bytes = 0;
  while (bytes < text.size()) {
    const Character character = first_of(text.substr(bytes));
    if (width_of(character) > columns) {
      break;
    }
    columns -= width_of(character);
    bytes += character.bytes;
  }
  return std::string(text.substr(0, bytes));
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  std::string line;
  const auto put = [&](std::string_view part) {
    if (!line.empty() && columns_of(line) + 1 + columns_of(part) > columns) {
      lines.push_back(std::move(line));
      line.clear();
    }
    line += line.empty() ? "" : " ";
    line += part;
  };
  if (columns_of(text) <= columns) {
    return {std::string(text)};
  }
  while (!text.empty()) {
    std::string_view word = take_word(text);
    while (columns_of(word) > columns && part_of(word, columns) != word.size()) {
      const std::size_t end = part_of(word, columns);
      put(word.substr(0, end));
      lines.push_back(std::move(line));
      line.clear();
      word.remove_prefix(end);
    }
    put(word);
  }
  lines.push_back(std::move(line));
  return lines;
}

std::size_t least_columns(std::string_view text) {
  std::size_t least = 0;
  while (!text.empty()) {
    for (std::string_view word = take_word(text); !word.empty();) {
      const std::size_t end = part_of(word, 0);
      least = std::max(least, columns_of(word.substr(0, end)));
      word.remove_prefix(end);
    }
  }
  return least;
}

} // namespace sactl
