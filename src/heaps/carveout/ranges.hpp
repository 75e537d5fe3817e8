// SPDX-License-Identifier: MIT
/// @file ranges.hpp
/// A record of the process that holds each part of a physical range. It stays right across processes and their deaths.
///
/// The kernel keeps the record: one lock file per machine, whose byte n stands for page frame n, and record locks of
/// open file descriptions on it (F_OFD_SETLK, fcntl(2)), which end with the last descriptor, however its holders end,
/// and not before. Two names for one range cannot overlap, since frames are physical. The file is a FIFO: it can be
/// locked like any file, and a descriptor of it cannot be mapped (fifo(7)).
///
/// **Taking.** Each buffer has a write lock of its range, which the kernel grants only when no other description holds a
/// byte of it. A process has one description for all its buffers of a region: a buffer costs no descriptor, and the kernel
/// joins the locks of neighbours, which it keeps in a list that each lock and each unlock walks.
///
/// **Sharing.** A second holder gets a description of its own that read-locks the range. The order is: the holder turns
/// its own lock of the range into a read lock, which the kernel does in one step (posix_lock_inode()); then the new
/// description takes its read lock. So at no instant is the range without a lock, and each holder ends its own hold
/// alone, by unlocking or by dying. Only a holder makes such a description; nothing else asks for read locks.
///   - send(): the new description is the handle that travels; the lock lives on in flight.
///   - fork(2): before it, a new description is made for the parent and read-locks all that is held; the child keeps the
///     old one. Each of them lets go of a buffer by itself.
///
/// **Looking.** A list in address order gives the first gap that fits, which is tried. The list's ranges of this
/// process are exact, as the kernel does not refuse a lock that the same description already holds. A range that others
/// hold is a hint, learned from a conflict: a wrong one costs a system call or a worse place. The hints are dropped
/// when no gap is left.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

#include <sa/unique_fd.hpp>

namespace sa { inline namespace v0 { namespace detail {

class CarveoutRanges;

/// A range that is held as long as this object lives. Threads that use the same object need a lock of their own. Must not outlive
/// the CarveoutRanges it is from.
class HeldRange {
public:
  HeldRange() noexcept = default;
  HeldRange(HeldRange&& other) noexcept
      : ranges_(std::exchange(other.ranges_, nullptr)), start_(std::exchange(other.start_, 0)), end_(other.end_),
        handle_(std::move(other.handle_)) {}
  HeldRange& operator=(HeldRange&& other) noexcept {
    HeldRange moved(std::move(other));
    std::swap(ranges_, moved.ranges_);
    std::swap(start_, moved.start_);
    std::swap(end_, moved.end_);
    std::swap(handle_, moved.handle_);
    return *this;
  }
  ~HeldRange();

  explicit operator bool() const noexcept { return ranges_ != nullptr; }
  [[nodiscard]] std::uint64_t start() const noexcept { return start_; } ///< bytes, physical; 0 when it is empty

  /// A descriptor that holds the range beside this object, also after it: for a peer. Made when first asked for;
  /// borrowed. Any thread may call it. @p ec EMFILE, ENFILE, ENOLCK; EBADF: this object is empty.
  int handle(std::error_code& ec);

  /// Gives the range back; a process that has the handle keeps it.
  void reset() noexcept { *this = {}; }

private:
  friend class CarveoutRanges;
  HeldRange(CarveoutRanges& ranges, std::uint64_t start, std::uint64_t end) noexcept
      : ranges_(&ranges), start_(start), end_(end) {}

  CarveoutRanges* ranges_ = nullptr;
  std::uint64_t start_ = 0; ///< bytes
  std::uint64_t end_ = 0;   ///< bytes, the first that is not in it
  UniqueFd handle_;
};

/// Bytes of memory that one byte of the lock file stands for.
inline constexpr std::uint64_t frame_size = 4096;

/// The ranges of one region. Any thread may call it. Its mutex is held during F_OFD_SETLK and F_OFD_GETLK, which do not
/// wait, so that the list always says which locks this process has; fork(2) waits for it.
class CarveoutRanges {
public:
  /// @param base bytes, physical; @param size bytes
  CarveoutRanges(std::filesystem::path lock_file, std::uint64_t base, std::uint64_t size);
  CarveoutRanges(const CarveoutRanges&) = delete;
  CarveoutRanges& operator=(const CarveoutRanges&) = delete;
  ~CarveoutRanges();

  /// The first free range of @p size bytes (a multiple of frame_size) at a multiple of @p alignment bytes (a power of two,
  /// at least frame_size). @p ec ENOMEM: none.
  [[nodiscard]] HeldRange allocate(std::uint64_t size, std::uint64_t alignment, std::error_code& ec);

  /// Whether @p handle is an open description of the lock file that holds the range.
  [[nodiscard]] bool holds(int handle, std::uint64_t start, std::uint64_t size) const;

private:
  friend class HeldRange;
  friend struct CarveoutForks;

  struct Taken {
    std::uint64_t start = 0; ///< bytes
    std::uint64_t end = 0;   ///< bytes, the first that is not in it
    bool mine = false;       ///< locked by locks_; otherwise another description was seen to hold it
  };
  using Iterator = std::vector<Taken>::iterator;

  void learn(Iterator refused);
  int share(HeldRange& held, std::error_code& ec);
  void release(const HeldRange& held) noexcept;
  void before_fork() noexcept;
  void after_fork(bool in_child) noexcept;
  [[nodiscard]] UniqueFd open_lock_file(int access, std::error_code& ec) const;
  void refuse_lock(int error, std::error_code& ec) const;

  std::filesystem::path lock_file_;
  std::uint64_t base_; ///< bytes
  std::uint64_t end_;  ///< bytes

  std::mutex mutex_;         ///< of all below
  UniqueFd locks_;           ///< the description of this process's locks
  std::vector<Taken> taken_; ///< by address; no two overlap
  UniqueFd parents_;         ///< during a fork: what will be locks_ in the parent
};

}}} // namespace sa::v0::detail
