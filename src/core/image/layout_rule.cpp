// SPDX-License-Identifier: MIT
/// Merging what devices demand of a layout.
#include "core/image/layout_rule.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <iterator>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::fail;

/// A number that must be above 0 and, merged, becomes the common multiple.
struct Multiple {
  const char* word;
  std::uint32_t LayoutRule::*number;
};
constexpr Multiple multiples[] = {
    {"stride-align", &LayoutRule::stride_align}, {"offset-align", &LayoutRule::offset_align},
    {"rows-align", &LayoutRule::rows_align},     {"width-step", &LayoutRule::width_step},
    {"height-step", &LayoutRule::height_step},
};

/// The lower of two limits, of which 0 is none.
std::uint32_t lower_limit(std::uint32_t a, std::uint32_t b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

std::uint64_t most_of(const LayoutRule& rule) {
  return rule.stride_max == 0 ? max_image_size : rule.stride_max;
}

/// Whether a stride is left. It stays so, or not, whatever is merged in: alignments and minima rise, maxima sink.
bool stride_left(const LayoutRule& rule) {
  const std::uint64_t least = std::max<std::uint64_t>(rule.stride_min, 1);
  return (least + rule.stride_align - 1) / rule.stride_align * rule.stride_align <= most_of(rule);
}

/// The same for a number of rows.
bool rows_left(const LayoutRule& rule) {
  return rule.rows_max == 0 || rule.rows_align <= rule.rows_max;
}

/// The part of @p rule about rows, in the words of a rule.
std::string rows_of(const LayoutRule& rule) {
  LayoutRule rows;
  rows.rows_align = rule.rows_align;
  rows.rows_max = rule.rows_max;
  return to_string(rows);
}

/// The part of @p rule about strides, in the words of a rule.
std::string strides_of(const LayoutRule& rule) {
  LayoutRule strides;
  strides.stride_align = rule.stride_align;
  strides.stride_min = rule.stride_min;
  strides.stride_max = rule.stride_max;
  return to_string(strides);
}

template <typename T>
std::vector<T> united(const std::vector<T>& a, const std::vector<T>& b) {
  if (b.empty() || a == b) {
    return a;
  }
  std::vector<T> both;
  both.reserve(a.size() + b.size());
  std::set_union(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

/// Sorted, each once.
template <typename T>
std::vector<T> normal(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

template <typename T>
bool is_normal(const std::vector<T>& values) {
  return std::adjacent_find(values.begin(), values.end(), [](const T& a, const T& b) { return !(a < b); }) == values.end();
}

std::string modifiers_of(const LayoutRule& rule) {
  return fmt::format("{:#x}", fmt::join(rule.modifiers, ":"));
}

class Merger {
public:
  Merger(const LayoutRule& a, const LayoutRule& b, std::error_code& ec) : a_(a), b_(b), ec_(ec) {}

  /// To be thrown away when the code is set.
  LayoutRule merged() {
    LayoutRule both;
    if (a_.format && b_.format && a_.format != b_.format) {
      conflict(std::string(a_.format.name()), std::string(b_.format.name()));
      return {};
    }
    both.format = a_.format ? a_.format : b_.format;
    for (const Multiple& one : multiples) {
      const std::uint64_t multiple = std::lcm(std::uint64_t{a_.*one.number}, std::uint64_t{b_.*one.number});
      if (multiple > max_image_size) {
        conflict(fmt::format("{}={}", one.word, a_.*one.number), fmt::format("{}={}", one.word, b_.*one.number));
        return {};
      }
      both.*one.number = static_cast<std::uint32_t>(multiple);
    }
    both.stride_prefer = std::max(a_.stride_prefer, b_.stride_prefer);
    both.stride_min = std::max(a_.stride_min, b_.stride_min);
    both.stride_max = lower_limit(a_.stride_max, b_.stride_max);
    both.rows_max = lower_limit(a_.rows_max, b_.rows_max);
    if (!rows_left(both)) {
      conflict(rows_of(a_), rows_of(b_));
      return {};
    }
    if (!stride_left(both)) {
      conflict(strides_of(a_), strides_of(b_));
      return {};
    }
    both.size_min = std::max(a_.size_min, b_.size_min);
    both.tail = std::max(a_.tail, b_.tail);
    if (a_.buffers != Buffers::Any && b_.buffers != Buffers::Any && a_.buffers != b_.buffers) {
      const auto word = [](const LayoutRule& rule) { return rule.buffers == Buffers::One ? "buffers=one" : "buffers=separate"; };
      conflict(word(a_), word(b_));
      return {};
    }
    both.buffers = std::max(a_.buffers, b_.buffers);
    both.tied = a_.tied || b_.tied;
    both.known = a_.known && b_.known;
    if (!modifiers(both)) {
      return {};
    }
    both.sources = is_normal(a_.sources) && is_normal(b_.sources) ? united(a_.sources, b_.sources)
                                                                  : united(normal(a_.sources), normal(b_.sources));
    return both;
  }

private:
  void conflict(const std::string& of_a, const std::string& of_b) {
    const Format format = a_.format ? a_.format : b_.format;
    fail(ec_, EINVAL, [&] {
      return fmt::format("{}{}{}{} and {}{} exclude each other", format ? format.name() : "", format ? ": " : "", of_a,
                         detail::by(a_), of_b, detail::by(b_));
    });
  }

  bool modifiers(LayoutRule& both) {
    if (a_.modifiers == b_.modifiers && is_normal(a_.modifiers)) {
      both.modifiers = a_.modifiers;
      return true;
    }
    const std::vector<std::uint64_t> a = normal(a_.modifiers);
    const std::vector<std::uint64_t> b = normal(b_.modifiers);
    if (a.empty() || b.empty()) {
      both.modifiers = a.empty() ? b : a;
      return true;
    }
    std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both.modifiers));
    if (both.modifiers.empty()) {
      conflict("modifiers=" + modifiers_of(a_), "modifiers=" + modifiers_of(b_));
    }
    return !both.modifiers.empty();
  }

  const LayoutRule& a_;
  const LayoutRule& b_;
  std::error_code& ec_;
};

} // namespace

namespace detail {

bool possible(const LayoutRule& rule, std::error_code& ec) {
  const auto refuse = [&](auto&& sentence) {
    fail(ec, EINVAL, [&] { return sentence() + by(rule); });
    return false;
  };
  for (const Multiple& one : multiples) {
    if (rule.*one.number == 0 || rule.*one.number > max_image_size) {
      return refuse([&] { return fmt::format("{}={} is not from 1 to {}", one.word, rule.*one.number, max_image_size); });
    }
  }
  if (!std::has_single_bit(rule.stride_prefer) || rule.stride_prefer > max_image_size) {
    return refuse([&] { return fmt::format("stride-prefer={} is not a power of two", rule.stride_prefer); });
  }
  if (rule.size_min > max_image_size || rule.tail > max_image_size) {
    return refuse([&] { return fmt::format("a size of over {} bytes", max_image_size); });
  }
  if (!stride_left(rule)) {
    return refuse([&] { return fmt::format("{} leaves no stride", strides_of(rule)); });
  }
  if (!rows_left(rule)) {
    return refuse([&] { return fmt::format("{} leaves no number of rows", rows_of(rule)); });
  }
  return true;
}

std::string by(const LayoutRule& rule) {
  return rule.sources.empty() ? std::string() : fmt::format(" ({})", fmt::join(rule.sources, "; "));
}

} // namespace detail

LayoutRule merge(const LayoutRule& a, const LayoutRule& b) {
  return detail::or_throw(
      "", [] { return std::string("merge two rules of layout"); }, [&](std::error_code& ec) { return merge(a, b, ec); });
}

LayoutRule merge(const LayoutRule& a, const LayoutRule& b, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> LayoutRule {
    if (!detail::possible(a, ec) || !detail::possible(b, ec)) {
      return {};
    }
    LayoutRule both = Merger(a, b, ec).merged();
    return ec ? LayoutRule{} : both;
  });
}

}} // namespace sa::v0
