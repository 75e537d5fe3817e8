// SPDX-License-Identifier: MIT
/// @file ranges.hpp
/// Who has which part of a physical range, true across processes and across their deaths.
///
/// The truth is the kernel's: one lock file per machine, whose byte n stands for page frame n, and record locks of open
/// file descriptions on it (F_OFD_SETLK, fcntl(2)), which end with the last descriptor, however its holders end, and not
/// before. Two names for one range cannot overlap, since frames are physical. The file is a FIFO: it can be locked like
/// any file, and a descriptor of it cannot be mapped (fifo(7)).
///
/// **Taking.** A range is taken by a write lock, which the kernel grants only when nobody else holds a byte of it. A
/// process has one description for all its ranges. Record locks are a linear list in the kernel, in which the neighbouring
/// locks of one description are one: so the process keeps the small holes between its buffers locked, as slack, from
/// which it allocates without a system call, and the list has an entry for each large hole, not for each buffer. A
/// lease, a run of locked bytes, has at least one buffer in it and ends with its last one. Slack is at most 1/64 of the
/// bytes in buffers, and never beside open memory: however many processes share a region, slack keeps less than 2 % of it
/// from who asks, and splits no hole.
///
/// **Sharing.** A second holder gets a description of its own that read-locks the range. The order is: the holder turns
/// its own lock of the range into a read lock, which the kernel does in one step (posix_lock_inode()); then the new
/// description takes its read lock. So at no instant is the range without a lock, and each holder ends its own hold
/// alone, by unlocking or by dying. Only who has a range makes such a description; nobody else asks for read locks.
///   - send(): the new description is the handle that travels; the lock lives on in flight.
///   - fork(2): before it, a new description is made for the parent and read-locks all that is held; the child keeps the
///     old one. Each of them lets go of a buffer by itself. Slack stays the parent's.
/// A range that may have other holders becomes slack only after a write lock over it was granted again.
///
/// **Believing.** Beside it each process keeps an index (heaps/carveout/index.hpp). What it holds is exact; what others hold is
/// a hint, learned from conflicts: a wrong one costs a system call or a worse fit. Hints are dropped when the region looks
/// full, and after some leases for each conflict, so that what others gave back is found again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>

#include <sa/unique_fd.hpp>

#include "heaps/carveout/index.hpp"

namespace sa { inline namespace v0 { namespace detail {

class CarveoutRanges;

/// A range that is held as long as this object lives. One object needs outside synchronisation. Must not outlive the
/// CarveoutRanges it is from.
class HeldRange {
public:
  HeldRange() noexcept = default;
  HeldRange(HeldRange&& other) noexcept
      : ranges_(std::exchange(other.ranges_, nullptr)), run_(other.run_), lease_(other.lease_),
        handle_(std::move(other.handle_)) {}
  HeldRange& operator=(HeldRange&& other) noexcept {
    if (this != &other) {
      reset();
      ranges_ = std::exchange(other.ranges_, nullptr);
      run_ = other.run_;
      lease_ = other.lease_;
      handle_ = std::move(other.handle_);
    }
    return *this;
  }
  ~HeldRange() { reset(); }

  explicit operator bool() const noexcept { return ranges_ != nullptr; }
  [[nodiscard]] std::uint64_t start() const noexcept { return ranges_ == nullptr ? 0 : run_->first; } ///< bytes, physical
  /// How often this process had taken something from the region when it got this: whoever looked at the machine after
  /// he got a range of the same number need not look again.
  [[nodiscard]] std::uint64_t lease() const noexcept { return lease_; }

  /// A descriptor that holds the range beside this object, also after it: for a peer. Made when first asked for;
  /// borrowed. Any thread may call it. @p ec EMFILE, ENFILE, ENOLCK; EBADF: this object is empty.
  int handle(std::error_code& ec);

  /// Lets go of it; who has the handle keeps it.
  void reset() noexcept;

private:
  friend class CarveoutRanges;
  HeldRange(CarveoutRanges& ranges, CarveoutIndex::Iterator run, std::uint64_t lease) noexcept
      : ranges_(&ranges), run_(run), lease_(lease) {}

  CarveoutRanges* ranges_ = nullptr;
  CarveoutIndex::Iterator run_{}; // a buffer's run stays where it is as long as the buffer lives
  std::uint64_t lease_ = 0;
  UniqueFd handle_;
};

/// Bytes of memory that one byte of the lock file stands for.
inline constexpr std::uint64_t frame_size = 4096;

/// The ranges of one region. Any thread may call it. Its lock is held during F_OFD_SETLK and F_OFD_GETLK, which do not
/// wait, so that what the index says of this process's locks is always so; fork(2) waits for it.
class CarveoutRanges {
public:
  /// @param base bytes, physical; @param size bytes
  CarveoutRanges(std::filesystem::path lock_file, std::uint64_t base, std::uint64_t size);
  CarveoutRanges(const CarveoutRanges&) = delete;
  CarveoutRanges& operator=(const CarveoutRanges&) = delete;
  ~CarveoutRanges();

  /// A free range of @p size bytes (a multiple of frame_size) at a multiple of @p alignment bytes (a power of two, at
  /// least frame_size). @p ec ENOMEM: none.
  [[nodiscard]] HeldRange allocate(std::uint64_t size, std::uint64_t alignment, std::error_code& ec);

  /// Whether @p handle is an open description of the lock file that holds the range.
  [[nodiscard]] bool holds(int handle, std::uint64_t start, std::uint64_t size) const;

private:
  friend class HeldRange;
  friend struct CarveoutForks;

  void release(CarveoutIndex::Iterator run, UniqueFd& handle) noexcept;
  int share(HeldRange& held, std::error_code& ec);

  [[nodiscard]] HeldRange take(CarveoutIndex::Iterator run, std::uint64_t start, std::uint64_t size);
  [[nodiscard]] bool lock_open(std::uint64_t start, std::uint64_t end, std::error_code& ec);
  [[nodiscard]] HeldRange lease(const CarveoutIndex::Fit& fit, std::uint64_t size, std::error_code& ec);
  [[nodiscard]] HeldRange lease_across(std::uint64_t start, std::uint64_t size, std::error_code& ec);
  void forget();
  void learn(std::uint64_t start, std::uint64_t end);
  void free(CarveoutIndex::Iterator run);
  void settle(CarveoutIndex::Iterator slack);
  bool give_back(CarveoutIndex::Iterator run);
  void regain() noexcept;
  void leave_to_parent();

  void before_fork() noexcept;
  void after_fork(bool in_child) noexcept;

  [[nodiscard]] UniqueFd open_lock_file(int access) const noexcept;
  [[nodiscard]] UniqueFd make_lock_file(int access, std::error_code& ec) const;
  void refuse_lock(int error, std::error_code& ec) const;

  std::filesystem::path lock_file_;
  std::uint64_t base_; ///< bytes
  std::uint64_t end_;  ///< bytes

  std::mutex mutex_; ///< of all below
  UniqueFd locks_;   ///< the description that holds what the index says is held
  CarveoutIndex index_;
  std::uint64_t leases_ = 0;          ///< taken so far
  std::uint64_t learned_ = 0;         ///< conflicts since the hints were dropped
  std::uint64_t learned_at_ = 0;      ///< leases_ when they were
  std::uint64_t shared_releases_ = 0; ///< since the last fork
  bool inherited_ = false;            ///< a forked child that still has its parent's slack in the index

  UniqueFd parents_; ///< during a fork
  bool divided_ = true;

  CarveoutRanges* next_ = nullptr; ///< of all in this process
};

}}} // namespace sa::v0::detail
