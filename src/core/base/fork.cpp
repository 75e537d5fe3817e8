// SPDX-License-Identifier: MIT
#include "core/base/fork.hpp"

#include <atomic>

#include <pthread.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

std::atomic<unsigned> generation{0};

// Beside the function that reads it, so that a static archive cannot lose it.
[[maybe_unused]] const int registered =
    ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

} // namespace

unsigned fork_generation() noexcept {
  return generation.load(std::memory_order_relaxed);
}

}}} // namespace sa::v0::detail
