// SPDX-License-Identifier: MIT
/// @file byte_size.hpp
/// Numbers of bytes as a person writes them: "4096", "0x1000", "64M". One reader for every text the library takes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

namespace sa { inline namespace v0 { namespace detail {

/// What parse_bytes() read.
struct ParsedBytes {
  std::uint64_t bytes = 0; ///< 0 after an error
  std::errc error{};       ///< invalid_argument: not of the form; result_out_of_range: 2^64 or more

  explicit operator bool() const noexcept { return error == std::errc{}; }
};

/// Decimal, or hexadecimal after 0x, then K, M, G, T, P or E for a power of 1024, and nothing else: no sign, no space, no
/// locale. After 0x an E is a digit.
[[nodiscard]] ParsedBytes parse_bytes(std::string_view text) noexcept;

/// What parse_bytes() reads as @p bytes, in the largest unit that is exact: "64M", "4097".
[[nodiscard]] std::string exact_bytes(std::uint64_t bytes);

}}} // namespace sa::v0::detail
