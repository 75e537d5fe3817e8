// SPDX-License-Identifier: MIT
/// @file pool.hpp
/// Buffers that are used again: a heap around a heap.
///
/// A fresh buffer costs its zeroing and a page fault for each of its pages, a thousand times what it costs to write it
/// again. A Pool keeps what its users let go of, mapping and descriptor included, and hands it to the next request of
/// the same class: size (rounded as the heap rounds), constraints, flags and required traits. That makes no system call and
/// takes no memory, unless the buffer was given away (see Recycle): then it makes two or three system calls.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <system_error>

#include <sa/export.hpp>
#include <sa/heap.hpp>

namespace sa { inline namespace v0 {

namespace detail {
class FreeLists;
struct SizeClass;
}

/// When a buffer may be used again. One that nobody else ever got (no DmaBuf::fd(), dup(), release(),
/// import_sync_file(), sa::send(), and no fork(2) while it was in use) always is. The others were given away:
enum class Recycle {
  /// Given away: only when nobody else has it any more and no device works on it. That can be told for the kernel's own
  /// dma-heaps, ION, udmabuf and this project's modules (Memory::count_tells): the `count` in the dma-buf's
  /// /proc/self/fdinfo (Documentation/filesystems/proc.rst) is this process' own descriptor and mapping, and its fences are
  /// signalled. A buffer that somebody still has when it comes back is set aside, within max_free_bytes, and looked at again
  /// when a later request finds no free one: a V4L2 queue lets go of a buffer when another one is queued in its place.
  /// It is freed when it gets older than max_age, or when a free buffer needs its room.
  ///
  /// Costs two system calls for each use, three where the buffer was set aside, and one more descriptor for each such buffer:
  /// its fdinfo file stays open. A pool that runs out of descriptors (EMFILE, ENFILE) closes these first.
  ///
  /// Every other buffer that was given away is freed, since nobody can tell who has it: memfds, DRM buffers and carveouts
  /// through /dev/mem.
  WhenUnshared,
  /// Always: for an owner who queues the same buffers to the same device for ever, where the device holds on to them
  /// (V4L2 until REQBUFS(0)). The risk is the owner's: whoever still has the descriptor, a mapping or a running job sees
  /// and changes what the next user of the buffer writes.
  Always,
};

struct PoolOptions {
  /// Bytes kept at most, as large as the buffers really are: those that are free or set aside, and all reserved ones, which
  /// own their room while they are in use. 0 keeps nothing.
  std::size_t max_free_bytes = std::size_t{256} << 20;
  /// A free buffer older than this is given back, at the latest a quarter of it later. milliseconds::max(): never. 0
  /// keeps nothing. Buffers of reserve() do not age.
  std::chrono::milliseconds max_age{10000};
  Recycle recycle = Recycle::WhenUnshared;
  /// Zero a buffer before it is used again. Without it a pool hands out what its own users wrote before, and none of its
  /// buffers has Trait::Zeroed. For pools whose users do not trust each other.
  bool zero = false;
  /// info().name; empty: the upstream's name. DmaBuf::heap() is always the name of the heap that made the memory.
  std::string name{};

  friend bool operator==(const PoolOptions&, const PoolOptions&) = default;
};

/// What a pool did, and holds. Each number is exact when nobody uses the pool meanwhile; together they are no snapshot.
struct PoolStatistics {
  std::uint64_t hits = 0;         ///< allocations served by a free buffer
  std::uint64_t misses = 0;       ///< allocations that went upstream and succeeded
  std::uint64_t live = 0;         ///< buffers of this pool in use
  std::uint64_t free_buffers = 0; ///< buffers kept free
  std::uint64_t set_aside = 0;    ///< buffers kept that somebody else had when they came back (Recycle::WhenUnshared)
  std::uint64_t free_bytes = 0;   ///< bytes of both
  std::uint64_t freed_shared = 0; ///< freed, not kept: given away, and perhaps still seen by somebody (Recycle)
  std::uint64_t freed_full = 0;   ///< freed, not kept: no room under max_free_bytes, or the pool is gone
  std::uint64_t freed_old = 0;    ///< kept free, then given back for its age

  friend bool operator==(const PoolStatistics&, const PoolStatistics&) = default;
};

/// A heap that keeps what is let go of and hands it out again.
///
/// Traits, limits and errors are those of the heap around which it is. When that runs out (ENOMEM, EDQUOT, EMFILE,
/// ENFILE) the pool gives its free buffers back, save those of reserve(), and asks once more.
///
/// A buffer comes back when the last of its DmaBuf, Mappings and CpuAccesses ends, on any thread. A pool may end before
/// its buffers: they are freed then. What upstream imported, or took from a pool of its own, is passed through as it is.
///
/// A reused buffer has the name of its new request, except in the kernel, which keeps the old one until set_name().
///
/// fork(2): the child's pools begin empty; what the parent kept free is the parent's, and the child closes its copies
/// when it first allocates. A child never keeps a buffer that its parent made. A fork that goes past the C library
/// (_Fork(), clone(2) with neither CLONE_VM nor an exec) is not noticed: such a child must not touch its parent's pools.
///
/// Threads: any number may use a pool at once. One lock guards its lists; it is never held during a system call that can
/// block, nor while memory is made or freed.
///
/// A pool whose requests mostly go upstream although buffers come back logs one warning that names the remedy.
class SA_API Pool final : public Heap {
public:
  /// @param upstream the heap to ask; kept
  /// @param options bounds, age, and when a buffer may be used again
  /// @throws Error EINVAL: no upstream, a negative max_age, an unknown Recycle, a malformed name
  explicit Pool(std::shared_ptr<Heap> upstream, PoolOptions options = {});
  /// Frees what it keeps. Buffers in use stay valid.
  ~Pool() override;

  /// What upstream said of itself when the pool was made, without Trait::Zeroed unless PoolOptions::zero.
  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

  /// Allocates @p count buffers now and keeps them free for such requests, until trim(): what is known to be needed from
  /// a region that fragments, CMA, is reserved at start and never given back. Reserved buffers own their part of
  /// max_free_bytes, do not age, and come back after each use whatever other requests do, as long as Recycle lets them. All
  /// or none; free buffers that are not reserved make room.
  /// @throws Error ENOMEM: they and what is reserved already are more than max_free_bytes; whatever upstream reports.
  ///         EOPNOTSUPP: upstream's buffers cannot be kept.
  void reserve(std::size_t count, const AllocRequest& request);
  void reserve(std::size_t count, const AllocRequest& request, std::error_code& ec) noexcept;

  /// Gives every buffer back that is kept, reserved ones too.
  void trim() noexcept;

  [[nodiscard]] PoolStatistics statistics() const noexcept;

protected:
  DmaBuf do_allocate(const AllocRequest& request, std::error_code& ec) override;
  void check_fit(const AllocRequest& request, std::error_code& ec) const override;
  DmaBuf do_accept(UniqueFd handle, std::uint64_t offset, std::size_t size, std::string_view name, std::error_code& ec) override;

private:
  SA_PRIVATE DmaBuf allocate_fresh(const AllocRequest& request, std::error_code& ec);
  SA_PRIVATE DmaBuf ask_upstream(const AllocRequest& request, std::error_code& ec);
  SA_PRIVATE void join(detail::Buffer& buffer, detail::SizeClass& size_class, unsigned epoch, bool reserved) noexcept;

  std::shared_ptr<Heap> upstream_;
  PoolOptions options_;
  HeapInfo info_;
  std::size_t granularity_; // bytes, of classes
  std::shared_ptr<detail::FreeLists> lists_;
};

}} // namespace sa::v0
