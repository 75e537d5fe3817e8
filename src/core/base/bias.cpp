// SPDX-License-Identifier: MIT
#include "core/base/bias.hpp"

#include "core/base/process_barrier.hpp"
#include "core/base/spin_lock.hpp"

namespace sa { inline namespace v0 { namespace detail {

void Bias::revoke() noexcept {
  calm_ = 0;
  if (on_.load(std::memory_order_relaxed)) {
    on_.store(false, std::memory_order_relaxed);
    process_barrier(); // the owner has seen that, or what it did before it looked is seen here
    wait_while([&] { return inside_.load(std::memory_order_acquire); });
  }
}

void Bias::note_owner() noexcept {
  constexpr unsigned short enough = 256; // a barrier, spread over so many rounds, is less than what they spare
  if (!on() && ++calm_ >= enough && has_process_barrier()) {
    on_.store(true, std::memory_order_relaxed);
  }
}

}}} // namespace sa::v0::detail
