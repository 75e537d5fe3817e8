// SPDX-License-Identifier: MIT
#include "core/buffer/zero.hpp"

#include <cstdint>
#include <cstring>

#include <linux/dma-buf.h>

#include "core/buffer/buffer.hpp"
#include "core/buffer/unshared.hpp"

namespace sa { inline namespace v0 { namespace detail {

void zero(void* address, std::size_t size, Traits traits) noexcept {
  if (!traits.contains(Trait::DeviceMemory)) {
    std::memset(address, 0, size);
    return;
  }
  // By aligned stores of one width, which every kind of mapping takes.
  auto* words = static_cast<volatile std::uint64_t*>(address);
  for (std::size_t i = 0; i < size / sizeof(std::uint64_t); ++i) {
    words[i] = 0;
  }
}

bool zero(Buffer& buffer) noexcept {
  std::error_code ec;
  try {
    if (buffer.memory().traits.contains(Trait::Protected) || !idle(buffer)) { // SYNC would wait, without end
      return false;
    }
    buffer.map(Access::Write, ec);
    if (!ec) {
      buffer.sync(DMA_BUF_SYNC_START, Access::Write, ec);
    }
    if (!ec) {
      zero(buffer.bytes().data(), buffer.bytes().size(), buffer.memory().traits);
      buffer.sync(DMA_BUF_SYNC_END, Access::Write, ec);
    }
  } catch (...) { // the sentence of a failure, when memory ran out
    return false;
  }
  return !ec;
}

}}} // namespace sa::v0::detail
