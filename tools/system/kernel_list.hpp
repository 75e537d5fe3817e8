// SPDX-License-Identifier: MIT
/// The kernel's own list of dma-bufs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "system/holders.hpp"

namespace sactl {

/// The kernel's list, /sys/kernel/debug/dma_buf/bufinfo (dma_buf_debug_show() in drivers/dma-buf/dma-buf.c).
struct KernelList {
  std::map<std::uint64_t, HeldBuffer> buffers; ///< by inode
  std::optional<KernelTotal> total;
  int error = 0;
};

/// @param text read into; it keeps its memory
[[nodiscard]] KernelList read_kernel_list(const std::string& path, std::string& text);

} // namespace sactl
