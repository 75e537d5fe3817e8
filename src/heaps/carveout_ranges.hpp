// SPDX-License-Identifier: MIT
/// @file carveout_ranges.hpp
/// Who has which part of a physical range, true across processes and across their deaths.
///
/// The truth is the kernel's: one lock file per machine, whose byte n stands for page frame n, and one open file
/// description per buffer that holds a write lock on the buffer's frames (F_OFD_SETLK, fcntl(2)). The kernel drops the
/// lock with the last descriptor, however its holders end, and not before: the descriptor can be sent, and the lock lives
/// on in flight. Two names for one range cannot overlap, since frames are physical.
///
/// Beside it each process keeps an index of what it believes to be taken, so as not to ask the kernel about every range.
/// It is a hint: a wrong entry costs a system call or, when the region looks full, a second search without hints.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <system_error>

#include <sa/unique_fd.hpp>

namespace sa::inline v0::detail {

/// A range that is held as long as its handle, or a copy of it, is open.
struct HeldRange {
  UniqueFd handle; ///< opened write-only: it cannot be mapped
  std::uint64_t start = 0;
};

/// Bytes of memory that one byte of the lock file stands for.
inline constexpr std::uint64_t frame_size = 4096;

class CarveoutRanges {
public:
  /// @param base bytes, physical; @param size bytes
  CarveoutRanges(std::filesystem::path lock_file, std::uint64_t base, std::uint64_t size);
  CarveoutRanges(const CarveoutRanges&) = delete;
  CarveoutRanges& operator=(const CarveoutRanges&) = delete;
  ~CarveoutRanges();

  /// The first free range of @p size bytes (a multiple of frame_size) at a multiple of @p alignment bytes (a power of
  /// two, at least frame_size). @p ec ENOMEM: none.
  [[nodiscard]] HeldRange allocate(std::uint64_t size, std::uint64_t alignment, std::error_code& ec);

  /// Tells that a range of allocate() has been let go of, after its handle was closed.
  void forget(std::uint64_t start) noexcept;

  /// Whether @p handle is an open description of the lock file that holds the range.
  [[nodiscard]] bool holds(int handle, std::uint64_t start, std::uint64_t size) const;

private:
  struct Taken {
    std::uint64_t end;
    bool foreign; ///< learned from a conflict: nobody will tell when it ends
  };
  struct Index {
    std::mutex lock; ///< never held during a system call
    std::map<std::uint64_t, Taken> taken;
    unsigned generation = 0;
  };

  Index& index();
  [[nodiscard]] std::uint64_t reserve(std::uint64_t size, std::uint64_t alignment);
  [[nodiscard]] UniqueFd open_lock_file(std::error_code& ec) const;

  std::filesystem::path lock_file_;
  std::uint64_t base_;
  std::uint64_t end_;
  std::atomic<Index*> index_;
};

} // namespace sa::inline v0::detail
