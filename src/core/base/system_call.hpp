// SPDX-License-Identifier: MIT
/// @file system_call.hpp
/// The one place that repeats interrupted system calls.
#pragma once

#include <cerrno>

namespace sa { inline namespace v0 { namespace detail {

/// Repeats @p call while a signal interrupts it.
template <typename Call>
auto uninterrupted(Call&& call) noexcept {
  auto result = call();
  while (result < 0 && errno == EINTR) {
    result = call();
  }
  return result;
}

/// Repeats @p call while the kernel asks for it: DMA_BUF_IOCTL_SYNC and DRM ioctls answer EAGAIN as well as EINTR when
/// they are to be restarted (linux/dma-buf.h). Not for calls where EAGAIN means "would block".
template <typename Call>
auto restarted(Call&& call) noexcept {
  auto result = call();
  while (result < 0 && (errno == EINTR || errno == EAGAIN)) {
    result = call();
  }
  return result;
}

}}} // namespace sa::v0::detail
