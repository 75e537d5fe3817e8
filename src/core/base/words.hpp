// SPDX-License-Identifier: MIT
/// @file words.hpp
/// Texts from outside that are lists of words, "contiguous,align=4K", and their form in messages.
#pragma once

#include <string>
#include <string_view>

namespace sa { inline namespace v0 { namespace detail {

/// Text from outside as a message may hold it: short, printable, on one line.
[[nodiscard]] std::string shown(std::string_view text);

/// Without the spaces, tabs and line ends around it.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

/// Gives @p read each word of @p text between commas, or what @p separator is, trimmed; a text of blanks has none. Ends where
/// @p read returns false.
template <typename Read>
void each_word(std::string_view text, Read&& read, char separator = ',') {
  text = trimmed(text);
  for (bool more = !text.empty(); more;) {
    const std::size_t comma = text.find(separator);
    more = read(trimmed(text.substr(0, comma))) && comma != std::string_view::npos;
    text.remove_prefix(more ? comma + 1 : text.size());
  }
}

}}} // namespace sa::v0::detail
