// SPDX-License-Identifier: MIT
#include "core/heap_name.hpp"

#include <algorithm>

namespace sa::inline v0::detail {

bool is_word(std::string_view text) noexcept {
  constexpr std::string_view marks = ",._+-@#";
  return !text.empty() && text.find("..") == std::string_view::npos && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || marks.find(c) != std::string_view::npos;
  });
}

bool is_canonical(std::string_view name) noexcept {
  const std::size_t colon = name.find(':');
  return colon != std::string_view::npos && is_word(name.substr(0, colon)) && is_word(name.substr(colon + 1));
}

bool is_heap_name(std::string_view name) noexcept {
  return is_word(name) || is_canonical(name);
}

bool is_wildcard(std::string_view name) noexcept {
  return name.size() > 2 && name.ends_with(":*") && is_word(name.substr(0, name.size() - 2));
}

} // namespace sa::inline v0::detail
