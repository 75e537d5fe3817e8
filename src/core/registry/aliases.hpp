// SPDX-License-Identifier: MIT
/// @file aliases.hpp
/// Names that stand for names.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace sa { inline namespace v0 { namespace detail {

/// An alias and its candidates: heaps, "backend:*", or aliases.
using Aliases = std::map<std::string, std::vector<std::string>, std::less<>>;

/// Whether @p candidate can be one of an alias: a heap's name, an alias', or "backend:*".
[[nodiscard]] bool is_candidate(std::string_view candidate) noexcept;

/// What @p name leads to and is no alias itself: in order, once each, borrowed from @p aliases and @p name. An alias is
/// looked into once, so that neither a loop nor aliases that share others by the dozen take longer than the names are many.
[[nodiscard]] std::vector<std::string_view> leaves(std::string_view name, const Aliases& aliases);

/// Whether the alias @p name leads back to itself.
[[nodiscard]] bool loops(std::string_view name, const Aliases& aliases);

}}} // namespace sa::v0::detail
