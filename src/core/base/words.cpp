// SPDX-License-Identifier: MIT
#include "core/base/words.hpp"

#include <algorithm>

namespace sa { inline namespace v0 { namespace detail {

std::string shown(std::string_view text) {
  constexpr std::size_t longest = 60;
  std::string safe(text.substr(0, longest));
  std::replace_if(
      safe.begin(), safe.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return text.size() > longest ? safe + "..." : safe;
}

std::string_view trimmed(std::string_view text) noexcept {
  constexpr std::string_view blank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blank);
  return first == std::string_view::npos ? std::string_view() : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

}}} // namespace sa::v0::detail
