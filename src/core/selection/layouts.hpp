// SPDX-License-Identifier: MIT
/// @file layouts.hpp
/// The layouts in which a picture of one format serves several devices.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include <sa/device.hpp>
#include <sa/layout.hpp>

#include "core/selection/selection.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// The result for one format.
struct FormatAnswer {
  bool serves = false;
  ImageLayout layout;                ///< the layout that serves, if there is one
  bool known = true;                 ///< whether every rule is known
  std::vector<std::string> sources;  ///< the sources of the rules
  std::string why;                   ///< the reason, if no layout serves
  std::uint32_t width_that_fits = 0; ///< pixels; 0: none is known
};

/// Merges what @p devices and the profiles of @p wishes demand, and asks each device to confirm the result.
[[nodiscard]] FormatAnswer layout_for(Format format, std::uint32_t width, std::uint32_t height, const Colour& colour,
                                      const std::vector<Device>& devices, const Wishes& wishes);

/// Whether @p device could take @p format, by what it lists; a device that lists nothing could take any.
[[nodiscard]] bool lists(const Device& device, Format format);

}}} // namespace sa::v0::detail
