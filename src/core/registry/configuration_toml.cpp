// SPDX-License-Identifier: MIT
/// The meaning of the keys of a configuration.
#include "core/registry/configuration.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/heap_name.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/backend.hpp"
#include "core/registry/aliases.hpp"
#include "core/registry/toml_reader.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

// Limits of one file, far above practical use: a wrong or hostile file must not take a program's time and memory.
constexpr std::size_t max_entries = 1024;  ///< carveouts, devices, quotas; of each
constexpr std::size_t max_aliases = 128;   ///< all files together: resolving takes their number squared
constexpr std::size_t max_candidates = 32; ///< of an alias, of the order, and plugins

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

class ConfigurationReader : private TomlReader {
public:
  ConfigurationReader(std::string_view source, Configuration below, bool system)
      : TomlReader(source), made_(std::move(below)), system_(system) {}

  Configuration read(std::string_view text) {
    while (text.starts_with("\xef\xbb\xbf")) { // the byte order mark of UTF-8
      text.remove_prefix(3);
    }
    keys(parse(text), "",
         {{"aliases", [this](const auto& node, const auto& key) { read_aliases(node, key); }},
          {"carveouts", [this](const auto& node, const auto& key) { read_carveouts(node, key); }},
          {"device", [this](const auto& node, const auto& key) { read_devices(node, key); }},
          {"order", [this](const auto& node, const auto& key) { made_.order = candidates(node, key); }},
          {"plugins", [this](const auto& node, const auto& key) { read_plugins(node, key); }},
          {"pool", [this](const auto& node, const auto& key) { read_pool(node, key); }},
          {"quotas", [this](const auto& node, const auto& key) { read_quotas(node, key); }}});
    return std::move(made_);
  }

private:
  /// @param well_formed whether a text is a name; @param wrong what is said of one that is not, behind it
  std::vector<std::string> names(const toml::node& node, const std::string& key, const char* expected,
                                 bool (*well_formed)(std::string_view) noexcept, const char* wrong) const {
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
      if (!well_formed(name)) {
        refuse(element, fmt::format("{}[{}]", key, names.size()), fmt::format("\"{}\" {}", shown_text(name), wrong));
      }
      names.push_back(name);
    }
    return names;
  }

  std::vector<std::string> candidates(const toml::node& node, const std::string& key) const {
    return names(node, key, "an array of names, [\"dma-heap:system\", \"udmabuf:*\"]", is_candidate,
                 "is no \"backend:instance\", no \"backend:*\" and no alias");
  }

  void read_plugins(const toml::node& node, const std::string& key) {
    if (!system_) {
      refuse(node, key,
             "only the system's configuration, " SA_SYSTEM_CONFIGURATION
             ", can name plugins: they are code, which runs with all rights of the program");
    }
    made_.plugins = names(node, key, "an array of names, [\"example\"]", is_word,
                          "is not a plugin's name: its file in the plugin folder without .so, of letters, digits and ,._+-@#");
    for (auto one = made_.plugins.begin(); one != made_.plugins.end(); ++one) {
      if (std::find(made_.plugins.begin(), one, *one) != one) {
        refuse(node, key, fmt::format("{} is named twice", *one));
      }
    }
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
          refuse(value, key, fmt::format("{:#x} is not a multiple of the page size, {}", number, page_size()));
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
           {{"constraints",
             [&](const auto& value, const auto& at) { profile.constraints = parsed<Constraints>(parse_constraints, value, at); }},
            {"layout",
             [&](const auto& value, const auto& at) { profile.layout = parsed<LayoutRule>(parse_layout_rule, value, at); }},
            {"match", [&](const auto& value, const auto& at) { profile.match = match(value, at); }}});
      if (!values.contains("match")) {
        refuse(element, path, "has no match");
      }
      if (!values.contains("constraints") && !values.contains("layout")) {
        refuse(element, path, "has neither constraints nor layout");
      }
      if (!matches.insert(profile.match).second) {
        refuse(*values.get("match"), key_in(path, "match"), fmt::format("\"{}\" is matched before", shown_text(profile.match)));
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
      refuse(node, key, fmt::format("\"{}\" is neither the path of a device node nor \"driver:NAME\"", shown_text(text)));
    }
    return text;
  }

  /// A value with a textual form of its own, which @p parse reads.
  template <typename Value>
  Value parsed(Value (*parse)(std::string_view, std::error_code&) noexcept, const toml::node& node,
               const std::string& key) const {
    const std::string& text = string(node, key);
    const Explanation said;
    std::error_code ec;
    Value value = parse(text, ec);
    if (ec) {
      refuse(node, key, said.text().empty() ? ec.message() : said.text());
    }
    return value;
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
      refuse(node, key, fmt::format("\"{}\" is neither \"when-unshared\" nor \"always\"", shown_text(text)));
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

  Configuration made_;
  bool system_;
};

} // namespace

Configuration read_configuration(std::string_view text, std::string_view source, Configuration below, bool system) {
  return ConfigurationReader(source, std::move(below), system).read(text);
}

}}} // namespace sa::v0::detail
