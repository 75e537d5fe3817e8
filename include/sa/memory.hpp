// SPDX-License-Identifier: MIT
/// @file memory.hpp
/// The pieces of which a heap makes a buffer, and the attachments that last as long as a buffer. For authors of heaps;
/// heap.hpp says how to write one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <sys/mman.h>

#include <sa/export.hpp>
#include <sa/types.hpp>
#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 {

namespace detail {
class Attachments;
}

/// The kind of the descriptor in a Memory.
enum class Descriptor {
  DmaBuf, ///< a dma-buf: SYNC, fences and the kernel's name work on it
  Memfd,  ///< a memfd sealed against shrinking (F_SEAL_SHRINK): coherent, needs no SYNC
  Handle, ///< keeps the memory alive and can be sent to a peer, but no device can import it: DmaBuf::fd() is -1
};

/// Owns a mapped address range of this process, and unmaps it when it ends.
class MappedRange {
public:
  /// Owns no range.
  MappedRange() noexcept = default;
  /// Owns the range of @p length bytes at @p base. The buffer's first byte is at @p base + @p offset bytes.
  MappedRange(void* base, std::size_t length, std::size_t offset = 0) noexcept : base_(base), length_(length), offset_(offset) {}
  MappedRange(MappedRange&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)), length_(other.length_), offset_(other.offset_) {}
  MappedRange& operator=(MappedRange&& other) noexcept {
    std::swap(base_, other.base_);
    std::swap(length_, other.length_);
    std::swap(offset_, other.offset_);
    return *this;
  }
  ~MappedRange() {
    if (base_ != nullptr) {
      ::munmap(base_, length_);
    }
  }
  /// The address of the buffer's first byte; null when the object owns no range.
  [[nodiscard]] std::byte* bytes() const noexcept {
    return base_ == nullptr ? nullptr : static_cast<std::byte*>(base_) + offset_;
  }

private:
  void* base_ = nullptr;
  std::size_t length_ = 0; // bytes
  std::size_t offset_ = 0; // bytes
};

/// The pieces of one buffer, filled in by the heap that makes it. The buffer owns them after Heap::adopt(), and gives
/// them back in the order mapping, descriptors, keep.
struct Memory {
  std::shared_ptr<void> keep{};               ///< any object that the memory needs; destroyed last
  UniqueFd fd{};                              ///< the descriptor that devices and peers get
  UniqueFd map_fd{};                          ///< a descriptor to map instead of fd; empty: fd is mapped
  Descriptor descriptor = Descriptor::DmaBuf; ///< the kind of fd
  Traits traits{};                            ///< the traits of this buffer
  std::size_t size = 0;                       ///< bytes, at most the size of fd's file
  std::optional<std::uint64_t> phys_addr{};   ///< physical address in bytes, with Trait::PhysAddr
  MappedRange mapping{};                      ///< an existing mapping, destroyed first; empty: the first access maps the buffer
  /// With Descriptor::Handle and no fd: makes the descriptor that a peer gets, on the first send, and returns the same
  /// one on each later send. The object behind keep owns the descriptor. The function is called with keep.get(), on any
  /// thread. On failure it sets @p ec.
  int (*handle)(void* keep, std::error_code& ec) = nullptr;
  /// Whether the reference count of fd's dma-buf is known to be exact: the `count` in its fdinfo
  /// (Documentation/filesystems/proc.rst) counts every descriptor, mapping and import. A Pool then reuses the buffer as
  /// soon as no other holder is counted. Leave it false unless you have tested the exporter: a drm dumb buffer that is
  /// imported into its own device and mapped there counts one too few.
  bool count_tells = false;
};

/// An object that lasts as long as a buffer is in use: Heap::attach() ties it to the buffer. By its destructor a heap
/// or an adaptor learns that the buffer has ended.
///
/// Threads: the destructor runs on the thread that ends the buffer's last holder, also on threads of the library and at
/// the exit of the process. The library holds no lock during the call, so the destructor may allocate and free buffers.
/// It must not throw.
class SA_API Attachment {
public:
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  virtual ~Attachment();

protected:
  Attachment() = default;

private:
  friend class detail::Attachments;
  Attachment* earlier_ = nullptr; // attached to the same buffer before this one
  bool of_memory_ = false;        // a pool keeps the buffer, and this belongs to what is kept
};

}} // namespace sa::v0
