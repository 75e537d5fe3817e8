// SPDX-License-Identifier: MIT
/// Merging the rules of layouts is a lattice's join.
#include <doctest/doctest.h>

#include <optional>
#include <random>
#include <string>

#include "support/layout_obeys.hpp"

#include <sa/error.hpp>
#include <sa/layout.hpp>

using sa::Buffers;
using sa::Format;
using sa::ImageLayout;
using sa::LayoutRule;
using support::obeys;

namespace {

std::optional<LayoutRule> merged(const std::optional<LayoutRule>& a, const std::optional<LayoutRule>& b) {
  if (!a || !b) {
    return std::nullopt;
  }
  std::error_code ec;
  LayoutRule both = sa::merge(*a, *b, ec);
  return ec ? std::nullopt : std::optional(std::move(both));
}

using Random = std::minstd_rand;

unsigned below(Random& random, unsigned limit) {
  return static_cast<unsigned>(random()) / 7 % limit;
}

/// Few demands each, so that three of them often go together; rarely one that is out of its range.
LayoutRule random_rule(Random& random) {
  constexpr std::uint32_t aligns[] = {1, 2, 3, 8, 16, 24, 64, 256, 4096, 65536, 0x10001, 0x7fffffff, 0x40000000};
  const auto align = [&] {
    return below(random, 3) != 0 ? 1 : aligns[below(random, std::size(aligns) - (below(random, 4) ? 3 : 0))];
  };
  LayoutRule rule;
  if (below(random, 4) == 0) {
    rule.format = Format::find(below(random, 4) == 0 ? "NV12" : "YUV420");
  }
  for (std::uint64_t modifier = 0; modifier < 3; ++modifier) {
    if (below(random, 4) == 0) {
      rule.modifiers.push_back(modifier);
    }
  }
  rule.stride_align = align();
  rule.stride_prefer = 1U << below(random, 10);
  rule.stride_min = below(random, 3) != 0 ? 0 : below(random, 5000);
  rule.stride_max = below(random, 3) != 0 ? 0 : 1 + below(random, 10000);
  rule.offset_align = align();
  rule.rows_align = align();
  rule.rows_max = below(random, 4) != 0 ? 0 : 1 + below(random, 4000);
  rule.width_step = align();
  rule.height_step = align();
  rule.size_min = below(random, 3) != 0 ? 0 : below(random, 1 << 24);
  rule.tail = below(random, 3) != 0 ? 0 : below(random, 1 << 16);
  rule.tied = below(random, 3) == 0;
  rule.known = below(random, 3) != 0;
  rule.buffers = below(random, 2) != 0 ? Buffers::Any : Buffers(1 + below(random, 2));
  for (const char* source : {"a", "b", "c"}) {
    if (below(random, 3) == 0) {
      rule.sources.emplace_back(source);
    }
  }
  if (below(random, 200) == 0) {
    (below(random, 2) == 0 ? rule.stride_align : rule.rows_align) = 0;
  }
  return rule;
}

} // namespace

TEST_CASE("rules of layouts merge in any order to the same, or conflict in every order") {
  constexpr long triples = 1000000; // some seconds
  Random random(20261128);
  long together = 0;
  for (long i = 0; i < triples; ++i) {
    const LayoutRule a = random_rule(random);
    const LayoutRule b = random_rule(random);
    const LayoutRule c = random_rule(random);
    const auto ab = merged(a, b);
    const auto bc = merged(b, c);
    const auto all = merged(ab, c);
    const bool good = merged(b, a) == ab && merged(a, bc) == all && merged(merged(c, a), b) == all &&
                      (!ab || (merged(ab, a) == ab && merged(ab, b) == ab && merged(ab, LayoutRule{}) == ab));
    if (!good) {
      CAPTURE(to_string(a));
      CAPTURE(to_string(b));
      CAPTURE(to_string(c));
      CHECK(good);
      return;
    }
    if (!all) {
      continue;
    }
    ++together;
    LayoutRule whole = *all;
    whole.format = whole.format ? whole.format : Format::find("NV12");
    std::error_code ec;
    const ImageLayout layout = sa::lay_out(whole, 1 + below(random, 4000), 1 + below(random, 3000), ec);
    if (!ec && !(obeys(layout, a) && obeys(layout, b) && obeys(layout, c))) {
      CAPTURE(to_string(layout));
      CAPTURE(to_string(a));
      CAPTURE(to_string(b));
      CAPTURE(to_string(c));
      CHECK(false);
      return;
    }
  }
  CHECK(together > triples / 20); // else little was looked at
}

TEST_CASE("a conflict names both demands and their sources") {
  const auto said = [](const LayoutRule& a, const LayoutRule& b) -> std::string {
    try {
      (void)sa::merge(a, b);
      return {};
    } catch (const sa::Error& error) {
      CHECK(error.code() == std::errc::invalid_argument);
      return error.what();
    }
  };
  LayoutRule camera = sa::parse_layout_rule("stride=1936");
  camera.format = Format::find("NV12");
  camera.sources = {"/dev/video0: VIDIOC_TRY_FMT"};
  LayoutRule display = sa::parse_layout_rule("stride-align=256");
  display.sources = {"profile of driver:amdgpu"};
  CHECK(said(camera, display) == "merge two rules of layout: NV12: stride=1936 (/dev/video0: VIDIOC_TRY_FMT) and "
                                 "stride-align=256 (profile of driver:amdgpu) exclude each other");
  display = sa::parse_layout_rule("buffers=one");
  camera.buffers = Buffers::Separate;
  CHECK(said(display, camera) == "merge two rules of layout: NV12: buffers=one and buffers=separate "
                                 "(/dev/video0: VIDIOC_TRY_FMT) exclude each other");
  display = sa::parse_layout_rule("modifiers=0x1:0x2");
  camera.modifiers = {0};
  camera.buffers = Buffers::Any;
  CHECK(said(display, camera).find("modifiers=0x1:0x2 and modifiers=0x0 (/dev/video0: VIDIOC_TRY_FMT) exclude each other") !=
        std::string::npos);
  display.modifiers.clear();
  display.format = Format::find("R8");
  CHECK(said(display, camera).find("R8 and NV12 (/dev/video0: VIDIOC_TRY_FMT) exclude each other") != std::string::npos);
  CHECK(said(sa::parse_layout_rule("rows-align=65536"), sa::parse_layout_rule("rows-align=65537")).empty() == false);
}
