// SPDX-License-Identifier: MIT
/// @file spin_lock.hpp
/// A lock of one byte for what takes some nanoseconds: taken by one locked instruction, let go of by a plain store.
#pragma once

#include <atomic>

namespace sa::inline v0::detail {

class SpinLock {
public:
  [[nodiscard]] bool try_lock() noexcept { return !locked_.exchange(true, std::memory_order_acquire); }
  void lock() noexcept;
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

private:
  std::atomic<bool> locked_{false};
};

} // namespace sa::inline v0::detail
