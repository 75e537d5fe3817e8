// SPDX-License-Identifier: MIT
/// @file dma_buf.hpp
/// One buffer, whatever heap it came from, and the two ways to touch it: Mapping and CpuAccess.
///
/// A buffer is mapped at most once, however many Mappings and CpuAccesses it has, and stays mapped until it is freed.
/// DmaBuf, Mapping and CpuAccess each hold the buffer: its memory is given back when the last of them has ended.
///
/// Threads: different threads may use distinct DmaBuf, Mapping and CpuAccess objects at once, also when these share one buffer.
/// Threads that use the same object need a lock of their own.
///
/// Errors: every function with a trailing std::error_code& is the noexcept twin of the throwing one (see error.hpp). It
/// reports ENOMEM also when the library runs out of memory for its own bookkeeping.
#pragma once

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include <sa/error.hpp>
#include <sa/export.hpp>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

namespace detail {

class Buffer;
SA_API void hold(Buffer& buffer) noexcept;
SA_API void drop(Buffer& buffer) noexcept;

/// One reference to the state that DmaBuf, Mapping and CpuAccess share.
class BufferRef {
public:
  BufferRef() noexcept = default;
  explicit BufferRef(Buffer* owned) noexcept : buffer_(owned) {}
  BufferRef(const BufferRef& other) noexcept : buffer_(other.buffer_) {
    if (buffer_ != nullptr) {
      hold(*buffer_);
    }
  }
  BufferRef(BufferRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef() {
    if (buffer_ != nullptr) {
      drop(*buffer_);
    }
  }
  [[nodiscard]] Buffer* get() const noexcept { return buffer_; }
  /// The reference is the caller's; this object is empty.
  [[nodiscard]] Buffer* release() noexcept { return std::exchange(buffer_, nullptr); }
  explicit operator bool() const noexcept { return buffer_ != nullptr; }

private:
  Buffer* buffer_ = nullptr;
};

} // namespace detail

/// The buffer's memory, mapped in this process. A Mapping does no cache maintenance: the caller brackets its accesses
/// with DmaBuf::begin_cpu_access() and DmaBuf::end_cpu_access(), or uses DmaBuf::access() instead.
class SA_API Mapping {
public:
  /// Empty: bytes() is empty.
  Mapping() noexcept = default;

  /// All DmaBuf::size() bytes of the buffer, valid as long as any holder of the buffer lives. Writing through a Mapping
  /// made for Access::Read is an error of the program; where the buffer is read-only it is SIGSEGV.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept;

private:
  friend class DmaBuf;
  explicit Mapping(detail::BufferRef buffer) noexcept : buffer_(std::move(buffer)) {}
  detail::BufferRef buffer_;
};

/// A period in which the CPU may access the buffer: DMA_BUF_IOCTL_SYNC START when the object is made, END, in the same
/// direction, when it ends (linux/dma-buf.h; Documentation/driver-api/dma-buf.rst, "CPU Access to DMA Buffer Objects").
/// On memory that is always coherent it makes no system call.
///
/// End the access before a device gets the buffer (VIDIOC_QBUF, an atomic commit): neither the kernel nor the library
/// notices a device that works during a CPU access, and on hardware with caches it then sees stale pixels.
///
///     {
///       const sa::CpuAccess cpu = frame.access(sa::Access::Write);
///       std::ranges::fill(cpu.bytes(), std::byte{0xff});
///     } // ended here
///     queue(camera, frame.fd());
class SA_API CpuAccess {
public:
  /// Empty: bytes() is empty, end() reports EBADF.
  CpuAccess() noexcept = default;
  CpuAccess(CpuAccess&& other) noexcept = default;
  /// Ends the access that this object held, then takes the other's. A failure to end is logged.
  CpuAccess& operator=(CpuAccess&& other) noexcept;
  /// Ends the access; a failure is logged.
  ~CpuAccess();

  /// Whether the access still lasts.
  explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }

  /// All bytes of the buffer while the access lasts; empty afterwards and after a move. A temporary has no bytes(),
  /// since its access ends with the statement: give the access a name.
  [[nodiscard]] std::span<std::byte> bytes() const& noexcept;
  std::span<std::byte> bytes() const&& = delete;

  /// Ends the access now. The object is empty afterwards, also on failure.
  /// @throws Error EBADF: the object is empty. Any other code: DMA_BUF_IOCTL_SYNC failed.
  void end();
  void end(std::error_code& ec) noexcept;

private:
  friend class DmaBuf;
  CpuAccess(detail::BufferRef buffer, Access access) noexcept : buffer_(std::move(buffer)), access_(access) {}
  SA_PRIVATE void finish() noexcept;
  detail::BufferRef buffer_;
  Access access_ = Access::Read;
};

