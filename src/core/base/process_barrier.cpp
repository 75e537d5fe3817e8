// SPDX-License-Identifier: MIT
#include "core/base/process_barrier.hpp"

#include <cerrno>
#include <chrono>
#include <thread>

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace sa { inline namespace v0 { namespace detail {
namespace {

bool membarrier(int command) noexcept {
  const int before = errno;
  const bool done = ::syscall(SYS_membarrier, command, 0, 0) == 0;
  errno = before;
  return done;
}

} // namespace

bool has_process_barrier() noexcept {
  static const bool has = membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  return has;
}

void process_barrier() noexcept {
  if (!membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
    // Forbidden since (seccomp(2)). No processor keeps a store to itself for longer than this.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

}}} // namespace sa::v0::detail
