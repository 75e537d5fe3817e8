// SPDX-License-Identifier: MIT
/// @file nearest.hpp
/// "Did you mean ...?": the names that a mistyped one is near to.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace sa { inline namespace v0 { namespace detail {

/// The number of letters of @p a to change, leave out, put in, or exchange with the next one, to get @p b, in either case
/// (optimal string alignment). More than @p most is not counted: the answer is then @p most + 1.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t most);

/// Those of @p names that are nearest to @p name, in their order, three at most; none when nothing is near. A third of the
/// letters may be wrong, at least one and at most three. Nearest of all is a heap whose backend or instance is called so:
/// "dma-heap:reserved" for "reserved".
[[nodiscard]] std::vector<std::string_view> nearest(std::string_view name, const std::vector<std::string_view>& names);

}}} // namespace sa::v0::detail
