// SPDX-License-Identifier: MIT
#include "core/buffer/unshared.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <optional>
#include <string_view>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "core/base/system_call.hpp"
#include "core/buffer/buffer.hpp"

namespace sa { inline namespace v0 { namespace detail {
namespace {

/// References to the dma-buf of @p buffer: descriptors in every process and in flight, mappings, imports by devices
/// (dma_buf_show_fdinfo() in drivers/dma-buf/dma-buf.c). The kernel makes the file again for each read from its start (seq_file).
std::optional<long> count_of(Buffer& buffer) noexcept {
  if (!buffer.fdinfo()) {
    std::array<char, 40> path{};
    std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", buffer.memory().fd.get());
    buffer.fdinfo() = UniqueFd{uninterrupted([&] { return ::open(path.data(), O_RDONLY | O_CLOEXEC); })};
  }
  // pos, flags, mnt_id, ino, size, count, exp_name, name: the names are the last, and the longest may be cut.
  std::array<char, 512> text{};
  const ssize_t length =
      buffer.fdinfo() ? uninterrupted([&] { return ::pread(buffer.fdinfo().get(), text.data(), text.size(), 0); }) : -1;
  if (length <= 0) {
    return std::nullopt;
  }
  constexpr std::string_view key = "\ncount:\t";
  const std::string_view info(text.data(), static_cast<std::size_t>(length));
  const std::size_t at = info.find(key);
  if (at == std::string_view::npos) {
    return std::nullopt;
  }
  long count = 0;
  const char* const end = text.data() + length;
  const auto [stop, error] = std::from_chars(text.data() + at + key.size(), end, count);
  if (error != std::errc{} || stop == end || *stop != '\n') {
    return std::nullopt;
  }
  return count;
}

} // namespace

bool idle(const Buffer& buffer) noexcept {
  const Memory& memory = buffer.memory();
  if (memory.descriptor != Descriptor::DmaBuf) {
    return true;
  }
  pollfd fences{memory.fd.get(), POLLOUT, 0}; // every fence, readers' too
  return uninterrupted([&] { return ::poll(&fences, 1, 0); }) == 1 && fences.revents == POLLOUT;
}

Sharing sharing_of(Buffer& buffer) noexcept {
  const Memory& memory = buffer.memory();
  if (!memory.count_tells || buffer.given() == Buffer::Given::Memfd || memory.descriptor != Descriptor::DmaBuf || !memory.fd) {
    return Sharing::Unknown;
  }
  const std::optional<long> count = count_of(buffer);
  if (!count) {
    return Sharing::Unknown;
  }
  const long own = 1 + (buffer.mapped() && !memory.map_fd ? 1 : 0); // a mapping of map_fd is none of the dma-buf
  // In this order: a device that has let go of the buffer cannot add a fence any more.
  return *count == own && idle(buffer) ? Sharing::Alone : Sharing::Shared;
}

}}} // namespace sa::v0::detail
