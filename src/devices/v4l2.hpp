// SPDX-License-Identifier: MIT
/// @file v4l2.hpp
/// Shared by the files about V4L2: calls, queues, and the rules of a queue for a format
/// (Documentation/userspace-api/media/v4l, linux/videodev2.h).
#pragma once

#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include <linux/videodev2.h>

#include <sa/format.hpp>
#include <sa/layout.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// An ioctl, again when it was interrupted.
int v4l2_request(int fd, unsigned long code, void* argument) noexcept;

/// Non-blocking: opening must not wait for a device, nor its ioctls.
UniqueFd open_v4l2_node(const std::string& path) noexcept;

/// A format that a queue lists.
struct OfferedFormat {
  v4l2_buf_type queue;
  V4l2Fourcc code;
};

/// The rule of the queue for @p format under that code at that size, by VIDIOC_TRY_FMT; six times at most. @p ec EOPNOTSUPP:
/// it takes another format or size.
LayoutRule ask_v4l2_queue(int device, const std::string& node, const OfferedFormat& offered, Format format, std::uint32_t width,
                          std::uint32_t height, std::error_code& ec);

/// Asks whether the queue takes @p layout as it is; its sizes become those that the driver needs.
ImageLayout confirm_v4l2_layout(int device, const std::string& node, v4l2_buf_type queue, const ImageLayout& layout,
                                std::error_code& ec);

}}} // namespace sa::v0::detail
