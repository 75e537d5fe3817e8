// SPDX-License-Identifier: MIT
/// Any text as a layout and as a rule for layouts; of two texts, divided by a line end, what the rules merge to, and the
/// pictures that are laid out by it.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fuzz/require.hpp"
#include "fuzz/twins.hpp"
#include "support/layout_obeys.hpp"

#include <sa/error.hpp>
#include <sa/layout.hpp>

using fuzz::require;
using sa::Format;
using sa::ImageLayout;
using sa::LayoutRule;

namespace {

std::optional<ImageLayout> read_layout(std::string_view text) {
  return fuzz::both_twins([&](auto&... ec) { return sa::parse_layout(text, ec...); });
}

std::optional<LayoutRule> read_rule(std::string_view text) {
  return fuzz::both_twins([&](auto&... ec) { return sa::parse_layout_rule(text, ec...); });
}

std::optional<LayoutRule> merged(const LayoutRule& a, const LayoutRule& b) {
  return fuzz::both_twins([&](auto&... ec) { return sa::merge(a, b, ec...); });
}

void require_sound(const ImageLayout& layout) {
  std::error_code ec;
  sa::check(layout, ec);
  require(!ec, "the layout is one that can be");
  require(support::lies_in_buffers(layout), "every row that is to be seen lies in its buffer");
}

/// What must hold of any layout that is read.
void look_at(const ImageLayout& layout) {
  require_sound(layout);
  const std::string text = to_string(layout);
  const auto again = read_layout(text);
  require(again == layout, "the layout that was written is read back");
  require(to_string(*again) == text, "the layout that was written is canonical");
}

/// What must hold of any rule that is read.
void look_at(const LayoutRule& rule) {
  const std::string text = to_string(rule);
  const auto again = read_rule(text);
  require(again == rule, "the rule that was written is read back");
  require(to_string(*again) == text, "the rule that was written is canonical");
  require(merged(rule, rule) == rule, "merging is idempotent");
  require(merged(rule, {}) == rule && merged({}, rule) == rule, "what demands nothing is neutral");
}

std::optional<ImageLayout> laid_out(LayoutRule rule, Format format, std::uint32_t width, std::uint32_t height) {
  rule.format = format;
  return fuzz::both_twins([&](auto&... ec) { return sa::lay_out(rule, width, height, ec...); });
}

/// A format of each kind: groups of pixels, subsampling, and planes.
constexpr std::string_view kinds[] = {"RGB888", "YUYV", "NV12", "NV16", "NV15", "P010", "YUV420", "YUV444", "Y10P", "SRGGB10P"};

/// A picture of each kind obeys @p both, which is merged of @p a and @p b.
void lay_out_all(const LayoutRule& both, const LayoutRule& a, const LayoutRule& b) {
  for (const std::string_view kind : kinds) {
    const Format format = Format::find(kind);
    if (const auto layout = laid_out(both, format, 641, 481)) {
      look_at(*layout);
      require(support::planes_are_apart(*layout), "no byte belongs to two planes");
      require(support::obeys(*layout, a) && support::obeys(*layout, b), "a layout by the merge obeys both");
      for (const LayoutRule& one : {a, b}) { // planes that have buffers of their own may be too much for one
        require(one.buffers != both.buffers || laid_out(one, format, 641, 481), "what both allow, each allows");
      }
      LayoutRule fixed = both; // the same again where exactly this is demanded
      fixed.stride_min = fixed.stride_max = layout->planes[0].stride;
      require(laid_out(fixed, format, 641, 481).has_value(), "a stride that was chosen may be demanded");
    } else {
      LayoutRule wishless = both;
      wishless.stride_prefer = 1;
      require(!laid_out(wishless, format, 641, 481), "a preference refuses nothing");
    }
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto layout = read_layout(input)) {
    look_at(*layout);
  }
  if (const auto rule = read_rule(input)) {
    look_at(*rule);
  }
  const std::size_t line_end = input.find('\n');
  if (line_end == std::string_view::npos) {
    return 0;
  }
  const auto a = read_rule(input.substr(0, line_end));
  const auto b = read_rule(input.substr(line_end + 1));
  if (a && b) {
    const auto both = merged(*a, *b);
    require(merged(*b, *a) == both, "merging is commutative");
    if (both) {
      look_at(*both);
      require(merged(*both, *a) == both && merged(*both, *b) == both, "the merge satisfies both");
      lay_out_all(*both, *a, *b);
    }
  }
  return 0;
}
