// SPDX-License-Identifier: MIT
/// @file heap_name.hpp
/// The rules for names of heaps. Names reach paths and messages, so a name that could leave a folder is refused.
#pragma once

#include <string_view>

namespace sa { inline namespace v0 { namespace detail {

/// Letters, digits and ",._+-@#", not empty, no "..".
[[nodiscard]] bool is_word(std::string_view text) noexcept;

/// "backend:instance", both words.
[[nodiscard]] bool is_canonical(std::string_view name) noexcept;

/// A canonical name or an alias.
[[nodiscard]] bool is_heap_name(std::string_view name) noexcept;

/// "backend:*"
[[nodiscard]] bool is_wildcard(std::string_view name) noexcept;

}}} // namespace sa::v0::detail
