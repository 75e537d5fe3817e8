// SPDX-License-Identifier: MIT
/// "Did you mean ...?": for formats, commands and options.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sactl {

/// Those of @p names that @p name is nearest to, in their order; none when more than @p most letters differ. Letters are
/// compared in either case, and two that are exchanged count as one. The library has the same for heaps, inside.
[[nodiscard]] std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& names, std::size_t most);

} // namespace sactl
