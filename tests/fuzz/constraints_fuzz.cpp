// SPDX-License-Identifier: MIT
/// Any text as constraints; of two texts, divided by a line end, what they merge to.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fuzz/require.hpp"

#include <sa/constraints.hpp>
#include <sa/error.hpp>

using fuzz::require;
using sa::Constraints;

namespace {

void require_sentence(std::string_view what) {
  require(!what.empty() && what.size() < 1000, "a sentence is of readable length");
  for (const char c : what) {
    require(c >= ' ' && c <= '~', "a sentence is printable");
  }
}

/// The value of @p text, nothing when it is refused, by both twins.
std::optional<Constraints> read(std::string_view text) {
  std::error_code ec;
  const Constraints value = sa::parse_constraints(text, ec);
  try {
    require(sa::parse_constraints(text) == value && !ec, "the twins read the same");
  } catch (const sa::Error& error) {
    require(ec == error.code() && ec == std::errc::invalid_argument, "the twins refuse the same, with EINVAL");
    require(value == Constraints{}, "what is refused is empty");
    require_sentence(error.what());
    return std::nullopt;
  }
  return value;
}

std::optional<Constraints> merged(const Constraints& a, const Constraints& b) {
  std::error_code ec;
  const Constraints value = sa::merge(a, b, ec);
  try {
    require(sa::merge(a, b) == value && !ec, "the twins merge the same");
  } catch (const sa::Error& error) {
    require(ec == error.code() && ec == std::errc::invalid_argument, "the twins refuse the same, with EINVAL");
    require(value == Constraints{}, "what is refused is empty");
    require_sentence(error.what());
    return std::nullopt;
  }
  return value;
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
