// SPDX-License-Identifier: MIT
/// @file dma_buf.hpp
/// One buffer, whatever heap it came from, and the two ways to touch it: Mapping and CpuAccess.
///
/// A buffer is mapped at most once, however many Mappings and CpuAccesses it has, and stays mapped until it is freed.
/// Mapping and CpuAccess hold the buffer: its memory goes back after the last of them and of its DmaBuf.
///
/// Threads: distinct DmaBuf, Mapping and CpuAccess objects are independent, also when they share one buffer. One
/// object needs outside synchronisation. Every function with a trailing std::error_code& is the noexcept twin of the
/// throwing one (see error.hpp); memory for the library's own bookkeeping that runs out is ENOMEM there.
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

/// The buffer's memory in this process. No cache maintenance: the caller brackets with begin_cpu_access() and
/// end_cpu_access(), or uses DmaBuf::access().
class SA_API Mapping {
public:
  /// Empty: bytes() is empty.
  Mapping() noexcept = default;

  /// All of the buffer, DmaBuf::size() bytes, valid as long as any holder of the buffer lives. Writing through a
  /// Mapping made for Access::Read is an error of the program; where the buffer is read-only it is SIGSEGV.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept;

private:
  friend class DmaBuf;
  explicit Mapping(detail::BufferRef buffer) noexcept : buffer_(std::move(buffer)) {}
  detail::BufferRef buffer_;
};

/// A stretch of time in which the CPU may touch the buffer: DMA_BUF_IOCTL_SYNC START when it is made, END, in the same
/// direction, when it ends (linux/dma-buf.h; Documentation/driver-api/dma-buf.rst, "CPU Access to DMA Buffer
/// Objects"). On memory that is always coherent it makes no system call.
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
  /// Ends the access it held first; a failure of that is logged.
  CpuAccess& operator=(CpuAccess&& other) noexcept;
  /// Ends the access; a failure is logged.
  ~CpuAccess();

  /// Whether an access lasts.
  explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }

  /// All of the buffer while the access lasts; empty afterwards and after a move. Not to be had of a temporary, whose
  /// access ends with the statement: give the access a name.
  [[nodiscard]] std::span<std::byte> bytes() const& noexcept;
  std::span<std::byte> bytes() const&& = delete;

  /// Ends the access now. The object is empty afterwards, also on failure.
  /// @throws Error EBADF on an empty object; what DMA_BUF_IOCTL_SYNC reports
  void end();
  void end(std::error_code& ec) noexcept;

private:
  friend class DmaBuf;
  CpuAccess(detail::BufferRef buffer, Access access) noexcept : buffer_(std::move(buffer)), access_(access) {}
  SA_PRIVATE void finish() noexcept;
  detail::BufferRef buffer_;
  Access access_ = Access::Read;
};

/// Which memory a buffer is, on this machine: the same for every descriptor of it in every process, so that a receiver can
/// find again what it made of the buffer the last time. Unique among buffers that somebody still holds; once the memory is
/// gone, the kernel may use the numbers again.
struct BufferId {
  std::uint64_t device = 0; ///< st_dev of the descriptor (stat(2))
  std::uint64_t inode = 0;  ///< st_ino; what `sactl alloc` and the kernel's list of dma-bufs show
  friend constexpr auto operator<=>(const BufferId&, const BufferId&) noexcept = default;
};

/// Owns one buffer. Moved-from, default-made and released objects are empty: fd() is -1, size() 0, name() and heap()
/// "", and every operation that could fail reports EBADF.
class SA_API DmaBuf final {
public:
  DmaBuf() noexcept = default;
  DmaBuf(DmaBuf&&) noexcept = default;
  DmaBuf& operator=(DmaBuf&&) noexcept = default;
  ~DmaBuf() = default;

