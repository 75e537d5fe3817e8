// SPDX-License-Identifier: MIT
/// @file layouts.hpp
/// In which layouts a picture of one format serves several devices.
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
  ImageLayout layout;                ///< where it serves
  bool known = true;                 ///< every rule is
  std::vector<std::string> sources;  ///< of the rules
  std::string why;                   ///< where it does not
  std::uint32_t width_that_fits = 0; ///< pixels; 0: none is known
};

/// Merges what @p devices and the profiles of @p wishes demand, and asks each device to confirm the result.
[[nodiscard]] FormatAnswer layout_for(Format format, std::uint32_t width, std::uint32_t height, const Colour& colour,
                                      const std::vector<Device>& devices, const Wishes& wishes);

/// Whether @p device could take @p format, by what it lists; a device that lists nothing could take any.
[[nodiscard]] bool lists(const Device& device, Format format);

}}} // namespace sa::v0::detail
