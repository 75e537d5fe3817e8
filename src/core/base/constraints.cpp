// SPDX-License-Identifier: MIT
#include <sa/constraints.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <charconv>

#include <fmt/format.h>

#include "core/base/byte_size.hpp"
#include "core/base/failure.hpp"
#include "core/base/words.hpp"

namespace sa { inline namespace v0 {
namespace {

using detail::common_multiple;
using detail::exact_bytes;
using detail::fail;
using detail::shown;

/// A word of the textual form. Beside bytes and flags there are the two that limit the physical runs.
struct Word {
  std::string_view name;
  std::string_view value; ///< what stands behind '='; empty where nothing does
  std::uint64_t Constraints::*bytes = nullptr;
  bool Constraints::*flag = nullptr;
};

// In the order in which they are written.
constexpr std::array<Word, 10> words{{
    {"contiguous", ""},
    {"segments", "N"},
    {"align", "BYTES", &Constraints::alignment},
    {"size-align", "BYTES", &Constraints::size_alignment},
    {"max-address", "BYTES", &Constraints::max_address},
    {"cached", "", nullptr, &Constraints::cached},
    {"uncached", "", nullptr, &Constraints::uncached},
    {"coherent", "", nullptr, &Constraints::coherent},
    {"dma-buf", "", nullptr, &Constraints::dma_buf},
    {"protected", "", nullptr, &Constraints::protected_memory},
}};

std::string usage(const Word& word) {
  return word.value.empty() ? std::string(word.name) : fmt::format("{}={}", word.name, word.value);
}

/// Whether one buffer could be all of @p demands; if not, @p ec says why.
///
/// Demands only grow by merging: alignments and flags rise, max_address and max_segments sink. A set that is refused here stays
/// refused whatever is merged in, so a conflict is found in any order of merging. A new rule must be of that kind.
bool possible(const Constraints& demands, std::error_code& ec) {
  const auto refuse = [&](auto&& sentence) {
    fail(ec, EINVAL, sentence);
    return false;
  };
  if (!std::has_single_bit(demands.alignment)) {
    return refuse([&] { return fmt::format("align={} is not a power of two", exact_bytes(demands.alignment)); });
  }
  if (demands.size_alignment == 0) {
    return refuse([] { return std::string("size-align=0 is not above 0"); });
  }
  if (demands.cached && demands.uncached) {
    return refuse([] { return std::string("cached and uncached exclude each other"); });
  }
  if (demands.protected_memory && (demands.cached || demands.uncached)) {
    return refuse([&] {
      return fmt::format("protected and {} exclude each other: the CPU cannot map protected memory at all",
                         demands.cached ? "cached" : "uncached");
    });
  }
  // Only address 0 is aligned so and is lower, and no kernel hands out the page that holds it. Behind an IOMMU
  // the device could see another address, but a heap promises the alignment of the memory that it gives.
  if (demands.max_address != 0 && demands.alignment >= demands.max_address) {
    return refuse([&] {
      return fmt::format("align={} and max-address={} leave no address but 0, which is never handed out",
                         exact_bytes(demands.alignment), exact_bytes(demands.max_address));
    });
  }
  return true;
}

/// The lower of two limits, of which 0 is none.
template <typename Number>
Number lower_limit(Number a, Number b) {
  return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

/// merge(), the result to be thrown away when @p ec is set.
Constraints both(const Constraints& a, const Constraints& b, std::error_code& ec) {
  if (!possible(a, ec) || !possible(b, ec)) {
    return {};
  }
  Constraints merged;
  merged.alignment = std::max(a.alignment, b.alignment); // of powers of two: the larger is a multiple of the smaller
  merged.max_address = lower_limit(a.max_address, b.max_address);
  merged.max_segments = lower_limit(a.max_segments, b.max_segments);
  for (const Word& word : words) {
    if (word.flag != nullptr) {
      merged.*word.flag = a.*word.flag || b.*word.flag;
    } else if (word.bytes == &Constraints::size_alignment) {
      merged.*word.bytes = common_multiple(a.*word.bytes, b.*word.bytes);
      if (merged.*word.bytes == 0) {
        fail(ec, EINVAL, [&] {
          return fmt::format("{0}={1} and {0}={2} have no common multiple in 64 bits", word.name, exact_bytes(a.*word.bytes),
                             exact_bytes(b.*word.bytes));
        });
        return {};
      }
    }
  }
  return possible(merged, ec) ? merged : Constraints{};
}

/// Reads the words of a text, one after the other.
class Reader {
public:
  explicit Reader(std::error_code& ec) : ec_(ec) {}

  [[nodiscard]] const Constraints& result() const { return result_; }

  /// False when @p text is refused; the code is set then.
  bool read(std::string_view text) {
    if (text.empty()) {
      return refuse([] { return std::string("there is an empty word; one comma separates two words"); });
    }
    const std::size_t equals = text.find('=');
    const std::string_view name = text.substr(0, equals);
    const auto* const word = std::find_if(words.begin(), words.end(), [&](const Word& one) { return one.name == name; });
    if (word == words.end()) {
      return refuse([&] {
        std::string known;
        for (const Word& one : words) {
          known += (known.empty() ? "" : ", ") + usage(one);
        }
        return fmt::format("\"{}\" is not a constraint; the constraints are: {}", shown(text), known);
      });
    }
    const auto index = static_cast<std::size_t>(word - words.begin());
    if (seen_[index]) {
      return refuse([&] { return fmt::format("{} is repeated", word->name); });
    }
    seen_[index] = true;
    const bool has_value = equals != std::string_view::npos;
    if (has_value && word->value.empty()) {
      return refuse([&] { return fmt::format("\"{}\": {} takes no value", shown(text), word->name); });
    }
    const std::string_view value = has_value ? text.substr(equals + 1) : std::string_view();
    if (value.empty() && !word->value.empty()) {
      return refuse([&] { return fmt::format("\"{}\" lacks its value, {}", shown(text), usage(*word)); });
    }
    if (word->flag != nullptr) {
      result_.*word->flag = true;
      return true;
    }
    return word->bytes != nullptr ? read_bytes(text, value, result_.*word->bytes) : read_runs(text, value);
  }

private:
  template <typename Sentence>
  bool refuse(Sentence&& sentence) {
    fail(ec_, EINVAL, std::forward<Sentence>(sentence));
    return false;
  }

  bool read_bytes(std::string_view text, std::string_view value, std::uint64_t& bytes) {
    const detail::ParsedBytes parsed = detail::parse_bytes(value);
    if (parsed.error == std::errc::result_out_of_range) {
      return refuse([&] { return fmt::format("\"{}\" is 2^64 or more", shown(text)); });
    }
    if (!parsed) {
      return refuse([&] {
        return fmt::format("\"{}\": BYTES is decimal or 0x hexadecimal, with K, M, G, T, P or E for a power of 1024",
                           shown(text));
      });
    }
    if (parsed.bytes == 0) {
      return refuse([&] { return fmt::format("\"{}\" is not above 0", shown(text)); });
    }
    bytes = parsed.bytes;
    return true;
  }

  /// contiguous and segments=N: two words for one limit.
  bool read_runs(std::string_view text, std::string_view value) {
    if (result_.max_segments != 0) {
      return refuse([] { return std::string("contiguous and segments both limit the physical runs; leave one out"); });
    }
    std::uint32_t runs = 1;
    const auto [rest, error] = std::from_chars(value.data(), value.data() + value.size(), runs);
    if (!value.empty() && (error != std::errc{} || rest != value.data() + value.size() || runs == 0)) {
      return refuse([&] { return fmt::format("\"{}\": N is a decimal number from 1 to {}", shown(text), UINT32_MAX); });
    }
    result_.max_segments = runs;
    return true;
  }

  std::error_code& ec_;
  Constraints result_;
  std::bitset<words.size()> seen_;
};

/// parse_constraints(), the result to be thrown away when @p ec is set.
Constraints read(std::string_view text, std::error_code& ec) {
  Reader reader(ec);
  detail::each_word(text, [&](std::string_view word) { return reader.read(word); });
  if (ec) {
    return {};
  }
  return possible(reader.result(), ec) ? reader.result() : Constraints{};
}

} // namespace

Constraints merge(const Constraints& a, const Constraints& b) {
  return detail::or_throw(
      "", [&] { return fmt::format("merge \"{}\" with \"{}\"", to_string(a), to_string(b)); },
      [&](std::error_code& ec) { return merge(a, b, ec); });
}

Constraints merge(const Constraints& a, const Constraints& b, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return both(a, b, ec); });
}

Constraints parse_constraints(std::string_view text) {
  return detail::or_throw(
      "", [&] { return fmt::format("read the constraints \"{}\"", shown(text)); },
      [&](std::error_code& ec) { return parse_constraints(text, ec); });
}

Constraints parse_constraints(std::string_view text, std::error_code& ec) noexcept {
  return detail::or_code(ec, [&] { return read(text, ec); });
}

std::string to_string(const Constraints& constraints) {
  std::string text;
  const auto add = [&](std::string_view name, std::string_view value) {
    text += text.empty() ? "" : ",";
    text += name;
    text += value.empty() ? "" : "=";
    text += value;
  };
  if (constraints.max_segments == 1) {
    add("contiguous", "");
  } else if (constraints.max_segments != 0) {
    add("segments", fmt::format("{}", constraints.max_segments));
  }
  for (const Word& word : words) {
    if (word.bytes != nullptr && constraints.*word.bytes != Constraints{}.*word.bytes) {
      add(word.name, exact_bytes(constraints.*word.bytes));
    } else if (word.flag != nullptr && constraints.*word.flag) {
      add(word.name, "");
    }
  }
  return text;
}

}} // namespace sa::v0