  /// Takes a buffer that somebody else made: a dma-buf (known by its file system, DMA_BUF_MAGIC in linux/magic.h), or
  /// a memfd that is sealed against shrinking (fcntl(2), F_SEAL_SHRINK), or can be and is then. The size is what the
  /// fd has; traits() is what can be told from the fd; heap() is "import"; name() is empty. Access follows the
  /// descriptor's mode: a read-only one refuses Access::Write with EACCES.
  ///
  /// A memfd of huge pages (MFD_HUGETLB) can lose them while it is mapped, by fallocate(2) with FALLOC_FL_PUNCH_HOLE, and
  /// then kills its users with SIGBUS. One that is not sealed against writing (F_SEAL_WRITE, F_SEAL_FUTURE_WRITE) is taken
  /// only when this process' user or root made it (st_uid): they are trusted, as is everybody they gave it to. `memfd:huge`
  /// makes such memory.
  ///
  /// A descriptor of any other file is refused without asking its file system, which may be a daemon that never answers
  /// (FUSE). When even close(2) waits for it, a thread of the library's is left to wait, and the process, though it runs
  /// on, ends only when the file system has answered or is gone.
  /// @param fd owned from here on, closed when the import is refused
  /// @throws Error EBADF: not a descriptor. EINVAL: neither a dma-buf nor a memfd that cannot shrink, or of size 0, or
  ///         another user's memfd of huge pages.
  [[nodiscard]] static DmaBuf import(UniqueFd fd);
  [[nodiscard]] static DmaBuf import(UniqueFd fd, std::error_code& ec) noexcept;

  /// Whether it holds a buffer.
  explicit operator bool() const noexcept { return static_cast<bool>(buffer_); }

  /// Borrowed: valid while the buffer lives, not to be closed. -1 where the memory has no fd that a device could take
  /// (a carveout through /dev/mem).
  [[nodiscard]] int fd() const noexcept;

  /// The memory file behind the buffer: the descriptor itself of a memfd heap, of udmabuf what the dma-buf was made from. It
  /// can be read, written and mapped by programs that know no dma-bufs. Borrowed as fd() is; -1 where there is none.
  [[nodiscard]] int memfd() const noexcept;

  /// Bytes; what was asked for, rounded up to the heap's granularity.
  [[nodiscard]] std::size_t size() const noexcept;

  /// Valid until set_name() or the end of the buffer.
  [[nodiscard]] std::string_view name() const noexcept;

  /// Canonical name of the heap that made it, in this process, or took it over from a peer by a handle that it has checked
  /// (Heap::accept()); "import" for every other buffer that came from elsewhere.
  [[nodiscard]] std::string_view heap() const noexcept;

  /// For a received buffer the heap that its sender said it is from, which nobody can check: for people to read. For every
  /// other buffer the same as heap().
  [[nodiscard]] std::string_view claimed_heap() const noexcept;

  /// Which memory it is, by one fstat(2); does not give the buffer away as fd() does. Nothing for an empty object, and for
  /// memory without a descriptor of its own (a carveout through /dev/mem), which phys_addr() tells apart.
  [[nodiscard]] std::optional<BufferId> id() const noexcept;

  [[nodiscard]] Traits traits() const noexcept;

  /// Bytes, where Trait::PhysAddr; otherwise nothing. A CPU physical address: behind an IOMMU a device sees another.
  [[nodiscard]] std::optional<std::uint64_t> phys_addr() const noexcept;

  /// Maps (once) and begins CPU access. Waits, without end, for the fences of devices that use the buffer in a
  /// conflicting way.
  /// @throws Error EINVAL: not an Access. EACCES: Write on a read-only buffer. ENOMEM, EPERM: what mmap(2) reports.
  [[nodiscard]] CpuAccess access(Access access) const;
  [[nodiscard]] CpuAccess access(Access access, std::error_code& ec) const noexcept;

