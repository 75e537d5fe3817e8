// SPDX-License-Identifier: MIT
/// @file consumer_kinds.hpp
/// How devices of each kind are opened; core finds them through consumer_kinds().
#pragma once

#include <memory>
#include <system_error>

#include "core/device/consumer.hpp"

namespace sa { inline namespace v0 { namespace detail {

std::shared_ptr<const Consumer> open_drm_device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::error_code& ec);
std::shared_ptr<const Consumer> open_v4l2_device(DeviceInfo info, std::shared_ptr<Verdicts> verdicts, std::error_code& ec);

}}} // namespace sa::v0::detail
