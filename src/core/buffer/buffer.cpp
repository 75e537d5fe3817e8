// SPDX-License-Identifier: MIT
#include "core/buffer/buffer.hpp"

#include <algorithm>
#include <climits>
#include <cstring>

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/system_call.hpp"

namespace sa { inline namespace v0 {

DmaBuf Handover::make(Memory memory, std::shared_ptr<const std::string> heap, detail::Buffer::Origin origin,
                      detail::Buffer::Writing writing) {
  return DmaBuf{detail::BufferRef{new detail::Buffer(std::move(memory), std::move(heap), origin, writing)}};
}

namespace detail {

void hold(Buffer& buffer) noexcept {
  buffer.hold();
}

void drop(Buffer& buffer) noexcept {
  buffer.drop();
}

Buffer::Buffer(Memory memory, std::shared_ptr<const std::string> heap, Origin origin, Writing writing) noexcept
    : origin_(origin), writing_(writing), memory_(std::move(memory)), heap_(std::move(heap)) {
  bytes_.store(memory_.mapping.bytes(), std::memory_order_relaxed);
}

Buffer::~Buffer() {
  if (auto* bytes = bytes_.load(std::memory_order_relaxed); bytes != memory_.mapping.bytes()) {
    ::munmap(bytes, memory_.size); // mapped by map()
  }
}

void Buffer::drop() noexcept {
  // The only holder is nearly always the last one: no other holder can appear, and a load is a fraction of a locked
  // instruction.
  if (!sole()) {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) {
      return;
    }
    references_.store(1, std::memory_order_relaxed); // as the next holder finds it
  }
  if (slip_.recycler != nullptr) {
    if (!attachments_.empty()) {
      attachments_.end_use(); // before anybody can acquire the buffer again
    }
    slip_.recycler->recycle(*this);
  } else {
    delete this;
  }
}

void Buffer::join_pool(PoolSlip slip, unsigned epoch, Traits traits) noexcept {
  slip_ = std::move(slip);
  place_.epoch = epoch;
  memory_.traits = traits;
  attachments_.belong_to_memory();
}

bool Buffer::writable() const noexcept {
  Writing writing = writing_.load(std::memory_order_relaxed);
  if (writing == Writing::Unasked) { // a descriptor's mode never changes: every thread gets the same answer
    writing = (::fcntl(memory_.fd.get(), F_GETFL) & O_ACCMODE) == O_RDWR ? Writing::Allowed : Writing::Forbidden;
    writing_.store(writing, std::memory_order_relaxed);
  }
  return writing == Writing::Allowed;
}

void Buffer::map(Access access, std::error_code& ec) noexcept {
  if (bytes_.load(std::memory_order_acquire) != nullptr) {
    return;
  }
  if (memory_.traits.contains(Trait::Protected)) {
    fail(ec, EOPNOTSUPP, [] { return std::string("the CPU cannot map protected memory; only devices reach it"); });
    return;
  }
  const int fd = memory_.map_fd ? memory_.map_fd.get() : memory_.fd.get();
  const int protection = writable() ? PROT_READ | PROT_WRITE : PROT_READ;
  void* address = ::mmap(nullptr, memory_.size, protection, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED && errno == EPERM && protection != PROT_READ) {
    // Somebody has sealed the memory file against writing since it came (fcntl(2), F_SEAL_FUTURE_WRITE).
    writing_.store(Writing::Forbidden, std::memory_order_relaxed);
    check(access, ec);
    if (ec) {
      return;
    }
    address = ::mmap(nullptr, memory_.size, PROT_READ, MAP_SHARED, fd, 0);
  }
  if (address == MAP_FAILED) {
    const int error = errno;
    fail(ec, error, [&] { return kernel_said(fmt::format("mmap of {} bytes", memory_.size), error); });
    return;
  }
  std::byte* expected = nullptr;
  if (!bytes_.compare_exchange_strong(expected, static_cast<std::byte*>(address), std::memory_order_acq_rel)) {
    ::munmap(address, memory_.size); // another thread was first
  }
}

std::span<std::byte> Buffer::bytes() const noexcept {
  return {bytes_.load(std::memory_order_acquire), memory_.size};
}

void Buffer::check(Access access, std::error_code& ec) const {
  const auto bits = static_cast<unsigned>(access);
  if (bits == 0 || bits > static_cast<unsigned>(Access::ReadWrite)) {
    fail(ec, EINVAL, [&] { return fmt::format("{} is not an access; it is read, write, or both", bits); });
  } else if ((bits & static_cast<unsigned>(Access::Write)) != 0 && !writable()) {
    fail(ec, EACCES, [] {
      return std::string(
          "the buffer is read-only: its descriptor is, or it was sealed against writing; ask its owner for a writable one");
    });
  }
}

void Buffer::sync(std::uint64_t edge, Access access, std::error_code& ec) const {
  static_assert(DMA_BUF_SYNC_READ == static_cast<unsigned>(Access::Read));
  static_assert(DMA_BUF_SYNC_WRITE == static_cast<unsigned>(Access::Write));
  if (memory_.descriptor != Descriptor::DmaBuf) {
    return; // coherent: what the CPU wrote is there
  }
  dma_buf_sync argument{};
  argument.flags = edge | static_cast<std::uint64_t>(access);
  if (restarted([&] { return ::ioctl(memory_.fd.get(), DMA_BUF_IOCTL_SYNC, &argument); }) < 0) {
    const int error = errno;
    fail(ec, error, "DMA_BUF_IOCTL_SYNC");
  }
}

void Buffer::wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const {
  using clock = std::chrono::steady_clock;
  if (timeout < std::chrono::milliseconds::zero()) {
    fail(ec, EINVAL, [&] { return fmt::format("a timeout of {} ms; 0 looks, more waits", timeout.count()); });
    return;
  }
  // Longer than a lifetime; keeps the sum below from overflowing.
  const auto bounded = std::min<std::chrono::milliseconds>(timeout, std::chrono::hours(24 * 365 * 100));
  pollfd poll_fd{memory_.fd.get(), static_cast<short>(access == Access::Read ? POLLIN : POLLOUT), 0};
  if (::poll(&poll_fd, 1, 0) > 0) { // as a rule no device works on it, and no clock is needed, which can be a system call, too
    return;
  }
  const auto deadline = clock::now() + bounded;
  for (auto left = bounded;;) {
    const int wait_ms = static_cast<int>(std::min<std::chrono::milliseconds::rep>(left.count(), INT_MAX));
    const int ready = ::poll(&poll_fd, 1, wait_ms);
    if (ready > 0) {
      return;
    }
    if (ready < 0 && errno != EINTR) {
      const int error = errno;
      fail(ec, error, "poll");
      return;
    }
    // Rounded up: a wait that ends early would report a timeout before its time.
    left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now());
    if (left <= std::chrono::milliseconds::zero()) {
      fail(ec, ETIMEDOUT, [&] {
        return fmt::format("a device still uses the buffer after {} ms; its fence has not been signalled", timeout.count());
      });
      return;
    }
  }
}

int Buffer::give_memfd_away() noexcept {
  const UniqueFd& memfd = memory_.descriptor == Descriptor::Memfd ? memory_.fd : memory_.map_fd;
  if (memfd) {
    given_.store(Given::Memfd, std::memory_order_relaxed);
  }
  return memfd.get();
}

void Buffer::set_name(std::string_view name) noexcept {
  remember_name(name);
  if (memory_.descriptor == Descriptor::DmaBuf) {
    std::array<char, max_name_length + 1> terminated{};
    std::copy(name.begin(), name.end(), terminated.begin());
    // Best effort: kernels before 5.3 cannot.
    restarted([&] { return ::ioctl(memory_.fd.get(), DMA_BUF_SET_NAME, terminated.data()); });
  }
}

void check_name(std::string_view name, std::error_code& ec) {
  if (name.size() > max_name_length) {
    fail(ec, ENAMETOOLONG, [&] { return fmt::format("a name of {} bytes; the kernel takes {}", name.size(), max_name_length); });
  } else if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    fail(ec, EINVAL, [] { return std::string("a control character in the name; it would break every list it is shown in"); });
  }
}

} // namespace detail
}} // namespace sa::v0
