// SPDX-License-Identifier: MIT
/// @file aliases.hpp
/// Names that stand for names.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sa/configuration.hpp>
#include <sa/heap.hpp>

#include "core/heap/candidates.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// An alias and its candidates: heaps, "backend:*", or aliases.
using Aliases = std::map<std::string, std::vector<std::string>, std::less<>>;

/// Whether @p candidate can be one of an alias: a heap's name, an alias', or "backend:*".
[[nodiscard]] bool is_candidate(std::string_view candidate) noexcept;

/// The names to which @p name leads and that are no aliases: in order, once each, borrowed from @p aliases and @p name. An alias
/// is looked into once, so that neither a loop nor aliases that share others by the dozen take longer than the names are many.
[[nodiscard]] std::vector<std::string_view> leaves(std::string_view name, const Aliases& aliases);

/// Whether the alias @p name leads back to itself.
[[nodiscard]] bool loops(std::string_view name, const Aliases& aliases);

using Heaps = std::vector<std::shared_ptr<Heap>>;

/// The heaps that @p name stands for, in order, once each; null where @p heaps has none of that name.
[[nodiscard]] std::vector<Candidate> resolve(std::string_view name, const Heaps& heaps, const Aliases& aliases);

/// The aliases of a registry: the standard ones, overridden by those of @p configuration, overridden by those of the
/// program.
[[nodiscard]] Aliases layered(const Configuration& configuration, const Aliases& own);

}}} // namespace sa::v0::detail
