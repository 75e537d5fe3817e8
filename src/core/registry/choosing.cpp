// SPDX-License-Identifier: MIT
/// Registry::select() and what allocates by devices: of what a registry knows now.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <sa/registry.hpp>

#include "core/base/failure.hpp"
#include "core/base/system_facts.hpp"
#include "core/heap/request.hpp"
#include "core/registry/snapshot.hpp"
#include "core/selection/image_selection.hpp"
#include "core/selection/selection.hpp"

namespace sa { inline namespace v0 {
namespace {

/// "OPERATION for DEVICES under CONSTRAINTS"
std::string asked_of(const Constraints& constraints, const std::vector<Device>& devices, std::string operation) {
  for (const Device& device : devices) {
    operation += fmt::format("{} {}", &device == devices.data() ? " for" : ",", device.info().name);
  }
  const std::string demands = to_string(constraints);
  return demands.empty() ? operation : fmt::format("{} under \"{}\"", operation, demands);
}

} // namespace

Selection Registry::select(const Constraints& constraints, const std::vector<Device>& devices,
                           const SelectOptions& options) const {
  return detail::or_throw(
      "", [&] { return asked_of(constraints, devices, "select a heap"); },
      [&](std::error_code& ec) { return select(constraints, devices, options, ec); });
}

Selection Registry::select(const Constraints& constraints, const std::vector<Device>& devices, const SelectOptions& options,
                           std::error_code& ec) const noexcept {
  return detail::or_code(ec, [&] {
    const auto now = this->now();
    return detail::select_heaps(now->heaps, {.size = options.size, .constraints = constraints}, devices, now->wishes,
                                options.probe, ec);
  });
}

DmaBuf Registry::allocate(const std::vector<Device>& devices, const AllocRequest& request, std::optional<Certainty> minimum) {
  return detail::or_throw(
      "", [&] { return asked_of(request.constraints, devices, fmt::format("allocate {}", detail::bytes_text(request.size))); },
      [&](std::error_code& ec) { return allocate(devices, request, ec, minimum); });
}

DmaBuf Registry::allocate(const std::vector<Device>& devices, const AllocRequest& request, std::error_code& ec,
                          std::optional<Certainty> minimum) noexcept {
  return detail::or_code(ec, [&] {
    detail::check_form(request, ec);
    const auto now = this->now();
    const Selection selection = ec ? Selection{} : detail::select_heaps(now->heaps, request, devices, now->wishes, false, ec);
    return ec ? DmaBuf{} : detail::allocate_selected(selection, request, minimum, ec);
  });
}

ImageSelection Registry::select_image(const std::vector<Device>& devices, const ImageRequest& request,
                                      const SelectOptions& options) const {
  return detail::or_throw(
      "",
      [&] {
        return asked_of(request.memory.constraints, devices,
                        fmt::format("select a layout and a heap of {}x{} pixels", request.width, request.height));
      },
      [&](std::error_code& ec) { return select_image(devices, request, options, ec); });
}

ImageSelection Registry::select_image(const std::vector<Device>& devices, const ImageRequest& request,
                                      const SelectOptions& options, std::error_code& ec) const noexcept {
  return detail::or_code(ec, [&] {
    const auto now = this->now();
    return detail::select_images(now->heaps, request, devices, now->wishes, options, ec);
  });
}

Image Registry::allocate(const std::vector<Device>& devices, const ImageRequest& request, std::optional<Certainty> minimum) {
  return detail::or_throw(
      "",
      [&] {
        return asked_of(request.memory.constraints, devices,
                        fmt::format("allocate an image of {}x{} pixels", request.width, request.height));
      },
      [&](std::error_code& ec) { return allocate(devices, request, ec, minimum); });
}

Image Registry::allocate(const std::vector<Device>& devices, const ImageRequest& request, std::error_code& ec,
                         std::optional<Certainty> minimum) noexcept {
  return detail::or_code(ec, [&]() -> Image {
    AllocRequest memory = request.memory;
    memory.size = std::max<std::size_t>(memory.size, 1); // the layout will say it
    detail::check_form(memory, ec);
    const auto now = this->now();
    const ImageSelection selection =
        ec ? ImageSelection{} : detail::select_images(now->heaps, request, devices, now->wishes, {}, ec);
    return ec ? Image{} : detail::allocate_image(selection, request, minimum, ec);
  });
}

}} // namespace sa::v0
