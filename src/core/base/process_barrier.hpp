// SPDX-License-Identifier: MIT
/// @file process_barrier.hpp
/// A memory barrier on every processor that runs a thread of this process, paid for by its caller alone: membarrier(2) with
/// MEMBARRIER_CMD_PRIVATE_EXPEDITED, Linux 4.14. Two threads that each store and then load what the other stored need a
/// barrier each in between; with this one, who does it a million times a second needs none.
#pragma once

namespace sa { inline namespace v0 { namespace detail {

/// Whether this kernel has it. The first call registers the process, which takes the kernel some milliseconds once there are
/// other threads.
[[nodiscard]] bool has_process_barrier() noexcept;

/// Only where has_process_barrier(). Some microseconds, less than one where no other thread runs.
void process_barrier() noexcept;

}}} // namespace sa::v0::detail
