// SPDX-License-Identifier: MIT
#include "core/registry/toml_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sa/error.hpp>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/registry/configuration.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

using Position = toml::source_position;

/// Each dot of a key makes a table in a table, and toml++ 3.3 limits neither them nor how deep it destroys them.
constexpr std::size_t max_dots = 64; ///< in a line, wherever they stand

/// Nothing that a terminal or a log would obey: texts from a file are in messages.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return text;
}

/// Whether TOML lets @p c stand in a key without quotes.
bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// How many characters are wrong, missing, or too many.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t corner = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t here = std::min({row[j] + 1, row[j + 1] + 1, corner + (a[i] == b[j] ? 0 : 1)});
      corner = std::exchange(row[j + 1], here);
    }
  }
  return row.back();
}

const char* kind(const toml::node& node) {
  switch (node.type()) {
  case toml::node_type::table:
    return "a table";
  case toml::node_type::array:
    return "an array";
  case toml::node_type::string:
    return "a string";
  case toml::node_type::integer:
    return "an integer";
  case toml::node_type::floating_point:
    return "a number with a fraction";
  case toml::node_type::boolean:
    return "a boolean";
  default:
    return "a date or a time";
  }
}

/// The line in which toml++ meets what it did not think of, and does not tell: the last of the shortest text that has it.
toml::source_index last_line_read(std::string_view text) {
  std::vector<std::size_t> ends; // of lines
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', end + 1)) {
    ends.push_back(end + 1);
  }
  const auto found = std::partition_point(ends.begin(), ends.end(), [&](std::size_t end) {
    try {
      (void)toml::parse(text.substr(0, end));
    } catch (const toml::parse_error&) {
      return true;
    } catch (const Unexpected&) {
      return false;
    }
    return true;
  });
  return static_cast<toml::source_index>(found - ends.begin() + 1);
}

std::string unknown(std::string_view name, std::initializer_list<TomlReader::Known> known) {
  std::string names;
  const TomlReader::Known* nearest = nullptr;
  std::size_t least = SIZE_MAX;
  for (const TomlReader::Known& one : known) {
    names += (names.empty() ? "" : ", ") + std::string(one.name);
    const std::size_t slips = distance(name.substr(0, 32), one.name);
    if (slips * 2 < one.name.size() && slips < least) { // with more it would be another word
      least = slips;
      nearest = &one;
    }
  }
  return fmt::format("unknown key{}; known here: {}", nearest == nullptr ? "" : fmt::format(", did you mean {}?", nearest->name),
                     names);
}

} // namespace

std::string shown_text(std::string_view text) {
  constexpr std::size_t longest = 60;
  std::size_t length = std::min(text.size(), longest);
  while (length < text.size() && length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80) {
    --length; // not in the middle of a character
  }
  return std::string(text.substr(0, length)) + (length < text.size() ? "..." : "");
}

std::string key_in(const std::string& table, std::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), is_bare);
  const char* const quote = bare ? "" : "\"";
  return fmt::format("{}{}{}{}{}", table, table.empty() ? "" : ".", quote, shown_text(key), quote);
}

toml::table TomlReader::parse(std::string_view text) const {
  check(text);
  check_headers(text);
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    refuse(error.source().begin, "", std::string(error.description()));
  } catch (const Unexpected&) {
    refuse({last_line_read(text), 1}, "", "this line is no TOML");
  }
}

void TomlReader::keys(const toml::table& table, const std::string& path, std::initializer_list<Known> known) const {
  for (const auto& [key, node] : table) {
    const std::string_view name = key.str();
    const auto* const one = std::find_if(known.begin(), known.end(), [&](const Known& other) { return other.name == name; });
    if (one == known.end()) {
      refuse(key.source().begin, key_in(path, name), unknown(name, known));
    }
    one->read(node, key_in(path, name));
  }
}

void TomlReader::refuse(Position at, const std::string& key, const std::string& sentence) const {
  throw Error(from_errno(EINVAL), "", reading_configuration,
              printable(fmt::format("{}:{}:{}: {}{}{}", source_, at.line, at.column, key, key.empty() ? "" : ": ", sentence)));
}

void TomlReader::refuse(const toml::node& node, const std::string& key, const std::string& sentence) const {
  refuse(node.source().begin, key, sentence);
}

