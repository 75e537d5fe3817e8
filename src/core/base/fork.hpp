// SPDX-License-Identifier: MIT
/// @file fork.hpp
/// The knowledge of a process about shared memory is its own; a child must not inherit it.
#pragma once

#include <atomic>

namespace sa { inline namespace v0 { namespace detail {

/// Another number in each forked child than in its parent (pthread_atfork(3)).
[[nodiscard]] unsigned fork_generation() noexcept;

/// Counts forks, so that a pool can tell whether a buffer was in use during one: the child sees such a buffer too. Odd
/// while this process forks. Moved by the pools (pools.cpp), which hold every shelf meanwhile; read for each buffer.
inline std::atomic<unsigned> fork_epoch{0};

/// The value of fork_epoch when this process began as a forked child: older buffers are its parent's.
inline std::atomic<unsigned> first_epoch{0};

}}} // namespace sa::v0::detail
