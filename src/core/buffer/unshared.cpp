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

/// References to the dma-buf behind @p fd: descriptors in every process and in flight, mappings, imports by devices
/// (dma_buf_show_fdinfo() in drivers/dma-buf/dma-buf.c).
std::optional<long> count_of(int fd) noexcept {
  std::array<char, 40> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", fd);
  const UniqueFd file{uninterrupted([&] { return ::open(path.data(), O_RDONLY | O_CLOEXEC); })};
  // pos, flags, mnt_id, ino, size, count, exp_name, name: the names are the last, and the longest may be cut.
  std::array<char, 512> text{};
  const ssize_t length = file ? uninterrupted([&] { return ::read(file.get(), text.data(), text.size()); }) : -1;
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

bool unshared(const Buffer& buffer) noexcept {
  const Memory& memory = buffer.memory();
  if (!memory.count_tells || memory.descriptor != Descriptor::DmaBuf || !memory.fd) {
    return false;
  }
  const long own = 1 + (buffer.mapped() && !memory.map_fd ? 1 : 0); // a mapping of map_fd is none of the dma-buf
  // In this order: who has let go of it cannot add a fence any more.
  return count_of(memory.fd.get()) == own && idle(buffer);
}

}}} // namespace sa::v0::detail
