// SPDX-License-Identifier: MIT
#include <sa/dma_buf.hpp>

#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <fmt/format.h>

#include "core/base/failure.hpp"
#include "core/base/log.hpp"
#include "core/base/system_call.hpp"
#include "core/buffer/buffer.hpp"

// linux/dma-buf.h has these two since Linux 6.0; Debian 12 headers do, older distributions' do not.
#ifndef DMA_BUF_IOCTL_EXPORT_SYNC_FILE
struct dma_buf_export_sync_file {
  __u32 flags;
  __s32 fd;
};
struct dma_buf_import_sync_file {
  __u32 flags;
  __s32 fd;
};
#define DMA_BUF_IOCTL_EXPORT_SYNC_FILE _IOWR(DMA_BUF_BASE, 2, struct dma_buf_export_sync_file)
#define DMA_BUF_IOCTL_IMPORT_SYNC_FILE _IOW(DMA_BUF_BASE, 3, struct dma_buf_import_sync_file)
#endif

namespace sa { inline namespace v0 {

using detail::Buffer;
using detail::fail;
using detail::or_code;
using detail::or_throw;

namespace {

/// The buffer behind @p dma_buf; null, with EBADF, when it is empty.
Buffer* filled(const detail::BufferRef& ref, std::error_code& ec) {
  if (!ref) {
    fail(ec, EBADF, [] { return std::string("the object is empty: moved from, released, ended or never filled"); });
  }
  return ref.get();
}

/// The same, for an operation that needs @p access.
Buffer* filled(const detail::BufferRef& ref, Access access, std::error_code& ec) {
  Buffer* buffer = filled(ref, ec);
  if (buffer != nullptr) {
    buffer->check(access, ec);
  }
  return ec ? nullptr : buffer;
}

/// The same, for an operation that only a dma-buf has.
Buffer* fenced(const detail::BufferRef& ref, Access access, std::error_code& ec) {
  Buffer* buffer = filled(ref, ec);
  if (buffer != nullptr) {
    if (buffer->memory().descriptor != Descriptor::DmaBuf) {
      fail(ec, EOPNOTSUPP, [] { return std::string("only a dma-buf has fences; require the trait dma-buf of the heap"); });
    } else if (const auto bits = static_cast<unsigned>(access); bits == 0 || bits > 3) {
      fail(ec, EINVAL, [&] { return fmt::format("{} is not an access; it is read, write, or both", bits); });
    }
  }
  return ec ? nullptr : buffer;
}

int device_fd(const Buffer& buffer, std::error_code& ec) {
  if (buffer.device_fd() < 0) {
    fail(ec, EOPNOTSUPP,
         [] { return std::string("this memory has no descriptor that a device could take; send() can share it"); });
  }
  return buffer.device_fd();
}

UniqueFd duplicate(Buffer& buffer, std::error_code& ec) {
  const int fd = device_fd(buffer, ec);
  if (fd < 0) {
    return UniqueFd{};
  }
  buffer.give_away();
  UniqueFd copy{::fcntl(fd, F_DUPFD_CLOEXEC, 0)};
  if (!copy) {
    const int error = errno;
    fail(ec, error, "F_DUPFD_CLOEXEC");
  }
  return copy;
}

/// An operation on @p dma_buf by its name, for Error: "map 4096 bytes "frame"".
auto on(const char* verb, const DmaBuf& dma_buf) {
  return [verb, &dma_buf] {
    return dma_buf.name().empty() ? fmt::format("{} a buffer of {} bytes", verb, dma_buf.size())
                                  : fmt::format("{} the buffer \"{}\" of {} bytes", verb, dma_buf.name(), dma_buf.size());
  };
}

/// An errno of a sync_file ioctl, where a kernel that does not know it says ENOTTY.
int sync_file_error(int error) {
  return error == ENOTTY ? EOPNOTSUPP : error;
}

} // namespace

// Mapping

std::span<std::byte> Mapping::bytes() const noexcept {
  return buffer_ ? buffer_.get()->bytes() : std::span<std::byte>{};
}

// CpuAccess

CpuAccess& CpuAccess::operator=(CpuAccess&& other) noexcept {
  if (this != &other) {
    finish();
    buffer_ = std::move(other.buffer_);
    access_ = other.access_;
  }
  return *this;
}

CpuAccess::~CpuAccess() {
  finish();
}

std::span<std::byte> CpuAccess::bytes() const& noexcept {
  return buffer_ ? buffer_.get()->bytes() : std::span<std::byte>{};
}

void CpuAccess::end() {
  or_throw(
      buffer_ ? std::string(buffer_.get()->heap()) : std::string(), [] { return std::string("end CPU access"); },
      [&](std::error_code& ec) { end(ec); });
}

void CpuAccess::end(std::error_code& ec) noexcept {
  or_code(ec, [&] {
    const detail::BufferRef held = std::move(buffer_);
    if (Buffer* buffer = filled(held, ec); buffer != nullptr) {
      buffer->sync(DMA_BUF_SYNC_END, access_, ec);
    }
  });
}

void CpuAccess::finish() noexcept {
  if (!buffer_) {
    return;
  }
  const detail::BufferRef held = std::move(buffer_); // its name is for the log
  std::error_code ec;
  or_code(ec, [&] { held.get()->sync(DMA_BUF_SYNC_END, access_, ec); });
  if (ec) {
    detail::log_warning([&] {
      return fmt::format("ending CPU access to \"{}\" ({}) failed: {}; a device may see stale pixels", held.get()->name(),
                         held.get()->heap(), ec.message());
    });
  }
}

// DmaBuf

int DmaBuf::fd() const noexcept {
  if (!buffer_) {
    return -1;
  }
  buffer_.get()->give_away(); // to whom, and until when, the caller alone knows
  return buffer_.get()->device_fd();
}

int DmaBuf::memfd() const noexcept {
  if (!buffer_) {
    return -1;
  }
  return buffer_.get()->give_memfd_away();
}

std::size_t DmaBuf::size() const noexcept {
  return buffer_ ? buffer_.get()->memory().size : 0;
}

std::string_view DmaBuf::name() const noexcept {
  return buffer_ ? buffer_.get()->name() : std::string_view{};
}

std::string_view DmaBuf::heap() const noexcept {
  return buffer_ ? buffer_.get()->heap() : std::string_view{};
}

std::string_view DmaBuf::claimed_heap() const noexcept {
  return buffer_ ? buffer_.get()->claimed_heap() : std::string_view{};
}

std::optional<BufferId> DmaBuf::id() const noexcept {
  struct stat status {};
  if (!buffer_ || buffer_.get()->device_fd() < 0 || ::fstat(buffer_.get()->device_fd(), &status) < 0) {
    return std::nullopt;
  }
  return BufferId{status.st_dev, status.st_ino};
}

Traits DmaBuf::traits() const noexcept {
  return buffer_ ? buffer_.get()->memory().traits : Traits{};
}

std::optional<std::uint64_t> DmaBuf::phys_addr() const noexcept {
  return buffer_ ? buffer_.get()->memory().phys_addr : std::nullopt;
}

CpuAccess DmaBuf::access(Access access) const {
  return or_throw([&] { return heap(); }, on("access", *this), [&](std::error_code& ec) { return this->access(access, ec); });
}

CpuAccess DmaBuf::access(Access access, std::error_code& ec) const noexcept {
  return or_code(ec, [&]() -> CpuAccess {
    Buffer* buffer = filled(buffer_, access, ec);
    if (buffer == nullptr) {
      return {};
    }
    buffer->map(access, ec);
    if (!ec) {
      buffer->sync(DMA_BUF_SYNC_START, access, ec);
    }
    return ec ? CpuAccess{} : CpuAccess{buffer_, access};
  });
}

CpuAccess DmaBuf::access(Access access, std::chrono::milliseconds timeout) const {
  return or_throw([&] { return heap(); }, on("access", *this),
                  [&](std::error_code& ec) { return this->access(access, timeout, ec); });
}

CpuAccess DmaBuf::access(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept {
  return or_code(ec, [&]() -> CpuAccess {
    Buffer* buffer = filled(buffer_, access, ec);
    if (buffer == nullptr) {
      return {};
    }
    if (buffer->memory().descriptor == Descriptor::DmaBuf) {
      buffer->wait(access, timeout, ec);
    } else if (timeout < std::chrono::milliseconds::zero()) {
      fail(ec, EINVAL, [] { return std::string("a negative timeout"); });
    }
    return ec ? CpuAccess{} : this->access(access, ec);
  });
}

Mapping DmaBuf::map_unsynchronized(Access access) const {
  return or_throw([&] { return heap(); }, on("map", *this), [&](std::error_code& ec) { return map_unsynchronized(access, ec); });
}

Mapping DmaBuf::map_unsynchronized(Access access, std::error_code& ec) const noexcept {
  return or_code(ec, [&]() -> Mapping {
    Buffer* buffer = filled(buffer_, access, ec);
    if (buffer == nullptr) {
      return {};
    }
    buffer->map(access, ec);
    return ec ? Mapping{} : Mapping{buffer_};
  });
}

void DmaBuf::begin_cpu_access(Access access) const {
  or_throw([&] { return heap(); }, on("begin CPU access to", *this), [&](std::error_code& ec) { begin_cpu_access(access, ec); });
}

void DmaBuf::begin_cpu_access(Access access, std::error_code& ec) const noexcept {
  or_code(ec, [&] {
    if (Buffer* buffer = filled(buffer_, access, ec); buffer != nullptr) {
      buffer->sync(DMA_BUF_SYNC_START, access, ec);
    }
  });
}

void DmaBuf::end_cpu_access(Access access) const {
  or_throw([&] { return heap(); }, on("end CPU access to", *this), [&](std::error_code& ec) { end_cpu_access(access, ec); });
}

void DmaBuf::end_cpu_access(Access access, std::error_code& ec) const noexcept {
  or_code(ec, [&] {
    if (Buffer* buffer = filled(buffer_, access, ec); buffer != nullptr) {
      buffer->sync(DMA_BUF_SYNC_END, access, ec);
    }
  });
}

void DmaBuf::wait(Access access, std::chrono::milliseconds timeout) const {
  or_throw([&] { return heap(); }, on("wait for", *this), [&](std::error_code& ec) { wait(access, timeout, ec); });
}

void DmaBuf::wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept {
  or_code(ec, [&] {
    if (Buffer* buffer = fenced(buffer_, access, ec); buffer != nullptr) {
      buffer->wait(access, timeout, ec);
    }
  });
}

UniqueFd DmaBuf::export_sync_file(Access access) const {
  return or_throw([&] { return heap(); }, on("export the fences of", *this),
                  [&](std::error_code& ec) { return export_sync_file(access, ec); });
}

UniqueFd DmaBuf::export_sync_file(Access access, std::error_code& ec) const noexcept {
  return or_code(ec, [&] {
    Buffer* buffer = fenced(buffer_, access, ec);
    if (buffer == nullptr) {
      return UniqueFd{};
    }
    dma_buf_export_sync_file argument{};
    argument.flags = static_cast<__u32>(access);
    argument.fd = -1;
    if (detail::restarted([&] { return ::ioctl(buffer->device_fd(), DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &argument); }) < 0) {
      const int error = sync_file_error(errno);
      fail(ec, error, "DMA_BUF_IOCTL_EXPORT_SYNC_FILE");
      return UniqueFd{};
    }
    return UniqueFd{argument.fd};
  });
}

void DmaBuf::import_sync_file(Access access, int sync_file) const {
  or_throw([&] { return heap(); }, on("add a fence to", *this),
           [&](std::error_code& ec) { import_sync_file(access, sync_file, ec); });
}

void DmaBuf::import_sync_file(Access access, int sync_file, std::error_code& ec) const noexcept {
  or_code(ec, [&] {
    Buffer* buffer = fenced(buffer_, access, ec);
    if (buffer == nullptr) {
      return;
    }
    buffer->give_away(); // a job may be at work behind the fence
    dma_buf_import_sync_file argument{};
    argument.flags = static_cast<__u32>(access);
    argument.fd = sync_file;
    if (detail::restarted([&] { return ::ioctl(buffer->device_fd(), DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &argument); }) < 0) {
      const int error = sync_file_error(errno);
      fail(ec, error, "DMA_BUF_IOCTL_IMPORT_SYNC_FILE");
    }
  });
}

void DmaBuf::set_name(std::string_view name) {
  or_throw([&] { return heap(); }, on("name", *this), [&](std::error_code& ec) { set_name(name, ec); });
}

void DmaBuf::set_name(std::string_view name, std::error_code& ec) noexcept {
  or_code(ec, [&] {
    if (Buffer* buffer = filled(buffer_, ec); buffer != nullptr) {
      detail::check_name(name, ec);
      if (!ec) {
        buffer->set_name(name);
      }
    }
  });
}

UniqueFd DmaBuf::dup() const {
  return or_throw([&] { return heap(); }, on("duplicate", *this), [&](std::error_code& ec) { return dup(ec); });
}

UniqueFd DmaBuf::dup(std::error_code& ec) const noexcept {
  return or_code(ec, [&] {
    Buffer* buffer = filled(buffer_, ec);
    return buffer == nullptr ? UniqueFd{} : duplicate(*buffer, ec);
  });
}

UniqueFd DmaBuf::release() {
  return or_throw([&] { return heap(); }, on("release", *this), [&](std::error_code& ec) { return release(ec); });
}

UniqueFd DmaBuf::release(std::error_code& ec) noexcept {
  return or_code(ec, [&] {
    Buffer* buffer = filled(buffer_, ec);
    if (buffer == nullptr || device_fd(*buffer, ec) < 0) {
      return UniqueFd{};
    }
    UniqueFd fd = buffer->sole() ? buffer->take_fd() : duplicate(*buffer, ec);
    if (!ec) {
      reset();
    }
    return fd;
  });
}

}} // namespace sa::v0
