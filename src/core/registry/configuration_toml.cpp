// SPDX-License-Identifier: MIT
/// The text of a configuration.
#include "core/registry/configuration.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"
#include "core/registry/aliases.hpp"
#include "core/registry/toml.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

using Position = toml::source_position;

// What one file may have, far above what is of use: a wrong or hostile file must not take a program's time and memory.
constexpr std::size_t max_entries = 1024;  ///< carveouts, devices, quotas; of each
constexpr std::size_t max_aliases = 128;   ///< all files together: resolving takes their number squared
constexpr std::size_t max_candidates = 32; ///< of an alias, and of the order
/// Each dot of a key makes a table in a table, and toml++ 3.3 limits neither them nor how deep it destroys them.
constexpr std::size_t max_dots = 64; ///< in a line, wherever they stand

/// Nothing that a terminal or a log would obey: texts from a file are in messages.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return text;
}

/// Text from the file, cut to what a message may hold.
std::string shown(std::string_view text) {
  constexpr std::size_t longest = 60;
  std::size_t length = std::min(text.size(), longest);
  while (length < text.size() && length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80) {
    --length; // not in the middle of a character
  }
  return std::string(text.substr(0, length)) + (length < text.size() ? "..." : "");
}

/// Whether TOML lets @p c stand in a key without quotes.
bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/// A key within @p table, as TOML writes it: pool.max-free-bytes, quotas."dma-heap:system".
std::string key_in(const std::string& table, std::string_view key) {
  const bool bare = !key.empty() && std::all_of(key.begin(), key.end(), is_bare);
  const char* const quote = bare ? "" : "\"";
  return fmt::format("{}{}{}{}{}", table, table.empty() ? "" : ".", quote, shown(key), quote);
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

/// Puts @p value in the place of the one with the same @p name, or behind them all.
template <typename Value, typename Name>
void put(std::vector<Value>& values, Value value, Name Value::*name) {
  const auto same = std::find_if(values.begin(), values.end(), [&](const Value& one) { return one.*name == value.*name; });
  if (same == values.end()) {
    values.push_back(std::move(value));
  } else {
    *same = std::move(value);
  }
}

class Reader {
public:
  Reader(std::string_view source, Configuration below) : source_(source), made_(std::move(below)) {}

  Configuration read(std::string_view text) {
    while (text.starts_with("\xef\xbb\xbf")) { // the byte order mark of UTF-8
      text.remove_prefix(3);
    }
    check(text);
    check_headers(text);
    keys(parse(text), "",
         {{"aliases", [this](const auto& node, const auto& key) { read_aliases(node, key); }},
          {"carveouts", [this](const auto& node, const auto& key) { read_carveouts(node, key); }},
          {"device", [this](const auto& node, const auto& key) { read_devices(node, key); }},
          {"order", [this](const auto& node, const auto& key) { made_.order = candidates(node, key); }},
          {"pool", [this](const auto& node, const auto& key) { read_pool(node, key); }},
          {"quotas", [this](const auto& node, const auto& key) { read_quotas(node, key); }}});
    return std::move(made_);
  }

private:
  /// A key that a table may have, and what reads its value.
  struct Known {
    std::string_view name;
    std::function<void(const toml::node& node, const std::string& key)> read;
  };

  [[noreturn]] void refuse(Position at, const std::string& key, const std::string& sentence) const {
    throw Error(from_errno(EINVAL), "", reading_configuration,
                printable(fmt::format("{}:{}:{}: {}{}{}", source_, at.line, at.column, key, key.empty() ? "" : ": ", sentence)));
  }
  [[noreturn]] void refuse(const toml::node& node, const std::string& key, const std::string& sentence) const {
    refuse(node.source().begin, key, sentence);
  }
  [[noreturn]] void refuse_kind(const toml::node& node, const std::string& key, const char* expected) const {
    refuse(node, key, fmt::format("must be {}, not {}", expected, kind(node)));
  }

  /// What toml++ must not be given, or would say less clearly.
  void check(std::string_view text) const {
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

  /// What follows the brackets at the begin of a line must be a key: toml++ takes it for granted.
  void check_headers(std::string_view text) const {
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

  toml::table parse(std::string_view text) const {
    try {
      return toml::parse(text);
    } catch (const toml::parse_error& error) {
      refuse(error.source().begin, "", std::string(error.description()));
    } catch (const Unexpected&) {
      refuse({last_line_read(text), 1}, "", "this line is no TOML");
    }
  }

  /// The line in which toml++ meets what it did not think of, and does not tell: the last of the shortest text that has it.
  static toml::source_index last_line_read(std::string_view text) {
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

  /// Reads each key of @p table by the one of @p known that has its name; there must be no others.
  void keys(const toml::table& table, const std::string& path, std::initializer_list<Known> known) const {
    for (const auto& [key, node] : table) {
      const std::string_view name = key.str();
      const auto* const one = std::find_if(known.begin(), known.end(), [&](const Known& other) { return other.name == name; });
      if (one == known.end()) {
        refuse(key.source().begin, key_in(path, name), unknown(name, known));
      }
      one->read(node, key_in(path, name));
    }
  }

  static std::string unknown(std::string_view name, std::initializer_list<Known> known) {
    std::string names;
    const Known* nearest = nullptr;
    std::size_t least = SIZE_MAX;
    for (const Known& one : known) {
      names += (names.empty() ? "" : ", ") + std::string(one.name);
      const std::size_t slips = distance(name.substr(0, 32), one.name);
      if (slips * 2 < one.name.size() && slips < least) { // with more it would be another word
        least = slips;
        nearest = &one;
      }
    }
    return fmt::format("unknown key{}; known here: {}",
                       nearest == nullptr ? "" : fmt::format(", did you mean {}?", nearest->name), names);
  }

  const toml::table& table(const toml::node& node, const std::string& key, std::size_t most = SIZE_MAX) const {
    if (!node.is_table()) {
      refuse_kind(node, key, "a table");
    }
    if (node.as_table()->size() > most) {
      refuse(node, key, fmt::format("more than {} entries", most));
    }
    return *node.as_table();
  }

  const std::string& string(const toml::node& node, const std::string& key, const char* expected = "a string") const {
    if (!node.is_string()) {
      refuse_kind(node, key, expected);
    }
    return node.as_string()->get();
  }

  bool boolean(const toml::node& node, const std::string& key) const {
    if (!node.is_boolean()) {
      refuse_kind(node, key, "true or false");
    }
    return node.as_boolean()->get();
  }

  std::uint64_t integer(const toml::node& node, const std::string& key, const char* expected) const {
    if (!node.is_integer()) {
      refuse_kind(node, key, expected);
    }
    const std::int64_t value = node.as_integer()->get();
    if (value < 0) {
      refuse(node, key, fmt::format("{} is negative; it must be {}", value, expected));
    }
    return static_cast<std::uint64_t>(value);
  }

  std::uint64_t bytes(const toml::node& node, const std::string& key) const {
    constexpr const char* expected = "a number of bytes, 67108864 or \"64M\"";
    if (!node.is_string()) {
      return integer(node, key, expected);
    }
    const std::string& text = node.as_string()->get();
    const ParsedBytes parsed = parse_bytes(text);
    if (!parsed) {
      refuse(node, key,
             parsed.error == std::errc::result_out_of_range ? fmt::format("\"{}\" is 16E or more", shown(text))
                                                            : fmt::format("\"{}\" is not {}", shown(text), expected));
    }
    return parsed.bytes;
  }

  /// A number that a size_t must hold.
  std::size_t size(const toml::node& node, const std::string& key, std::uint64_t value) const {
    if (!std::in_range<std::size_t>(value)) {
      refuse(node, key, fmt::format("{} is more than this machine can address", value));
    }
    return static_cast<std::size_t>(value);
  }

  std::vector<std::string> candidates(const toml::node& node, const std::string& key) const {
    constexpr const char* expected = "an array of names, [\"dma-heap:system\", \"udmabuf:*\"]";
    const toml::array* const array = node.as_array();
    if (array == nullptr) {
      refuse_kind(node, key, expected);
    }
    if (array->empty() || array->size() > max_candidates) {
      refuse(node, key, fmt::format("{} names; there must be 1 to {}", array->size(), max_candidates));
    }
    std::vector<std::string> names;
    for (const toml::node& element : *array) {
      const std::string& name = string(element, fmt::format("{}[{}]", key, names.size()), "a name in quotes");
      if (!is_candidate(name)) {
        refuse(element, fmt::format("{}[{}]", key, names.size()),
               fmt::format("\"{}\" is no \"backend:instance\", no \"backend:*\" and no alias", shown(name)));
      }
      names.push_back(name);
    }
    return names;
  }

  void read_aliases(const toml::node& node, const std::string& key) {
    const toml::table& aliases = table(node, key, max_aliases);
    for (const auto& [name, value] : aliases) {
      const std::string path = key_in(key, name.str());
      if (!is_word(name.str())) {
        refuse(name.source().begin, path, "an alias is one word of letters, digits and ,._+-@#, without a colon");
      }
      made_.aliases.insert_or_assign(std::string(name.str()), candidates(value, path));
    }
    if (made_.aliases.size() > max_aliases) {
      refuse(node, key, fmt::format("more than {} aliases, with those of the files before", max_aliases));
    }
    Aliases all = made_.aliases;
    for (const auto& standard : standard_aliases()) {
      all.emplace(standard.name, standard.candidates);
    }
    for (const auto& [name, value] : aliases) {
      if (loops(name.str(), all)) {
        refuse(name.source().begin, key_in(key, name.str()), "the alias leads back to itself");
      }
    }
  }

  void read_carveouts(const toml::node& node, const std::string& key) {
    const toml::table& regions = table(node, key, max_entries);
    for (const auto& [name, value] : regions) {
      const std::string path = key_in(key, name.str());
      if (!is_word(name.str())) {
        refuse(name.source().begin, path, "a carveout's name is of letters, digits and ,._+-@#");
      }
      put(made_.carveouts, carveout(std::string(name.str()), value, path), &CarveoutRegion::name);
    }
    for (const auto& [name, value] : regions) { // now that all are there: one may have made room for another
      const auto mine = std::find_if(made_.carveouts.begin(), made_.carveouts.end(),
                                     [&key_name = name](const auto& one) { return one.name == key_name.str(); });
      for (const auto& other : made_.carveouts) {
        if (&other != &*mine && mine->base < other.base + other.size && other.base < mine->base + mine->size) {
          refuse(name.source().begin, key_in(key, name.str()), fmt::format("overlaps the carveout {}", other.name));
        }
      }
    }
  }

  CarveoutRegion carveout(std::string name, const toml::node& node, const std::string& path) const {
    CarveoutRegion region;
    region.name = std::move(name);
    const toml::table& values = table(node, path);
    const auto pages = [this](std::uint64_t& number) {
      return [this, &number](const toml::node& value, const std::string& key) {
        number = bytes(value, key);
        if (number % page_size() != 0) {
          refuse(value, key, fmt::format("{:#x} is no multiple of the page size, {}", number, page_size()));
        }
      };
    };
    keys(values, path,
         {{"base", pages(region.base)},
          {"device-memory", [&](const auto& value, const auto& key) { region.device_memory = boolean(value, key); }},
          {"size", pages(region.size)}});
    if (values.contains("base") != values.contains("size")) {
      refuse(node, path, "base and size go together; without both it is the device tree's node of that name");
    }
    if (values.contains("size") && region.size == 0) {
      refuse(*values.get("size"), key_in(path, "size"), "must not be 0");
    }
    if (region.base + region.size < region.base) {
      refuse(*values.get("size"), key_in(path, "size"), "the range ends behind the last address");
    }
    return region;
  }

  void read_devices(const toml::node& node, const std::string& key) {
    const toml::array* const devices = node.as_array();
    if (devices == nullptr) {
      refuse_kind(node, key, "an array of tables, each under [[device]]");
    }
    if (devices->size() > max_entries) {
      refuse(node, key, fmt::format("more than {} entries", max_entries));
    }
    std::set<std::string> matches;
    std::size_t number = 0;
    for (const toml::node& element : *devices) {
      const std::string path = fmt::format("{}[{}]", key, number++);
      const toml::table& values = table(element, path);
      DeviceProfile profile;
      keys(values, path,
           {{"constraints", [&](const auto& value, const auto& at) { profile.constraints = constraints(value, at); }},
            {"layout", [&](const auto& value, const auto& at) { profile.layout = layout(value, at); }},
            {"match", [&](const auto& value, const auto& at) { profile.match = match(value, at); }}});
      if (!values.contains("match")) {
        refuse(element, path, "has no match");
      }
      if (!values.contains("constraints") && !values.contains("layout")) {
        refuse(element, path, "has neither constraints nor layout");
      }
      if (!matches.insert(profile.match).second) {
        refuse(*values.get("match"), key_in(path, "match"), fmt::format("\"{}\" is matched before", shown(profile.match)));
      }
      put(made_.devices, std::move(profile), &DeviceProfile::match);
    }
  }

  std::string match(const toml::node& node, const std::string& key) const {
    constexpr std::string_view driver = "driver:";
    const std::string& text = string(node, key);
    const bool path = text.starts_with('/') && text.size() < 4096 && // PATH_MAX
                      std::none_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
    if (!path && !(text.starts_with(driver) && is_word(std::string_view(text).substr(driver.size())))) {
      refuse(node, key, fmt::format("\"{}\" is neither the path of a device node nor \"driver:NAME\"", shown(text)));
    }
    return text;
  }

  Constraints constraints(const toml::node& node, const std::string& key) const {
    const std::string& text = string(node, key);
    const Explanation said;
    std::error_code ec;
    Constraints parsed = parse_constraints(text, ec);
    if (ec) {
      refuse(node, key, said.text().empty() ? ec.message() : said.text());
    }
    return parsed;
  }

  LayoutRule layout(const toml::node& node, const std::string& key) const {
    const std::string& text = string(node, key);
    const Explanation said;
    std::error_code ec;
    LayoutRule parsed = parse_layout_rule(text, ec);
    if (ec) {
      refuse(node, key, said.text().empty() ? ec.message() : said.text());
    }
    return parsed;
  }

  void read_pool(const toml::node& node, const std::string& key) {
    keys(table(node, key), key,
         {{"max-age-ms", [this](const auto& value, const auto& at) { made_.pool.max_age = max_age(value, at); }},
          {"max-free-bytes",
           [this](const auto& value, const auto& at) { made_.pool.max_free_bytes = size(value, at, bytes(value, at)); }},
          {"recycle", [this](const auto& value, const auto& at) { made_.pool.recycle = recycle(value, at); }},
          {"zero", [this](const auto& value, const auto& at) { made_.pool.zero = boolean(value, at); }}});
  }

  std::chrono::milliseconds max_age(const toml::node& node, const std::string& key) const {
    if (node.is_string() && node.as_string()->get() == "never") {
      return std::chrono::milliseconds::max();
    }
    return std::chrono::milliseconds(integer(node, key, "a number of milliseconds, or \"never\""));
  }

  Recycle recycle(const toml::node& node, const std::string& key) const {
    const std::string& text = string(node, key);
    if (text != "when-unshared" && text != "always") {
      refuse(node, key, fmt::format("\"{}\" is neither \"when-unshared\" nor \"always\"", shown(text)));
    }
    return text == "always" ? Recycle::Always : Recycle::WhenUnshared;
  }

  void read_quotas(const toml::node& node, const std::string& key) {
    for (const auto& [heap, value] : table(node, key, max_entries)) {
      const std::string path = key_in(key, heap.str());
      if (!is_heap_name(heap.str())) {
        refuse(heap.source().begin, path, "a quota is of a heap \"backend:instance\", or of an alias");
      }
      Quota quota;
      quota.heap = std::string(heap.str());
      const toml::table& values = table(value, path);
      keys(
          values, path,
          {{"buffers", [&](const auto& number,
                           const auto& at) { quota.max_buffers = size(number, at, integer(number, at, "a number of buffers")); }},
           {"bytes", [&](const auto& number, const auto& at) { quota.max_bytes = size(number, at, bytes(number, at)); }}});
      if (values.empty()) {
        refuse(value, path, "limits neither bytes nor buffers");
      }
      put(made_.quotas, std::move(quota), &Quota::heap);
    }
  }

  std::string source_;
  Configuration made_;
};

} // namespace

Configuration read_configuration(std::string_view text, std::string_view source, Configuration below) {
  return Reader(source, std::move(below)).read(text);
}

}}} // namespace sa::v0::detail