  /// The same, waiting at most @p timeout for the fences there are now (negative: EINVAL). A fence that is added
  /// between the wait and the start is waited for without end.
  /// @throws Error ETIMEDOUT as well
  [[nodiscard]] CpuAccess access(Access access, std::chrono::milliseconds timeout) const;
  [[nodiscard]] CpuAccess access(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept;

  /// Maps (once), without cache maintenance: the caller brackets.
  /// @throws Error as access()
  [[nodiscard]] Mapping map_unsynchronized(Access access = Access::ReadWrite) const;
  [[nodiscard]] Mapping map_unsynchronized(Access access, std::error_code& ec) const noexcept;
  [[nodiscard]] Mapping map_unsynchronized(std::error_code& ec) const noexcept {
    return map_unsynchronized(Access::ReadWrite, ec);
  }

  /// DMA_BUF_IOCTL_SYNC START; without a system call on memory that is always coherent. EINTR and EAGAIN are retried.
  /// @throws Error EINVAL: not an Access. EACCES: Write on a read-only buffer.
  void begin_cpu_access(Access access) const;
  void begin_cpu_access(Access access, std::error_code& ec) const noexcept;

  /// DMA_BUF_IOCTL_SYNC END, in the direction of the begin.
  void end_cpu_access(Access access) const;
  void end_cpu_access(Access access, std::error_code& ec) const noexcept;

  /// Waits for its fences by poll(2): Read for writers, Write and ReadWrite for everybody (dma-buf.rst, "Implicit
  /// Fence Poll Support"). @p timeout 0 only looks; negative is EINVAL.
  /// @throws Error ETIMEDOUT; EOPNOTSUPP: not a dma-buf, which has no fences
  void wait(Access access, std::chrono::milliseconds timeout) const;
  void wait(Access access, std::chrono::milliseconds timeout, std::error_code& ec) const noexcept;

  /// The fences a new @p access would have to wait for, as a sync_file the caller owns (DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
  /// Linux 6.0).
  /// @throws Error EOPNOTSUPP: not a dma-buf, or an older kernel
  [[nodiscard]] UniqueFd export_sync_file(Access access) const;
  [[nodiscard]] UniqueFd export_sync_file(Access access, std::error_code& ec) const noexcept;

  /// Adds a fence: others wait for it as for an @p access of a device (DMA_BUF_IOCTL_IMPORT_SYNC_FILE, Linux 6.0).
  /// @param access what the device does to the memory
  /// @param sync_file borrowed
  /// @throws Error EOPNOTSUPP: not a dma-buf, or an older kernel; EINVAL: not a sync_file
  void import_sync_file(Access access, int sync_file) const;
  void import_sync_file(Access access, int sync_file, std::error_code& ec) const noexcept;

  /// Names the buffer, here and, where the kernel can (DMA_BUF_SET_NAME), for everybody who lists dma-bufs. Naming the
  /// kernel's object is best effort; a memfd keeps the name it was made with.
  /// @throws Error ENAMETOOLONG: over max_name_length. EINVAL: a control character.
  void set_name(std::string_view name);
  void set_name(std::string_view name, std::error_code& ec) noexcept;

  /// A descriptor of the same memory, owned by the caller (F_DUPFD_CLOEXEC).
  /// @throws Error EOPNOTSUPP: the memory has no fd that a device could take; EMFILE
  [[nodiscard]] UniqueFd dup() const;
  [[nodiscard]] UniqueFd dup(std::error_code& ec) const noexcept;

  /// Gives the memory away: it lives on in the returned fd alone and this object is empty. While a Mapping or CpuAccess
  /// of the buffer lives, the fd is a duplicate and the memory lives until the last of them too. On failure the object
  /// keeps its buffer.
  /// @throws Error EOPNOTSUPP: the memory has no fd that a device could take; EMFILE
  [[nodiscard]] UniqueFd release();
  [[nodiscard]] UniqueFd release(std::error_code& ec) noexcept;

  /// Lets go of the buffer; the object is empty.
  void reset() noexcept { buffer_ = detail::BufferRef{}; }

private:
  friend class Heap;
  friend struct Handover;
  explicit DmaBuf(detail::BufferRef buffer) noexcept : buffer_(std::move(buffer)) {}
  detail::BufferRef buffer_;
};

}} // namespace sa::v0
