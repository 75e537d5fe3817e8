// SPDX-License-Identifier: MIT
/// @file scattered.hpp
/// Dma-bufs for tests of a device: memory in many runs, and memory in one.
#pragma once

#include <array>
#include <cstddef>
#include <system_error>

#include <sa/dma_buf.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// Two buffers of the same pages, at least @p size bytes each, in an order and in its reverse: where the kernel's pages happen to
/// make one run in the one, they do not in the other. A device that takes both takes scattered memory. Needs /dev/udmabuf.
[[nodiscard]] std::array<DmaBuf, 2> make_scattered(std::size_t size, std::error_code& ec);

/// Needs /dev/udmabuf.
[[nodiscard]] DmaBuf make_one_page(std::error_code& ec);

}}} // namespace sa::v0::detail
