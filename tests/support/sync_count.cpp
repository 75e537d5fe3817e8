// SPDX-License-Identifier: MIT
#include "support/sync_count.hpp"

#include <atomic>
#include <cstdarg>

#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

std::atomic<int> starts{0};
std::atomic<int> ends{0};
std::atomic<unsigned> directions{0};

} // namespace

extern "C" __attribute__((visibility("default"))) int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (request == DMA_BUF_IOCTL_SYNC) {
    const auto flags = static_cast<const dma_buf_sync*>(argument)->flags;
    ((flags & DMA_BUF_SYNC_END) != 0 ? ends : starts).fetch_add(1);
    directions.fetch_or(static_cast<unsigned>(flags & DMA_BUF_SYNC_RW));
  }
  return static_cast<int>(::syscall(SYS_ioctl, fd, request, argument));
}

namespace support {

SyncCount sync_count() {
  return {starts.load(), ends.load(), directions.load()};
}

void reset_sync_count() {
  starts = 0;
  ends = 0;
  directions = 0;
}

} // namespace support
