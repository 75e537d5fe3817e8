// SPDX-License-Identifier: MIT
/// Any text as a configuration; of two texts, divided by a line "%", the second over the first.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/heap_name.hpp"
#include "core/registry/aliases.hpp"
#include "core/registry/configuration.hpp"
#include "fuzz/require.hpp"
#include "fuzz/twins.hpp"

#include <sa/error.hpp>

using fuzz::require;
using sa::Configuration;

namespace {

void require_sentence(std::string_view what) {
  require(what.starts_with("read the configuration: f:"), "a sentence says where");
  fuzz::require_sentence(what);
}

/// The configuration of @p text, nothing when it is refused, by both twins.
std::optional<Configuration> read(std::string_view text) {
  return fuzz::both_twins([&](auto&... ec) { return sa::parse_configuration(text, "f", ec...); }, require_sentence);
}

/// What must hold of any configuration that was read.
void look_at(const Configuration& value) {
  for (const auto& [name, candidates] : value.aliases) {
    require(sa::detail::is_word(name) && !candidates.empty(), "an alias is well-formed");
    require(!sa::detail::loops(name, value.aliases), "no alias leads back to itself");
    for (const auto& candidate : candidates) {
      require(sa::detail::is_candidate(candidate), "a candidate is well-formed");
    }
  }
  for (const auto& one : value.carveouts) {
    require(sa::detail::is_word(one.name) && one.base % 4096 == 0 && one.size % 4096 == 0, "a carveout is well-formed");
    require(one.base + one.size >= one.base, "a carveout ends in the address space");
    for (const auto& other : value.carveouts) {
      require(&one == &other || one.name != other.name, "carveouts have names of their own");
      require(&one == &other || one.base >= other.base + other.size || other.base >= one.base + one.size,
              "carveouts do not overlap");
    }
  }
  for (const auto& device : value.devices) {
    require(!device.constraints || sa::parse_constraints(to_string(*device.constraints)) == *device.constraints,
            "constraints are right");
    require(sa::parse_layout_rule(to_string(device.layout)) == device.layout, "a layout rule is right");
  }
  for (const auto& plugin : value.plugins) {
    require(sa::detail::is_word(plugin), "a plugin's name leaves no folder");
  }
  require(value.pool.max_age.count() >= 0 && value.pool.name.empty(), "a pool can be made of it");
}

/// @p text over @p below; nothing when it is refused.
std::optional<Configuration> over(const Configuration& below, std::string_view text) {
  try {
    return sa::detail::read_configuration(text, "f", below, true);
  } catch (const sa::Error& error) {
    require_sentence(error.what());
    return std::nullopt;
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t divider = input.find("\n%\n");
  const std::string_view first = input.substr(0, divider);
  const auto below = read(first);
  if (!below) {
    return 0;
  }
  look_at(*below);
  require(over(*below, first) == below, "a file over itself changes nothing");
  if (divider != std::string_view::npos) {
    if (const auto both = over(*below, input.substr(divider + 3))) {
      look_at(*both);
      require(over(*both, input.substr(divider + 3)) == both, "the later file again changes nothing");
    }
  }
  return 0;
}
