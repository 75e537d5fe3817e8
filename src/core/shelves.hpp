// SPDX-License-Identifier: MIT
/// @file shelves.hpp
/// Where a pool keeps its free buffers: several shelves, so that threads do not meet. Each thread has a shelf it turns to
/// first. A shelf is locked for some nanoseconds by whoever touches it, never during a system call, and nobody waits for a
/// lock while another shelf will do.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <sa/pool.hpp>

#include "core/recycler.hpp"

namespace sa::inline v0::detail {

/// A number that only the holder of a lock changes and anybody may read.
class Count {
public:
  void add(std::uint64_t n) noexcept { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void subtract(std::uint64_t n) noexcept { add(~n + 1); }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
  std::atomic<std::uint64_t> value_{0};
};

/// Free buffers of every class. Everything but the lock needs the lock.
class alignas(128) Shelf { // two cache lines: processors fetch them in pairs
  std::atomic<bool> locked_{false};

public:
  [[nodiscard]] bool try_lock() noexcept { return !locked_.exchange(true, std::memory_order_acquire); }
  /// Waits; not for callers that hold another shelf.
  void lock() noexcept;
  void unlock() noexcept { locked_.store(false, std::memory_order_release); }

  void push(Buffer& buffer) noexcept;
  /// The buffer that came last; null when there is none of that class.
  [[nodiscard]] Buffer* pop(PoolClass of) noexcept;
  /// Takes all that @p other, locked too, has of that class, and the room they need where there is not enough here. This
  /// shelf has none of them.
  bool take_all(Shelf& other, PoolClass of) noexcept;

  /// Takes out every buffer for which @p which says so: a chain by PoolSlip::below in front of @p chain.
  template <typename Which>
  Buffer* take_if(Buffer* chain, Which&& which) noexcept;
  /// Whether @p which says so of any.
  template <typename Which>
  [[nodiscard]] bool any(Which&& which) const noexcept;

  /// Bytes by which it may grow.
  [[nodiscard]] std::size_t room() const noexcept { return allowance - bytes.get(); }

  std::size_t allowance = 0;   ///< bytes it may have; a part of the pool's max_bytes
  Buffer* inherited = nullptr; ///< what the parent process had here, by PoolSlip::beside and then below
  std::size_t source = 0;      ///< the shelf that last had what this one lacked
  Count bytes;                 ///< of the buffers here
  Count handed_out;            ///< buffers popped for a user
  Count came_back;             ///< buffers pushed by a user

  /// Makes everything here `inherited`, in a forked child.
  void disinherit() noexcept;

private:
  static constexpr std::size_t bin_count = 8;
  using Bin = Buffer*; ///< the topmost of each class in it, by PoolSlip::beside

  Bin& bin_of(PoolClass of) noexcept;
  /// Where the topmost of that class hangs; where one would be appended when there is none.
  static Buffer** find(Bin& bin, PoolClass of) noexcept;

  std::array<Bin, bin_count> bins_{};
};

/// The free buffers of one pool; outlives it as long as one of its buffers is in use.
class Shelves final : public Recycler, public std::enable_shared_from_this<Shelves> {
public:
  explicit Shelves(const PoolOptions& options);
  Shelves(const Shelves&) = delete;
  Shelves& operator=(const Shelves&) = delete;
  ~Shelves() override = default;

  /// A free buffer of that class, the caller's now; null when there is none.
  [[nodiscard]] Buffer* acquire(PoolClass of) noexcept;

  void recycle(Buffer& buffer) noexcept override;

  enum class Which { All, Unreserved };

  /// Sets @p bytes of the pool's room aside, at the cost of free buffers, those of @p cost at most. False: it cannot be.
  /// Goes back by return_room(), or with the buffers by park_reserved().
  [[nodiscard]] bool set_room_aside(std::size_t bytes, Which cost) noexcept;
  void return_room(std::size_t bytes) noexcept;
  /// Keeps a buffer for which room was set aside.
  void park_reserved(Buffer& buffer) noexcept;

  /// Gives free buffers back; how many.
  std::size_t trim(Which which) noexcept;

  /// The pool is gone: gives everything back, now and from now on.
  void close() noexcept;

  /// Gives back what a forked child found here.
  void drop_inherited() noexcept;

  void note_miss() noexcept { misses_.fetch_add(1, std::memory_order_relaxed); }
  /// Frees a buffer that was acquired and is given to nobody.
  void discard(Buffer& buffer) noexcept;
  [[nodiscard]] PoolStatistics statistics() const noexcept;

  // For pools.cpp.
  using Clock = std::chrono::steady_clock;
  /// Gives back what is too old. When to look again; nothing while there is nothing that could age.
  std::optional<Clock::time_point> age(Clock::time_point now) noexcept;
  void lock_all() noexcept;
  void unlock_all() noexcept;
  /// With all locked, in a forked child.
  void disinherit() noexcept;

private:
  static constexpr unsigned closed = 1;  ///< the pool is gone
  static constexpr unsigned dormant = 2; ///< nothing ages; whoever parks the next buffer wakes the ageing

  bool try_park(Buffer& buffer) noexcept;
  enum class Parked { Yes, NoRoom, Forked };
  Parked park(Buffer& buffer) noexcept;
  void recycle_with_care(Buffer& buffer) noexcept;
  Parked park_or_make_room(Buffer& buffer) noexcept;
  bool grow(Shelf& shelf, std::size_t bytes) noexcept;
  std::size_t claim(std::size_t bytes) noexcept;
  Shelf& lock_near() noexcept;
  Shelf& lock_another() noexcept;
  Buffer* acquire_elsewhere(Shelf& own, PoolClass of) noexcept;
  template <typename Decide>
  std::size_t give_back_if(Decide&& decide) noexcept;
  [[nodiscard]] std::uint64_t free_buffers() const noexcept;

  static constexpr unsigned ticks_per_age = 4;

  const std::size_t max_bytes_;
  const Recycle recycle_;
  const bool ages_; ///< whether buffers get too old at all
  const Clock::duration interval_;
  const std::size_t shelf_count_; ///< a power of two
  const std::unique_ptr<Shelf[]> shelves_;
  std::atomic<unsigned> attention_;                 ///< closed, dormant
  std::atomic<unsigned> tick_{0};                   ///< quarters of max_age
  alignas(128) std::atomic<std::size_t> unclaimed_; ///< bytes of max_bytes that no shelf has
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> reserved_{0}; ///< buffers that came by park_reserved()
  std::atomic<std::uint64_t> freed_shared_{0};
  std::atomic<std::uint64_t> freed_full_{0};
  std::atomic<std::uint64_t> freed_old_{0};
  std::atomic<std::uint64_t> discarded_{0};    ///< acquired, and given to nobody
  std::atomic<std::uint64_t> given_back_{0};   ///< free, then gone
  std::optional<Clock::time_point> next_tick_; ///< the ageing thread's
};

} // namespace sa::inline v0::detail
