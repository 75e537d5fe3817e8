// SPDX-License-Identifier: MIT
/// @file selection.hpp
/// The implementation of Registry::select(): the reasons for and against each heap.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <sa/device.hpp>
#include <sa/heap.hpp>
#include <sa/selection.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The wishes of the machine's administrator.
struct Wishes {
  std::vector<std::string> order; ///< heaps, "backend:instance" or "backend:*", preferred first
  std::vector<DeviceProfile> profiles;
};

/// Whether @p profile is about the device.
[[nodiscard]] bool matches(const DeviceProfile& profile, const DeviceInfo& info) noexcept;

/// @param heaps those of a registry, in its order; @param request its size 0: any
/// @p ec EINVAL: the demands contradict each other
[[nodiscard]] Selection select_heaps(const std::vector<std::shared_ptr<Heap>>& heaps, AllocRequest request,
                                     const std::vector<Device>& devices, const Wishes& wishes, bool probes, std::error_code& ec);

/// The certainty below which a choice is not tried unless the caller demands it: Unknown if all choices are, else Suits.
template <typename Choices>
[[nodiscard]] Certainty least_known(const Choices& choices) noexcept {
  return !choices.empty() && choices.front().certainty <= Certainty::Suits ? Certainty::Suits : Certainty::Unknown;
}

/// A buffer of the first choice that has one; behind Registry::allocate().
/// @param minimum choices with less certainty are not tried; nothing: least_known()
[[nodiscard]] DmaBuf allocate_selected(const Selection& selection, AllocRequest request, std::optional<Certainty> minimum,
                                       std::error_code& ec);

}}} // namespace sa::v0::detail