void TomlReader::refuse_kind(const toml::node& node, const std::string& key, const char* expected) const {
  refuse(node, key, fmt::format("must be {}, not {}", expected, kind(node)));
}

const toml::table& TomlReader::table(const toml::node& node, const std::string& key, std::size_t most) const {
  if (!node.is_table()) {
    refuse_kind(node, key, "a table");
  }
  if (node.as_table()->size() > most) {
    refuse(node, key, fmt::format("more than {} entries", most));
  }
  return *node.as_table();
}

const std::string& TomlReader::string(const toml::node& node, const std::string& key, const char* expected) const {
  if (!node.is_string()) {
    refuse_kind(node, key, expected);
  }
  return node.as_string()->get();
}

bool TomlReader::boolean(const toml::node& node, const std::string& key) const {
  if (!node.is_boolean()) {
    refuse_kind(node, key, "true or false");
  }
  return node.as_boolean()->get();
}

std::uint64_t TomlReader::integer(const toml::node& node, const std::string& key, const char* expected) const {
  if (!node.is_integer()) {
    refuse_kind(node, key, expected);
  }
  const std::int64_t value = node.as_integer()->get();
  if (value < 0) {
    refuse(node, key, fmt::format("{} is negative; it must be {}", value, expected));
  }
  return static_cast<std::uint64_t>(value);
}

std::uint64_t TomlReader::bytes(const toml::node& node, const std::string& key) const {
  constexpr const char* expected = "a number of bytes, 67108864 or \"64M\"";
  if (!node.is_string()) {
    return integer(node, key, expected);
  }
  const std::string& text = node.as_string()->get();
  const ParsedBytes parsed = parse_bytes(text);
  if (!parsed) {
    refuse(node, key,
           parsed.error == std::errc::result_out_of_range ? fmt::format("\"{}\" is 16E or more", shown_text(text))
                                                          : fmt::format("\"{}\" is not {}", shown_text(text), expected));
  }
  return parsed.bytes;
}

std::size_t TomlReader::size(const toml::node& node, const std::string& key, std::uint64_t value) const {
  if (!std::in_range<std::size_t>(value)) {
    refuse(node, key, fmt::format("{} is more than this machine can address", value));
  }
  return static_cast<std::size_t>(value);
}

/// Refuses texts that toml++ cannot take, or would explain less clearly.
void TomlReader::check(std::string_view text) const {
  if (text.size() > max_configuration_size) {
    throw Error(from_errno(EINVAL), "", reading_configuration,
                fmt::format("{}: longer than {}", source_, bytes_text(max_configuration_size)));
  }
  Position at{1, 1};
  std::size_t dots = 0;
  for (std::size_t i = 0; i < text.size(); ++i, ++at.column) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte == '\n') {
      ++at.line;
      at.column = 0;
      dots = 0;
    } else if (byte == '\r' ? !text.substr(i + 1).starts_with('\n') : (byte < ' ' && byte != '\t') || byte == 0x7f) {
      refuse(at, "", fmt::format("a control character, {:#04x}", byte));
    } else if (byte == '.' && ++dots > max_dots) {
      refuse(at, "", fmt::format("more than {} dots in one line", max_dots));
    } else if ((byte & 0xC0U) == 0x80) {
      --at.column; // columns are characters
    }
  }
}

/// The brackets at the beginning of a line must be followed by a key: toml++ takes that for granted.
void TomlReader::check_headers(std::string_view text) const {
  constexpr std::string_view blank = " \t";
  for (Position at{1, 1}; !text.empty(); ++at.line) {
    const std::string_view line = text.substr(0, text.find('\n'));
    const bool last = line.size() == text.size(); // where the text ends toml++ notices
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    std::size_t next = std::min(line.find_first_not_of(blank), line.size());
    if (!line.substr(next).starts_with('[')) {
      continue;
    }
    next += line.substr(next).starts_with("[[") ? 2 : 1;
    next = std::min(line.find_first_not_of(blank, next), line.size());
    if (next == line.size() ? !last : !is_bare(line[next]) && line[next] != '"' && line[next] != '\'' && line[next] != ']') {
      at.column = static_cast<toml::source_index>(next + 1);
      refuse(at, "", "a table's name must follow the bracket, as in [pool] and [[device]]");
    }
  }
}

}}} // namespace sa::v0::detail
