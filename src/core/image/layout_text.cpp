// SPDX-License-Identifier: MIT
/// The textual forms of layouts and of rules for them.
#include <sa/layout.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/base/words.hpp"
#include "core/image/layout_rule.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::fail;
using detail::shown;

/// Takes numbers and single characters from the front of a text. After the first that is not there it takes nothing more.
class Scanner {
public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  /// Digits alone, without a zero before others, so that one value has one text.
  template <typename Number>
  Scanner& number(Number& value, int base = 10) {
    const bool zero_before = rest_.size() > 1 && rest_.front() == '0' && is_digit(rest_[1], base);
    const bool starts = !rest_.empty() && is_digit(rest_.front(), base);
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, base);
    good_ = good_ && starts && !zero_before && error == std::errc{};
    rest_.remove_prefix(good_ ? static_cast<std::size_t>(end - rest_.data()) : 0);
    return *this;
  }
  Scanner& character(char expected) {
    good_ = good_ && next(expected);
    rest_.remove_prefix(good_ ? 1 : 0);
    return *this;
  }
  Scanner& text(std::string_view expected) {
    good_ = good_ && rest_.starts_with(expected);
    rest_.remove_prefix(good_ ? expected.size() : 0);
    return *this;
  }
  [[nodiscard]] bool next(char expected) const { return !rest_.empty() && rest_.front() == expected; }
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] bool ended() const { return good_ && rest_.empty(); }

private:
  static bool is_digit(char c, int base) {
    return (c >= '0' && c <= '9') || (base == 16 && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')));
  }
  std::string_view rest_;
  bool good_ = true;
};

/// Reads the words of a layout.
class LayoutReader {
public:
  explicit LayoutReader(std::error_code& ec) : ec_(ec) {}

  ImageLayout read(std::string_view text) {
    unsigned index = 0;
    while (true) {
      const std::size_t space = text.find(' ');
      if (!word(text.substr(0, space), index++)) {
        return {};
      }
      if (space == std::string_view::npos) {
        break;
      }
      text.remove_prefix(space + 1);
    }
    if (index < 2 || !planes_ || !sizes_) {
      refuse([] { return std::string("it lacks a word; a layout is FORMAT WIDTHxHEIGHT planes=... sizes=..."); });
      return {};
    }
    return layout_;
  }

private:
  template <typename Sentence>
  bool refuse(Sentence&& sentence) {
    fail(ec_, EINVAL, std::forward<Sentence>(sentence));
    return false;
  }

  bool word(std::string_view text, unsigned index) {
    if (index == 0) {
      layout_.format = Format::find(text);
      return layout_.format ? true : refuse([&] { return fmt::format("\"{}\" is not a format", shown(text)); });
    }
    if (index == 1) {
      Scanner scanner(text);
      const bool good = scanner.number(layout_.width).character('x').number(layout_.height).ended();
      return good ? true : refuse([&] { return fmt::format("\"{}\" is no WIDTHxHEIGHT", shown(text)); });
    }
    const std::size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1);
    bool good = false;
    if (name == "planes" && !planes_) {
      good = planes_ = planes(value);
    } else if (name == "sizes" && !sizes_) {
      good = sizes_ = sizes(value);
    } else if (name == "modifier" && !modifier_) {
      good = modifier_ = Scanner(value).text("0x").number(layout_.modifier, 16).ended();
    } else if (name == "colour" && !colour_) {
      unsigned range = 0;
      Colour& colour = layout_.colour;
      good = Scanner(value)
                 .number(colour.primaries)
                 .character('/')
                 .number(colour.transfer)
                 .character('/')
                 .number(colour.matrix)
                 .character('/')
                 .number(range)
                 .ended() &&
             range <= 1;
      colour.full_range = range == 1;
      colour_ = good;
    } else {
      return refuse([&] { return fmt::format("\"{}\" is not a word of a layout, or is repeated", shown(text)); });
    }
    return good ? true : refuse([&] { return fmt::format("\"{}\" cannot be read", shown(text)); });
  }

  bool planes(std::string_view value) {
    Scanner scanner(value);
    for (unsigned i = 0; i < layout_.plane_count(); ++i) {
      PlaneLayout& plane = layout_.planes[i];
      if (i > 0) {
        scanner.character(',');
      }
      scanner.number(plane.buffer).character('+').number(plane.offset).character('/').number(plane.stride);
      scanner.character('*').number(plane.rows);
    }
    return scanner.ended();
  }

  bool sizes(std::string_view value) {
    Scanner scanner(value);
    bool empty = false; // a size of 0 is none
    for (unsigned i = 0; i < max_planes && scanner.good() && (i == 0 || scanner.next(',')); ++i) {
      (i == 0 ? scanner : scanner.character(',')).number(layout_.sizes[i]);
      empty = empty || layout_.sizes[i] == 0;
    }
    return scanner.ended() && !empty;
  }

  std::error_code& ec_;
  ImageLayout layout_;
  bool planes_ = false;
  bool sizes_ = false;
  bool modifier_ = false;
  bool colour_ = false;
};

