// SPDX-License-Identifier: MIT
/// @file unshared.hpp
/// Whether a buffer that was given away is this process' alone again.
#pragma once

namespace sa { inline namespace v0 { namespace detail {

class Buffer;

/// Whether every fence of the buffer is signalled now: no device works on it. True of what has no fences.
[[nodiscard]] bool idle(const Buffer& buffer) noexcept;

/// Whether nobody outside @p buffer can see its memory any more, and no device works on it. False when that cannot be
/// told: the exporter is not known to count honestly (Memory::count_tells), or the kernel does not say.
[[nodiscard]] bool unshared(const Buffer& buffer) noexcept;

}}} // namespace sa::v0::detail
