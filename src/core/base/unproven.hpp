// SPDX-License-Identifier: MIT
/// @file unproven.hpp
/// Descriptors from other processes. A file's system may be a daemon of the peer's (FUSE) or a server, which is asked by
/// fstat(), fstatfs(), lseek() and even close(), and need not answer: the caller then waits without end, SIGKILL or not.
#pragma once

#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

/// The S_IFMT bits of the mode, 0 for what lies in no file system (a dma-buf), without asking anybody but the kernel
/// (AT_STATX_DONT_SYNC, statx(2)). -1, with errno: no descriptor.
[[nodiscard]] int file_type(int fd) noexcept;

/// Whether the kernel alone answers for @p fd: a memory file, a pipe, or what lies in no file system.
[[nodiscard]] bool served_by_kernel(int fd) noexcept;

/// Closes @p fd, on a thread of its own where that could wait. Returns when it is closed, at the latest after 100 ms.
void close_unproven(UniqueFd fd) noexcept;

}}} // namespace sa::v0::detail
