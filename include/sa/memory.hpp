// SPDX-License-Identifier: MIT
/// @file memory.hpp
/// What a buffer is made of: the pieces that a heap puts together, and what it ties to the buffer's life. For authors of
/// heaps; heap.hpp says how.
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

/// What the descriptor in a Memory is.
enum class Descriptor {
  DmaBuf, ///< a dma-buf: SYNC, fences and the kernel's name work on it
  Memfd,  ///< a memfd sealed against shrinking (F_SEAL_SHRINK): coherent, needs no SYNC
  Handle, ///< keeps the memory alive and can be sent, but no device takes it: DmaBuf::fd() is -1
};

/// Owns an address range this process has mapped, and unmaps it at the end.
class MappedRange {
public:
  /// Nothing mapped yet.
  MappedRange() noexcept = default;
  /// Owns what munmap(@p base, @p length) would give back; the buffer's first byte is @p offset bytes in.
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
  /// The buffer's first byte; null when nothing is mapped.
  [[nodiscard]] std::byte* bytes() const noexcept {
    return base_ == nullptr ? nullptr : static_cast<std::byte*>(base_) + offset_;
  }

private:
  void* base_ = nullptr;
  std::size_t length_ = 0; // bytes
  std::size_t offset_ = 0; // bytes
};

/// The pieces of one buffer, from the heap that made it. Owned by the buffer after Heap::adopt(), and given back in
/// the order mapping, descriptors, keep.
struct Memory {
  std::shared_ptr<void> keep{};               ///< destroyed last
  UniqueFd fd{};                              ///< what devices and peers get
  UniqueFd map_fd{};                          ///< mapped instead of fd, where that serves better
  Descriptor descriptor = Descriptor::DmaBuf; ///< what fd is
  Traits traits{};                            ///< of this buffer
  std::size_t size = 0;                       ///< bytes, at most what fd has
  std::optional<std::uint64_t> phys_addr{};   ///< bytes, with Trait::PhysAddr
  MappedRange mapping{};                      ///< already mapped; empty: mapped when first asked for; destroyed first
  /// Descriptor::Handle without fd: makes what a peer gets when the buffer is first sent, and returns it each time, owned by
  /// what keep points to. Called with keep.get(), by any thread. On failure sets @p ec.
  int (*handle)(void* keep, std::error_code& ec) = nullptr;
  /// Whether the exporter of fd is known to keep the dma-buf's reference count honest: the `count` of its fdinfo is every
  /// descriptor, mapping and import there is. A Pool then uses the buffer again when nobody else has it. Leave it
  /// false unless that was tried: a drm dumb buffer imported into its own device and mapped there counts one too few.
  bool count_tells = false;
};

/// Something that lasts as long as a buffer is in use: Heap::attach() ties it to one. Its destructor is how a heap learns
/// that a buffer it handed out has ended.
///
/// Threads: the destructor runs on whichever thread lets go of the buffer last, also on one of the library's own and at the
/// exit of the process. No lock is held then: it may allocate and free. It must not throw.
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
