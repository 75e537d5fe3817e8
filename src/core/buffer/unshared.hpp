// SPDX-License-Identifier: MIT
/// @file unshared.hpp
/// Whether a buffer that was given away is this process' alone again.
#pragma once

namespace sa { inline namespace v0 { namespace detail {

class Buffer;

/// Whether every fence of the buffer is signalled now: no device works on it. True of what has no fences.
[[nodiscard]] bool idle(const Buffer& buffer) noexcept;

enum class Sharing {
  Alone,   ///< no holder outside this object can see the memory, and no device works on it
  Shared,  ///< somebody can, or a device works on it; that may end
  Unknown, ///< the exporter is not known to count honestly (Memory::count_tells), or the kernel does not say
};

/// Asks the kernel for the holders of @p buffer: two system calls, and two more the first time. The first time opens the buffer's
/// /proc/self/fdinfo file, which stays open with the buffer (Buffer::fdinfo()). Not for a buffer that a forked child has
/// from its parent: the open file tells of the parent's descriptor.
[[nodiscard]] Sharing sharing_of(Buffer& buffer) noexcept;

}}} // namespace sa::v0::detail
