// SPDX-License-Identifier: MIT
/// @file byte_size.hpp
/// Numbers of bytes as a person writes them ("4096", "0x1000", "64M"), and their multiples. Every text has this one
/// reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <system_error>

namespace sa { inline namespace v0 { namespace detail {

/// The result of parse_bytes().
struct ParsedBytes {
  std::uint64_t bytes = 0; ///< 0 after an error
  std::errc error{};       ///< invalid_argument: not of the form; result_out_of_range: 2^64 or more

  explicit operator bool() const noexcept { return error == std::errc{}; }
};

/// Decimal, or hexadecimal after 0x, then K, M, G, T, P or E for a power of 1024, and nothing else: no sign, no space, no
/// locale. After 0x an E is a digit.
[[nodiscard]] ParsedBytes parse_bytes(std::string_view text) noexcept;

/// The text that parse_bytes() reads as @p bytes, in the largest unit that is exact: "64M", "4097".
[[nodiscard]] std::string exact_bytes(std::uint64_t bytes);

/// @p size rounded up to @p multiple (not 0); less than @p size when it overflows.
[[nodiscard]] constexpr std::size_t round_up(std::size_t size, std::size_t multiple) noexcept {
  if ((multiple & (multiple - 1)) == 0) { // a power of two, nearly always: spares two divisions
    return (size + multiple - 1) & ~(multiple - 1);
  }
  return (size + multiple - 1) / multiple * multiple;
}

/// The least common multiple of @p a and @p b (@p b not 0); 0 when 64 bits do not hold it.
[[nodiscard]] constexpr std::uint64_t common_multiple(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t multiple = 0;
  return __builtin_mul_overflow(a / std::gcd(a, b), b, &multiple) ? 0 : multiple;
}

}}} // namespace sa::v0::detail
