// SPDX-License-Identifier: MIT
/// Any text as constraints; of two texts, divided by a line end, what they merge to.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fuzz/require.hpp"
#include "fuzz/twins.hpp"

#include <sa/constraints.hpp>
#include <sa/error.hpp>

using fuzz::require;
using sa::Constraints;

namespace {

std::optional<Constraints> read(std::string_view text) {
  return fuzz::both_twins([&](auto&... ec) { return sa::parse_constraints(text, ec...); });
}

std::optional<Constraints> merged(const Constraints& a, const Constraints& b) {
  return fuzz::both_twins([&](auto&... ec) { return sa::merge(a, b, ec...); });
}

/// What must hold of any text that is read.
void look_at(const Constraints& value) {
  const std::string text = to_string(value);
  const auto again = read(text);
  require(again == value, "what was written is read back");
  require(to_string(*again) == text, "what was written is canonical");
  require(merged(value, value) == value, "merging is idempotent");
  require(merged(value, {}) == value && merged({}, value) == value, "what demands nothing is neutral");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto whole = read(input)) {
    look_at(*whole);
  }
  const std::size_t line_end = input.find('\n');
  if (line_end == std::string_view::npos) {
    return 0;
  }
  const auto a = read(input.substr(0, line_end));
  const auto b = read(input.substr(line_end + 1));
  if (a && b) {
    const auto both = merged(*a, *b);
    require(merged(*b, *a) == both, "merging is commutative");
    if (both) {
      look_at(*both);
      require(merged(*both, *a) == both && merged(*both, *b) == both, "the merge satisfies both");
    }
  }
  return 0;
}
