// SPDX-License-Identifier: MIT
/// @file unshared.hpp
/// Whether this process is again the only holder of a buffer that was given away.
#pragma once

namespace sa { inline namespace v0 { namespace detail {

class Buffer;

/// Whether every fence of the buffer is signalled now, so that no device works on it. True for memory without fences.
[[nodiscard]] bool idle(const Buffer& buffer) noexcept;

enum class Sharing {
  Alone,   ///< no holder outside this object can see the memory, and no device works on it
  Shared,  ///< another holder can, or a device works on it; that may end
  Unknown, ///< the exporter is not known to count exactly (Memory::count_tells), or the kernel does not tell
};

/// Asks the kernel for the holders of @p buffer: two system calls, and two more the first time. The first time opens the buffer's
/// /proc/self/fdinfo file, which stays open with the buffer (Buffer::fdinfo()). Not for a buffer that a forked child has
/// from its parent: the open file tells of the parent's descriptor.
[[nodiscard]] Sharing sharing_of(Buffer& buffer) noexcept;

}}} // namespace sa::v0::detail
