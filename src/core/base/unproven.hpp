// SPDX-License-Identifier: MIT
/// @file unproven.hpp
/// Descriptors from other processes. The file system may be a daemon of the peer (FUSE) or a server. fstat(),
/// fstatfs(), lseek() and even close() ask it, and it need not answer: the caller then waits without end, even under
/// SIGKILL.
#pragma once

#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The S_IFMT bits of the mode; 0 for a file outside any file system (a dma-buf). Asks only the kernel
/// (AT_STATX_DONT_SYNC, statx(2)). -1, with errno: no descriptor.
[[nodiscard]] int file_type(int fd) noexcept;

/// Whether the kernel alone answers for @p fd: a memory file, a pipe, or a file outside any file system.
[[nodiscard]] bool served_by_kernel(int fd) noexcept;

/// Closes @p fd, on a thread of its own where that could wait. Returns when it is closed, at the latest after 100 ms.
void close_unproven(UniqueFd fd) noexcept;

}}} // namespace sa::v0::detail
