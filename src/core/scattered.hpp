// SPDX-License-Identifier: MIT
/// @file scattered.hpp
/// A dma-buf that is in many pieces for certain, to ask a device whether it takes such memory.
#pragma once

#include <cstddef>
#include <system_error>

#include <sa/dma_buf.hpp>

namespace sa::inline v0::detail {

/// At least @p size bytes. Needs /dev/udmabuf.
[[nodiscard]] DmaBuf make_scattered(std::size_t size, std::error_code& ec);

} // namespace sa::inline v0::detail