/// The identity of a buffer's memory on this machine. It is the same for every descriptor of the memory in every
/// process, so a receiver can find the objects again that it made for the buffer earlier (a framebuffer, a texture). It
/// is unique among buffers that some process holds; once the memory is freed, the kernel may use the numbers again.
struct BufferId {
  std::uint64_t device = 0; ///< st_dev of the descriptor (stat(2))
  std::uint64_t inode = 0;  ///< st_ino of the descriptor; `sactl alloc` and the kernel's list of dma-bufs show it
  friend constexpr auto operator<=>(const BufferId&, const BufferId&) noexcept = default;
};

/// Owns one buffer. Moved-from, default-constructed and released objects are empty: fd() is -1, size() is 0, name() and
/// heap() are "", and every operation that can fail reports EBADF.
class SA_API DmaBuf final {
public:
  DmaBuf() noexcept = default;
  DmaBuf(DmaBuf&&) noexcept = default;
  DmaBuf& operator=(DmaBuf&&) noexcept = default;
  ~DmaBuf() = default;

  /// Takes a buffer that was made elsewhere. Accepted are a dma-buf (known by its file system, DMA_BUF_MAGIC in
  /// linux/magic.h) and a memfd that is sealed against shrinking (fcntl(2), F_SEAL_SHRINK); a memfd that can be sealed
  /// is sealed. The size is that of the file, traits() has the traits that the descriptor shows, heap() is "import" and
  /// name() is empty. Access follows the mode of the descriptor: a read-only one refuses Access::Write with EACCES.
  ///
  /// A memfd of huge pages (MFD_HUGETLB) can lose pages while it is mapped, by fallocate(2) with FALLOC_FL_PUNCH_HOLE,
  /// and its users then die of SIGBUS. If it is not sealed against writing (F_SEAL_WRITE, F_SEAL_FUTURE_WRITE), it is
  /// accepted only when this process' user or root made it (st_uid): they are trusted, as is everybody to whom they
  /// gave it. `memfd:huge` makes such memory.
  ///
  /// A descriptor of any other file is refused without a call to its file system, which may be a daemon that never
  /// answers (FUSE). If even close(2) waits for that daemon, a thread of the library waits instead of the caller. The
  /// process then runs on, but it can end only after the file system has answered or is gone.
  /// @param fd the descriptor; the library owns it from here on, and closes it when the import is refused
  /// @throws Error EBADF: not a descriptor. EINVAL: neither a dma-buf nor a memfd that cannot shrink, or of size 0, or
  ///         another user's memfd of huge pages.
  [[nodiscard]] static DmaBuf import(UniqueFd fd);
  [[nodiscard]] static DmaBuf import(UniqueFd fd, std::error_code& ec) noexcept;