/// A word of a rule that has a number.
struct RuleWord {
  const char* name;
  std::uint32_t LayoutRule::*small = nullptr;
  std::uint64_t LayoutRule::*large = nullptr;
  bool bytes = true;
};
constexpr RuleWord rule_words[] = {
    {"stride-align", &LayoutRule::stride_align},
    {"stride-prefer", &LayoutRule::stride_prefer},
    {"stride-min", &LayoutRule::stride_min},
    {"stride-max", &LayoutRule::stride_max},
    {"offset-align", &LayoutRule::offset_align},
    {"rows-align", &LayoutRule::rows_align, nullptr, false},
    {"rows-max", &LayoutRule::rows_max, nullptr, false},
    {"width-step", &LayoutRule::width_step, nullptr, false},
    {"height-step", &LayoutRule::height_step, nullptr, false},
    {"size-min", nullptr, &LayoutRule::size_min},
    {"tail", nullptr, &LayoutRule::tail},
};

std::uint64_t number_of(const LayoutRule& rule, const RuleWord& word) {
  return word.small != nullptr ? rule.*word.small : rule.*word.large;
}

/// Whether one number of bytes is left: stride-min and stride-max in one word, "stride".
bool is_fixed(const LayoutRule& rule) {
  return rule.stride_max != 0 && rule.stride_min == rule.stride_max;
}

/// Reads the words of a rule.
class RuleReader {
public:
  explicit RuleReader(std::error_code& ec) : ec_(ec) {}

  LayoutRule read(std::string_view text) {
    detail::each_word(text, [&](std::string_view one) { return word(one); });
    if (ec_) {
      return {};
    }
    return detail::possible(rule_, ec_) ? rule_ : LayoutRule{};
  }

private:
  template <typename Sentence>
  bool refuse(Sentence&& sentence) {
    fail(ec_, EINVAL, std::forward<Sentence>(sentence));
    return false;
  }

  bool word(std::string_view text) {
    const std::size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : text.substr(equals + 1);
    if (std::find(seen_.begin(), seen_.end(), name) != seen_.end()) {
      return refuse([&] { return fmt::format("{} is repeated", shown(name)); });
    }
    seen_.push_back(name);
    const RuleWord* const known =
        std::find_if(std::begin(rule_words), std::end(rule_words), [&](const RuleWord& one) { return name == one.name; });
    bool good = false;
    if (text == "tied") {
      good = rule_.tied = true;
    } else if (text == "buffers=one" || text == "buffers=separate") {
      rule_.buffers = text == "buffers=one" ? Buffers::One : Buffers::Separate;
      good = true;
    } else if (name == "modifiers") {
      good = modifiers(value);
    } else if (name == "stride") {
      const std::optional<std::uint64_t> stride = number(value, true);
      good = stride && *stride <= max_image_size && rule_.stride_min == 0 && rule_.stride_max == 0;
      rule_.stride_min = rule_.stride_max = good ? static_cast<std::uint32_t>(*stride) : 0;
    } else if (known != std::end(rule_words)) {
      good = take(*known, value);
    } else {
      return refuse([&] {
        std::string names;
        for (const RuleWord& one : rule_words) {
          names += fmt::format(", {}={}", one.name, one.bytes ? "BYTES" : "N");
        }
        return fmt::format(
            "\"{}\" is not a word of a rule; the words are: modifiers=0xHEX:..., stride=BYTES{}, tied, buffers=one, "
            "buffers=separate",
            shown(text), names);
      });
    }
    return good ? true : refuse([&] { return fmt::format("\"{}\" has a value that cannot be", shown(text)); });
  }

