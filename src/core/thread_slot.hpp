// SPDX-License-Identifier: MIT
/// @file thread_slot.hpp
/// Small numbers of which each belongs to one living thread alone: what is kept under a thread's number needs no lock
/// against other threads.
#pragma once

#include <climits>
#include <cstddef>

namespace sa::inline v0::detail {

inline constexpr unsigned no_slot = UINT_MAX;

/// The calling thread's; no_slot until claim_slot() found one, and again while the thread ends. Initial-exec: read without a
/// call, also in a shared library.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local unsigned own_slot;

/// So many there are: more than threads run at once, a power of two.
[[nodiscard]] std::size_t slot_count() noexcept;

/// Gives this thread a slot, if it has none and one is free. What its last owner did has happened before.
void claim_slot() noexcept;

/// In a forked child: the slots of the threads that it does not have are free.
void reclaim_slots() noexcept;

} // namespace sa::inline v0::detail
