// SPDX-License-Identifier: MIT
/// @file spin_lock.hpp
/// A lock of one byte for work of some nanoseconds: locking is one locked instruction, unlocking a plain store.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

namespace sa { inline namespace v0 { namespace detail {

class SpinLock {
public:
  void lock() noexcept {
    for (int attempt = 0; locked_.exchange(true, std::memory_order_acquire); ++attempt)
      [[unlikely]] {
        while (locked_.load(std::memory_order_relaxed) && ++attempt < patience) {
        }
        if (attempt >= patience) { // its owner was preempted, or forks; a thread of lower priority must be able to run
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
      }
  }
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

private:
  static constexpr int patience = 10000; ///< looks, some tens of microseconds
  std::atomic<bool> locked_{false};
};

}}} // namespace sa::v0::detail