  static std::optional<std::uint64_t> number(std::string_view value, bool bytes) {
    const detail::ParsedBytes parsed = detail::parse_bytes(value);
    const bool plain = bytes || value.find_first_not_of("0123456789") == std::string_view::npos;
    return parsed && plain && parsed.bytes != 0 ? std::optional(parsed.bytes) : std::nullopt;
  }

  bool take(const RuleWord& word, std::string_view value) {
    const std::optional<std::uint64_t> read = number(value, word.bytes);
    if (!read || *read > max_image_size || (number_of(rule_, word) != number_of(LayoutRule{}, word))) {
      return false; // the last: "stride" said it already
    }
    if (word.small != nullptr) {
      rule_.*word.small = static_cast<std::uint32_t>(*read);
    } else {
      rule_.*word.large = *read;
    }
    return true;
  }

  bool modifiers(std::string_view value) {
    Scanner scanner(value);
    do {
      if (!rule_.modifiers.empty()) {
        scanner.character(':');
      }
      scanner.text("0x").number(rule_.modifiers.emplace_back(), 16);
    } while (scanner.good() && scanner.next(':'));
    std::sort(rule_.modifiers.begin(), rule_.modifiers.end());
    rule_.modifiers.erase(std::unique(rule_.modifiers.begin(), rule_.modifiers.end()), rule_.modifiers.end());
    return scanner.ended();
  }

  std::error_code& ec_;
  LayoutRule rule_;
  std::vector<std::string_view> seen_;
};

} // namespace

std::string to_string(const ImageLayout& layout) {
  std::string text = fmt::format("{} {}x{} planes=", layout.format.name(), layout.width, layout.height);
  for (unsigned i = 0; i < layout.plane_count(); ++i) {
    const PlaneLayout& plane = layout.planes[i];
    text += fmt::format("{}{}+{}/{}*{}", i == 0 ? "" : ",", plane.buffer, plane.offset, plane.stride, plane.rows);
  }
  text += " sizes=";
  for (unsigned i = 0; i < std::min(layout.buffer_count(), max_planes); ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ",", layout.sizes[i]);
  }
  if (layout.modifier != 0) {
    text += fmt::format(" modifier={:#x}", layout.modifier);
  }
  if (layout.colour != Colour{}) {
    const Colour& colour = layout.colour;
    text += fmt::format(" colour={}/{}/{}/{}", colour.primaries, colour.transfer, colour.matrix, colour.full_range ? 1 : 0);
  }
  return text;
}

ImageLayout parse_layout(std::string_view text) {
  return detail::or_throw(
      "", [&] { return fmt::format("read the layout \"{}\"", shown(text)); },
      [&](std::error_code& ec) { return parse_layout(text, ec); });
}

ImageLayout parse_layout(std::string_view text, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&]() -> ImageLayout {
    const ImageLayout layout = LayoutReader(ec).read(text);
    if (!ec) {
      std::error_code impossible;
      check(layout, impossible);
      ec = impossible;
    }
    return ec ? ImageLayout{} : layout;
  });
}

std::string to_string(const LayoutRule& rule) {
  std::string text;
  const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ",") + word; };
  if (!rule.modifiers.empty()) {
    add(fmt::format("modifiers={:#x}", fmt::join(rule.modifiers, ":")));
  }
  if (is_fixed(rule)) {
    add("stride=" + detail::exact_bytes(rule.stride_min));
  }
  for (const RuleWord& word : rule_words) {
    const bool said = is_fixed(rule) && (word.small == &LayoutRule::stride_min || word.small == &LayoutRule::stride_max);
    const std::uint64_t number = number_of(rule, word);
    if (!said && number != number_of(LayoutRule{}, word)) {
      add(fmt::format("{}={}", word.name, word.bytes ? detail::exact_bytes(number) : fmt::format("{}", number)));
    }
  }
  if (rule.tied) {
    add("tied");
  }
  if (rule.buffers != Buffers::Any) {
    add(rule.buffers == Buffers::One ? "buffers=one" : "buffers=separate");
  }
  return text;
}

LayoutRule parse_layout_rule(std::string_view text) {
  return detail::or_throw(
      "", [&] { return fmt::format("read the layout rule \"{}\"", shown(text)); },
      [&](std::error_code& ec) { return parse_layout_rule(text, ec); });
}

LayoutRule parse_layout_rule(std::string_view text, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return RuleReader(ec).read(text); });
}

}} // namespace sa::v0
