// SPDX-License-Identifier: MIT
/// @file layout_rule.hpp
/// The check behind merge() and lay_out(): whether any layout can satisfy a rule.
#pragma once

#include <string>
#include <system_error>

#include <sa/layout.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// Whether each number of @p rule is in its range and one layout at least obeys it; if not, @p ec says why.
[[nodiscard]] bool possible(const LayoutRule& rule, std::error_code& ec);

/// The sources of @p rule, " (/dev/video0: VIDIOC_TRY_FMT)"; empty when it has none.
[[nodiscard]] std::string by(const LayoutRule& rule);

}}} // namespace sa::v0::detail
