// SPDX-License-Identifier: MIT
/// @file request.hpp
/// What is wrong with a request whatever heap it is for.
#pragma once

#include <cstddef>
#include <system_error>

#include <sa/types.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// Whether @p n is a power of two or 0. std::has_single_bit() counts the bits, which is a call on the oldest x86-64.
[[nodiscard]] constexpr bool at_most_one_bit(std::size_t n) noexcept {
  return (n & (n - 1)) == 0;
}

/// @p size rounded up to @p multiple (not 0); less than @p size when it overflows.
[[nodiscard]] constexpr std::size_t round_up(std::size_t size, std::size_t multiple) noexcept {
  if (at_most_one_bit(multiple)) { // nearly always: spares two divisions
    return (size + multiple - 1) & ~(multiple - 1);
  }
  return (size + multiple - 1) / multiple * multiple;
}

/// The refusals of requests that no heap takes: size, alignment, flags, name.
void look_at_form(const AllocRequest& request, std::error_code& ec);
inline void check_form(const AllocRequest& request, std::error_code& ec) {
  if (request.size == 0 || request.alignment != 0 || request.flags != AllocFlag::None || !request.name.empty()) {
    look_at_form(request, ec); // something may be wrong with it
  }
}

}}} // namespace sa::v0::detail
