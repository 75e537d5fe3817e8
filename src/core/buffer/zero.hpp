// SPDX-License-Identifier: MIT
/// @file zero.hpp
#pragma once

#include <cstddef>

#include <sa/types.hpp>

namespace sa { inline namespace v0 { namespace detail {

class Buffer;

/// Zeroes mapped memory in a way that memory of these @p traits takes.
void zero(void* address, std::size_t size, Traits traits) noexcept;

/// Zeroes a buffer without other holders, and lets devices see it. False when that cannot be done now: it cannot be
/// mapped, or a device works on it.
[[nodiscard]] bool zero(Buffer& buffer) noexcept;

}}} // namespace sa::v0::detail
