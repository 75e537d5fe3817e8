// SPDX-License-Identifier: MIT
#include "core/base/thread_slot.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <thread>

#include <pthread.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

std::array<std::atomic<bool>, most_slots> taken{};
constinit thread_local bool ending = false;

/// Gives the slot back when its thread ends.
struct Claim {
  Claim() = default;
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() {
    ending = true;
    if (own_slot != no_slot) {
      taken[own_slot].store(false, std::memory_order_release);
      own_slot = no_slot;
    }
  }
  void begin() noexcept {}
};
thread_local Claim claim;

/// In a forked child the slots of the threads that it does not have are free.
void reclaim() noexcept {
  for (unsigned i = 0; i < taken.size(); ++i) {
    taken[i].store(i == own_slot, std::memory_order_relaxed);
  }
}

// Beside the functions that are called, so that a static archive cannot lose it.
[[maybe_unused]] const int registered = ::pthread_atfork(nullptr, nullptr, reclaim);

} // namespace

constinit thread_local unsigned own_slot = no_slot;

std::size_t slot_count() noexcept {
  constexpr unsigned least = 8;
  static const std::size_t count = std::bit_ceil(std::clamp(2 * std::thread::hardware_concurrency(), least, most_slots));
  return count;
}

void look_for_slot() noexcept {
  for (unsigned i = 0; i < slot_count() && !ending; ++i) {
    if (!taken[i].load(std::memory_order_relaxed) && !taken[i].exchange(true, std::memory_order_acquire)) {
      claim.begin(); // constructs it: its end is the thread's
      own_slot = i;
      return;
    }
  }
}

}}} // namespace sa::v0::detail
