// SPDX-License-Identifier: MIT
/// @file scattered.hpp
/// Dma-bufs to ask a device with: one that is in many pieces for certain, and one that is in one.
#pragma once

#include <cstddef>
#include <system_error>

#include <sa/dma_buf.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// At least @p size bytes. Needs /dev/udmabuf.
[[nodiscard]] DmaBuf make_scattered(std::size_t size, std::error_code& ec);

/// Needs /dev/udmabuf.
[[nodiscard]] DmaBuf make_one_page(std::error_code& ec);

}}} // namespace sa::v0::detail
