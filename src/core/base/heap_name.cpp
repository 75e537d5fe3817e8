// SPDX-License-Identifier: MIT
#include "core/base/heap_name.hpp"

#include <array>

namespace sa { inline namespace v0 { namespace detail {

namespace {

/// By the value of a character, whether it may be in a name. A table: names come with each message.
constexpr std::array<bool, 256> allowed = [] {
  std::array<bool, 256> table{};
  for (const unsigned char c : std::string_view("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,._+-@#")) {
    table[c] = true;
  }
  return table;
}();

} // namespace

bool is_word(std::string_view text) noexcept {
  char before = 0;
  for (const char c : text) {
    if (!allowed[static_cast<unsigned char>(c)] || (c == '.' && before == '.')) {
      return false;
    }
    before = c;
  }
  return !text.empty();
}

bool is_canonical(std::string_view name) noexcept {
  const std::size_t colon = name.find(':');
  return colon != std::string_view::npos && is_word(name.substr(0, colon)) && is_word(name.substr(colon + 1));
}

bool is_heap_name(std::string_view name) noexcept {
  return name.find(':') == std::string_view::npos ? is_word(name) : is_canonical(name);
}

bool is_wildcard(std::string_view name) noexcept {
  return name.size() > 2 && name.ends_with(":*") && is_word(name.substr(0, name.size() - 2));
}

}}} // namespace sa::v0::detail
