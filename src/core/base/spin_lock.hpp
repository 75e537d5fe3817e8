// SPDX-License-Identifier: MIT
/// @file spin_lock.hpp
/// A lock of one byte for what takes some nanoseconds: taken by one locked instruction, let go of by a plain store.
#pragma once

#include <atomic>

namespace sa { inline namespace v0 { namespace detail {

/// Waits for another thread, which is some nanoseconds from its end, unless it was preempted or forks: sleeps then, or a
/// thread of lower priority could not run.
/// @param attempt counts from 0
void wait_a_moment(int attempt) noexcept;

template <typename Condition>
void wait_while(Condition&& condition) noexcept {
  for (int attempt = 0; condition(); ++attempt) {
    wait_a_moment(attempt);
  }
}

class SpinLock {
public:
  [[nodiscard]] bool try_lock() noexcept { return !locked_.exchange(true, std::memory_order_acquire); }
  void lock() noexcept {
    wait_while([&] { return locked_.load(std::memory_order_relaxed) || !try_lock(); });
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

private:
  std::atomic<bool> locked_{false};
};

}}} // namespace sa::v0::detail
