// SPDX-License-Identifier: MIT
#include "core/spin_lock.hpp"

#include <chrono>
#include <thread>

namespace sa::inline v0::detail {
namespace {

/// Tells the processor that it waits.
void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  asm volatile("yield" ::: "memory");
#endif
}

} // namespace

void SpinLock::lock() noexcept {
  // A holder is some nanoseconds from letting go, unless it was preempted or forks: then only sleeping lets a thread of
  // lower priority run.
  constexpr int patience = 1000; // some tens of microseconds
  for (int attempt = 0; locked_.load(std::memory_order_relaxed) || !try_lock(); ++attempt) {
    if (attempt < patience) {
      relax();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
}

} // namespace sa::inline v0::detail