  /// Whether it holds a buffer.
  explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }

  /// The buffer's descriptor, borrowed: it is valid while the buffer lives, and the caller must not close it. -1: the memory
  /// has no descriptor that a device could take (a carveout through /dev/mem).
  [[nodiscard]] int fd() const noexcept;

  /// The memory file behind the buffer: on a memfd heap the descriptor itself, on a udmabuf heap the file from which
  /// the dma-buf was made. Programs that do not know dma-bufs can read, write and map it. Borrowed, as fd() is. -1:
  /// there is no memory file.
  [[nodiscard]] int memfd() const noexcept;

  /// The buffer's size in bytes: the requested size, rounded up to the heap's granularity.
  [[nodiscard]] std::size_t size() const noexcept;

  /// The buffer's name; "" for none. Valid until set_name() or the end of the buffer.
  [[nodiscard]] std::string_view name() const noexcept;

  /// The canonical name of the heap that made the buffer in this process, or that took it over from a peer by a checked
  /// handle (Heap::accept()). "import" for every other buffer that came from elsewhere.
  [[nodiscard]] std::string_view heap() const noexcept;

  /// For a received buffer, the name of the heap that the sender gave. The library cannot check it, so use it only as
  /// information for people. For every other buffer the same as heap().
  [[nodiscard]] std::string_view claimed_heap() const noexcept;

  /// The identity of the buffer's memory, by one fstat(2). Unlike fd(), it does not count as giving the buffer away.
  /// Nothing for an empty object, and for memory without a descriptor of its own (a carveout through /dev/mem), whose
  /// identity is phys_addr().
  [[nodiscard]] std::optional<BufferId> id() const noexcept;

  /// The traits of this buffer's memory.
  [[nodiscard]] Traits traits() const noexcept;

  /// The physical address of the buffer in bytes; nothing without Trait::PhysAddr. It is a CPU address: a device behind an
  /// IOMMU uses another one.
  [[nodiscard]] std::optional<std::uint64_t> phys_addr() const noexcept;

  /// Maps the buffer (once) and begins CPU access. It waits without a time limit for the fences of devices that use the
  /// buffer in a conflicting way.
  /// @throws Error EBADF: an empty object. EINVAL: not an Access. EACCES: Write on a read-only buffer. ENOMEM, EPERM:
  ///         mmap(2) failed.
  [[nodiscard]] CpuAccess access(Access access) const;
  [[nodiscard]] CpuAccess access(Access access, std::error_code& ec) const noexcept;

  /// Maps the buffer (once) and begins CPU access, after waiting at most @p timeout for the fences that the buffer has
  /// now. A negative timeout is EINVAL. For a fence that is added between this wait and the start, it waits without a
  /// time limit.
  /// @throws Error ETIMEDOUT: a device still used the buffer. Else as access(Access).
  [[nodiscard]] CpuAccess access(Access access, std::chrono::milliseconds timeout) const;
  [[nodiscard]] CpuAccess access(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept;

  /// Maps the buffer (once), without cache maintenance: the caller brackets its accesses with begin_cpu_access() and
  /// end_cpu_access().
  /// @throws Error as access()
  [[nodiscard]] Mapping map_unsynchronized(Access access = Access::ReadWrite) const;
  [[nodiscard]] Mapping map_unsynchronized(Access access, std::error_code& ec) const noexcept;
  [[nodiscard]] Mapping map_unsynchronized(std::error_code& ec) const noexcept {
    return map_unsynchronized(Access::ReadWrite, ec);
  }

  /// Begins CPU access: DMA_BUF_IOCTL_SYNC START, without a system call on memory that is always coherent. EINTR and
  /// EAGAIN are retried. It waits as access() does, and maps nothing.
  /// @throws Error EINVAL: not an Access. EACCES: Write on a read-only buffer.
  void begin_cpu_access(Access access) const;
  void begin_cpu_access(Access access, std::error_code& ec) const noexcept;

  /// Ends CPU access: DMA_BUF_IOCTL_SYNC END. @p access must be that of begin_cpu_access().
  /// @throws Error as begin_cpu_access()
  void end_cpu_access(Access access) const;
  void end_cpu_access(Access access, std::error_code& ec) const noexcept;

  /// Waits for the buffer's fences by poll(2). Access::Read waits for devices that write; Write and ReadWrite wait for all
  /// devices (Documentation/driver-api/dma-buf.rst, "Implicit Fence Poll Support"). A @p timeout of 0 does not wait.
  /// @throws Error ETIMEDOUT: a device still uses the buffer. EINVAL: a negative timeout. EOPNOTSUPP: the memory is not a
  ///         dma-buf, and so has no fences.
  void wait(Access access, std::chrono::milliseconds timeout) const;
  void wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept;

  /// Exports the fences for which a new @p access would have to wait, as a sync_file that the caller owns
  /// (DMA_BUF_IOCTL_EXPORT_SYNC_FILE, since Linux 6.0).
  /// @throws Error EOPNOTSUPP: not a dma-buf, or an older kernel
  [[nodiscard]] UniqueFd export_sync_file(Access access) const;
  [[nodiscard]] UniqueFd export_sync_file(Access access, std::error_code& ec) const noexcept;

  /// Adds a fence to the buffer: others wait for it as for an @p access of a device (DMA_BUF_IOCTL_IMPORT_SYNC_FILE, since
  /// Linux 6.0).
  /// @param access what the device does to the memory
  /// @param sync_file a descriptor, borrowed for the call
  /// @throws Error EOPNOTSUPP: not a dma-buf, or an older kernel; EINVAL: not a sync_file
  void import_sync_file(Access access, int sync_file) const;
  void import_sync_file(Access access, int sync_file, std::error_code& ec) const noexcept;

  /// Names the buffer: in this process and, by DMA_BUF_SET_NAME, in the kernel's lists of dma-bufs. A failure to name
  /// the kernel's object is ignored. A memfd keeps the name with which it was made.
  /// @throws Error ENAMETOOLONG: over max_name_length. EINVAL: a control character.
  void set_name(std::string_view name);
  void set_name(std::string_view name, std::error_code& ec) noexcept;

  /// Duplicates the buffer's descriptor (F_DUPFD_CLOEXEC). The caller owns the result.
  /// @throws Error EOPNOTSUPP: the memory has no descriptor that a device could take. EMFILE: descriptors ran out.
  [[nodiscard]] UniqueFd dup() const;
  [[nodiscard]] UniqueFd dup(std::error_code& ec) const noexcept;

  /// Gives the memory away: afterwards only the returned descriptor holds it, and this object is empty. While a Mapping or
  /// CpuAccess of the buffer lives, the descriptor is a duplicate, and the memory lives until the last of them has ended too. On
  /// failure the object keeps its buffer.
  /// @throws Error EOPNOTSUPP: the memory has no descriptor that a device could take. EMFILE: descriptors ran out.
  [[nodiscard]] UniqueFd release();
  [[nodiscard]] UniqueFd release(std::error_code& ec) noexcept;

  /// Gives the buffer back. The object is empty afterwards.
  void reset() noexcept { buffer_ = detail::BufferRef{}; }

private:
  friend class Heap;
  friend struct Handover;
  explicit DmaBuf(detail::BufferRef buffer) noexcept : buffer_(std::move(buffer)) {}
  detail::BufferRef buffer_;
};

}} // namespace sa::v0
