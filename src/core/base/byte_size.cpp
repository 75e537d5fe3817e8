// SPDX-License-Identifier: MIT
#include "core/base/byte_size.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstddef>

#include <fmt/format.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

constexpr std::string_view units = "KMGTPE"; // each 2^10 times the one before

} // namespace

ParsedBytes parse_bytes(std::string_view text) noexcept {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  text.remove_prefix(hex ? 2 : 0);
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, hex ? 16 : 10);
  if (error == std::errc::invalid_argument) {
    return {0, error};
  }
  unsigned shift = 0;
  if (rest != end) { // before the range: "99999999999999999999x" is no number at all
    const std::size_t unit = units.find(*rest);
    if (end - rest != 1 || unit == std::string_view::npos) {
      return {0, std::errc::invalid_argument};
    }
    shift = 10 * (static_cast<unsigned>(unit) + 1);
  }
  if (error != std::errc{} || (number << shift) >> shift != number) {
    return {0, std::errc::result_out_of_range};
  }
  return {number << shift, {}};
}

std::string exact_bytes(std::uint64_t bytes) {
  const std::size_t unit =
      bytes == 0 ? 0 : std::min<std::size_t>(static_cast<std::size_t>(std::countr_zero(bytes)) / 10, units.size());
  return unit == 0 ? fmt::format("{}", bytes) : fmt::format("{}{}", bytes >> (10 * unit), units[unit - 1]);
}

}}} // namespace sa::v0::detail
