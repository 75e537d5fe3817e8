// SPDX-License-Identifier: MIT
/// @file fork.hpp
/// What a process believes of shared memory is its own; a child must not inherit the belief.
#pragma once

namespace sa::inline v0::detail {

/// Another number in each forked child than in its parent (pthread_atfork(3)).
[[nodiscard]] unsigned fork_generation() noexcept;

} // namespace sa::inline v0::detail
