// SPDX-License-Identifier: MIT
/// @file image_selection.hpp
/// Behind Registry::select() for pictures: format, layout and heap together.
#pragma once

#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include <sa/device.hpp>
#include <sa/heap.hpp>
#include <sa/image.hpp>
#include <sa/selection.hpp>

#include "core/selection/selection.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// @p heaps those of a registry, in its order
/// @p ec EINVAL: a size out of range; the demands on memory contradict each other
[[nodiscard]] ImageSelection select_images(const std::vector<std::shared_ptr<Heap>>& heaps, const ImageRequest& request,
                                           const std::vector<Device>& devices, const Wishes& wishes, const SelectOptions& options,
                                           std::error_code& ec);

/// An image of the first choice that has the memory; behind Registry::allocate().
/// @param minimum as for allocate_selected()
[[nodiscard]] Image allocate_image(const ImageSelection& selection, const ImageRequest& request, std::optional<Certainty> minimum,
                                   std::error_code& ec);

}}} // namespace sa::v0::detail
