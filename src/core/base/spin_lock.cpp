// SPDX-License-Identifier: MIT
#include "core/base/spin_lock.hpp"

#include <chrono>
#include <thread>

namespace sa { inline namespace v0 { namespace detail {
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

void wait_a_moment(int attempt) noexcept {
  constexpr int patience = 1000; // some tens of microseconds
  if (attempt < patience) {
    relax();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

}}} // namespace sa::v0::detail
