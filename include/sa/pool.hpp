// SPDX-License-Identifier: MIT
/// @file pool.hpp
/// Pools: a heap around another heap that keeps freed buffers and hands them out again.
///
/// A fresh buffer must be zeroed, and each of its pages costs a page fault: a thousand times the cost of reusing a
/// buffer. A Pool keeps the buffers that its users free, with mapping and descriptor. It hands a kept buffer to the
/// next request of the same size class: the same size (rounded as the heap rounds), constraints, flags and required
/// traits. This makes no system call and allocates no memory. A buffer that was given away (see Recycle) costs two or
/// three system calls.
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

/// When a pool may reuse a buffer. A buffer counts as given away after DmaBuf::fd(), dup(), release(),
/// import_sync_file(), sa::send(), or a fork(2) while it was in use. A buffer that was not given away is always reused.
enum class Recycle {
  /// Reuses a given-away buffer only when the pool is its last holder and no device works on it. The kernel tells this
  /// for its own dma-heaps, ION, udmabuf and this project's modules (Memory::count_tells): the `count` in the dma-buf's
  /// /proc/self/fdinfo (Documentation/filesystems/proc.rst) has only this process' own descriptor and mapping, and all
  /// fences are signalled. A buffer that has another holder when it comes back is set aside, within max_free_bytes. The
  /// pool checks it again when a later request finds no free buffer: a V4L2 queue releases a buffer when another one is
  /// queued in its slot. A buffer that is set aside is freed when it gets older than max_age, or when a free buffer
  /// needs its room.
  ///
  /// The check costs two system calls for each use, three if the buffer was set aside, and one more descriptor for each
  /// such buffer, whose fdinfo file stays open. A pool that runs out of descriptors (EMFILE, ENFILE) closes these files
  /// first.
  ///
  /// Every other buffer that was given away is freed, since no interface tells its holders: memfds, DRM buffers and
  /// carveouts through /dev/mem.
  WhenUnshared,
  /// Always reuses a buffer, for a program that queues the same buffers to the same device all the time, while the
  /// device holds them (V4L2 until REQBUFS(0)). The risk is the program's: a device or process that still has the
  /// descriptor, a mapping or a running job sees and changes the contents that the buffer's next user writes.
  Always,
};

/// Options of a Pool.
struct PoolOptions {
  /// Bytes that the pool keeps at most, counted by the buffers' real sizes: free buffers, buffers that are set aside,
  /// and all reserved buffers, also while they are in use. 0: the pool keeps nothing.
  std::size_t max_free_bytes = std::size_t{256} << 20;
  /// The age at which a free buffer is given back; it can last a quarter of this longer. milliseconds::max(): never. 0: the pool
  /// keeps nothing. Reserved buffers do not age.
  std::chrono::milliseconds max_age{10000};
  /// When a buffer that was given away may be reused.
  Recycle recycle = Recycle::WhenUnshared;
  /// Whether to zero a buffer before it is reused, for a pool whose users do not trust each other. If false, a buffer
  /// has the contents that its last user wrote, and no buffer of the pool has Trait::Zeroed.
  bool zero = false;
  /// info().name; empty: the upstream's name. DmaBuf::heap() is always the name of the heap that made the memory.
  std::string name{};

  friend bool operator==(const PoolOptions&, const PoolOptions&) = default;
};

/// Counts of a pool. Each number is exact while no other thread uses the pool. The numbers are read one after the
/// other, so together they are not a snapshot.
struct PoolStatistics {
  std::uint64_t hits = 0;         ///< allocations served by a free buffer
  std::uint64_t misses = 0;       ///< allocations that went to the upstream and succeeded
  std::uint64_t live = 0;         ///< buffers of this pool in use
  std::uint64_t free_buffers = 0; ///< buffers kept free
  std::uint64_t set_aside = 0;    ///< buffers that had another holder when they came back, and are kept (Recycle::WhenUnshared)
  std::uint64_t free_bytes = 0;   ///< bytes of free_buffers and set_aside
  std::uint64_t freed_shared = 0; ///< freed, not kept: given away, and perhaps still held elsewhere (Recycle)
  std::uint64_t freed_full = 0;   ///< freed, not kept: no room under max_free_bytes, or the pool is gone
  std::uint64_t freed_old = 0;    ///< kept free, then given back for its age

  friend bool operator==(const PoolStatistics&, const PoolStatistics&) = default;
};

/// A heap that keeps freed buffers of another heap, its upstream, and hands them out again.
///
/// A pool has the traits, limits and errors of its upstream. When the upstream runs out (ENOMEM, EDQUOT, EMFILE,
/// ENFILE), the pool gives its free buffers back, except reserved ones, and asks once more.
///
/// A buffer comes back when the last of its DmaBuf, Mappings and CpuAccesses ends, on any thread. A pool may end before
/// its buffers: these are then freed when they end. Buffers that the upstream imported, or took from a pool of its own,
/// are passed through unchanged.
///
/// A reused buffer has the name of its new request, except in the kernel, which keeps the old one until set_name().
///
/// fork(2): the child's pools begin empty. The parent's free buffers stay the parent's; the child closes its copies
/// when it first allocates. A child never keeps a buffer that its parent made. The library does not notice a fork that
/// bypasses the C library (_Fork(), clone(2) with neither CLONE_VM nor an exec): such a child must not use its parent's
/// pools.
///
/// Threads: any number of threads may use one pool at once. One lock guards its lists. It is never held during a system
/// call that can block, nor while memory is made or freed.
///
/// A pool logs one warning, with the remedy, when most of its requests go to the upstream although buffers come back.
class SA_API Pool final : public Heap {
public:
  /// Makes an empty pool.
  /// @param upstream the heap that makes the buffers; the pool keeps a reference
  /// @param options bounds, age, and when a buffer may be used again
  /// @throws Error EINVAL: no upstream, a negative max_age, an unknown Recycle, a malformed name
  explicit Pool(std::shared_ptr<Heap> upstream, PoolOptions options = {});
  /// Frees the buffers that the pool keeps. Buffers in use stay valid.
  ~Pool() override;

  /// A copy of the upstream's description, taken when the pool was made. Without PoolOptions::zero it lacks
  /// Trait::Zeroed.
  [[nodiscard]] const HeapInfo& info() const noexcept override { return info_; }

  /// Allocates @p count buffers now, and keeps them free for requests of the same size class until trim(). A program reserves at
  /// its start the buffers that it will need from a region that fragments, such as CMA. Reserved buffers count against
  /// max_free_bytes also while they are in use, do not age, and come back to the pool after each use, as far as Recycle allows.
  /// Free buffers that are not reserved are freed to make room. Either all @p count buffers are reserved, or none.
  /// @throws Error ENOMEM: all reserved buffers together would exceed max_free_bytes. EOPNOTSUPP: the upstream's buffers cannot
  ///         be kept. Else as allocate() of the upstream.
  void reserve(std::size_t count, const AllocRequest& request);
  void reserve(std::size_t count, const AllocRequest& request, std::error_code& ec) noexcept;

  /// Frees all buffers that the pool keeps, reserved ones too.
  void trim() noexcept;

  /// The counts of the pool now.
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
