// SPDX-License-Identifier: MIT
/// @file bias.hpp
/// Lets the one thread that nearly always takes a lock come in without it. A locked instruction is not dear by itself; it
/// waits until all that its thread has stored before is seen everywhere, and after a buffer was passed to another processor
/// that is the price of a cache line. The owner stores and loads here instead, and who else wants to come in pays for both
/// with a process_barrier().
#pragma once

#include <atomic>

namespace sa { inline namespace v0 { namespace detail {

/// Beside a SpinLock, "the lock" below. Who the owner is, is for others to say: one thread at a time, and what the one before
/// it did has happened before what it does.
class Bias {
public:
  /// The owner's. True: nobody but it is in, until leave(). False: it takes the lock.
  [[nodiscard]] bool try_enter() noexcept {
    inside_.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst); // for the compiler; the processor's order is process_barrier()'s
    if (on_.load(std::memory_order_relaxed)) [[likely]] {
      return true;
    }
    leave();
    return false;
  }
  void leave() noexcept { inside_.store(false, std::memory_order_release); }

  /// With the lock, when the owner must stay out: it is, from here on, and takes the lock next time.
  void revoke() noexcept;

  /// The owner's, with the lock: here it is again. When it came often and nobody else did, it may come in without.
  void note_owner() noexcept;

  /// Without the lock a guess.
  [[nodiscard]] bool on() const noexcept { return on_.load(std::memory_order_relaxed); }

private:
  std::atomic<bool> inside_{false};
  std::atomic<bool> on_{false}; ///< changed with the lock
  unsigned short calm_ = 0;     ///< so often the owner took the lock since the last revoke(); needs the lock
};

}}} // namespace sa::v0::detail
