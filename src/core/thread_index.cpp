// SPDX-License-Identifier: MIT
#include "core/thread_index.hpp"

#include <atomic>

namespace sa::inline v0::detail {
namespace {

std::atomic<unsigned> threads{0};
/// One more than the index; 0 before the thread has one. Initial-exec: read without a call, also in a shared library.
[[gnu::tls_model("initial-exec")]] thread_local unsigned own = 0;

} // namespace

unsigned thread_index() noexcept {
  if (own == 0) [[unlikely]] {
    own = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  return own - 1;
}

} // namespace sa::inline v0::detail
