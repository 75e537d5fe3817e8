// SPDX-License-Identifier: MIT
/// @file thread_slot.hpp
/// Small numbers of which each belongs to one living thread alone: what is kept under a thread's number needs no lock
/// against other threads. A forked child has those of its parent's threads free.
#pragma once

#include <climits>
#include <cstddef>

namespace sa { inline namespace v0 { namespace detail {

inline constexpr unsigned no_slot = UINT_MAX;
inline constexpr unsigned most_slots = 32;

/// The calling thread's; no_slot until claim_slot() found one, and again while the thread ends. Initial-exec: read without a
/// call, also in a shared library.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local unsigned own_slot;

/// So many there are, at most most_slots: more than threads run at once, a power of two.
[[nodiscard]] std::size_t slot_count() noexcept;

/// Takes a slot for this thread, which has none, if one is free.
void look_for_slot() noexcept;

/// Sees to it that this thread has a slot, unless all are taken. What the slot's last owner did has happened before.
inline void claim_slot() noexcept {
  if (own_slot == no_slot) [[unlikely]] {
    look_for_slot();
  }
}

}}} // namespace sa::v0::detail
