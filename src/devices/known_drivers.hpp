// SPDX-License-Identifier: MIT
/// @file known_drivers.hpp
/// The rules of DRM drivers for pictures that no interface tells.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <sa/layout.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The rule of the driver of that name, for linear pictures, without a format; for an unknown driver, a rule that
/// serves the known ones, as a guess (LayoutRule::known).
/// @param node for the source; @param dumb_pitch bytes that the driver gave a dumb buffer of one pixel; 0: not asked
LayoutRule rule_of_driver(std::string_view driver, const std::string& node, std::uint32_t dumb_pitch);

}}} // namespace sa::v0::detail
