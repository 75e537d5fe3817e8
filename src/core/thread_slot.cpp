// SPDX-License-Identifier: MIT
#include "core/thread_slot.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <thread>

namespace sa::inline v0::detail {
namespace {

constexpr unsigned most = 32;
std::array<std::atomic<bool>, most> taken{};
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

} // namespace

constinit thread_local unsigned own_slot = no_slot;

std::size_t slot_count() noexcept {
  constexpr unsigned least = 8;
  static const std::size_t count = std::bit_ceil(std::clamp(2 * std::thread::hardware_concurrency(), least, most));
  return count;
}

void claim_slot() noexcept {
  if (own_slot != no_slot || ending) {
    return;
  }
  for (unsigned i = 0; i < slot_count(); ++i) {
    if (!taken[i].load(std::memory_order_relaxed) && !taken[i].exchange(true, std::memory_order_acquire)) {
      claim.begin(); // constructs it: its end is the thread's
      own_slot = i;
      return;
    }
  }
}

void reclaim_slots() noexcept {
  for (unsigned i = 0; i < taken.size(); ++i) {
    taken[i].store(i == own_slot, std::memory_order_relaxed);
  }
}

} // namespace sa::inline v0::detail
