// SPDX-License-Identifier: MIT
#pragma once

#include <doctest/doctest.h>

#include <fcntl.h>
#include <linux/types.h>
#include <sys/ioctl.h>

#include <sa/unique_fd.hpp>

namespace guest {

/// A fence that the test signals (drivers/dma-buf/sw_sync.c).
class Timeline {
public:
  Timeline() : fd_(::open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC)) { REQUIRE(fd_); }
  [[nodiscard]] sa::UniqueFd fence(unsigned value) const {
    struct {
      __u32 value;
      char name[32];
      __s32 fence;
    } create{value, "test", -1};
    REQUIRE(::ioctl(fd_.get(), _IOWR('W', 0, decltype(create)), &create) == 0);
    return sa::UniqueFd{create.fence};
  }
  void signal() const {
    __u32 step = 1;
    REQUIRE(::ioctl(fd_.get(), _IOW('W', 1, __u32), &step) == 0);
  }

private:
  sa::UniqueFd fd_;
};

} // namespace guest
