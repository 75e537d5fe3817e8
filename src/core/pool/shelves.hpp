// SPDX-License-Identifier: MIT
/// @file shelves.hpp
/// Where a pool keeps its free buffers, which of them and how long. Each thread has a shelf of a rack that is its own, where it
/// comes and goes without a locked instruction (core/bias.hpp). A shelf is locked for some nanoseconds by whoever else touches
/// it, never during a system call but the one of core/process_barrier.hpp.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include <sa/pool.hpp>

#include "core/buffer/recycler.hpp"
#include "core/pool/rack.hpp"
#include "core/pool/shelf.hpp"

namespace sa { inline namespace v0 { namespace detail {

/// The free buffers of one pool; outlives it as long as one of its buffers is in use.
class Shelves final : public Recycler, public std::enable_shared_from_this<Shelves> {
public:
  explicit Shelves(const PoolOptions& options);
  Shelves(const Shelves&) = delete;
  Shelves& operator=(const Shelves&) = delete;
  ~Shelves() override = default;

  /// The rack for so many buffers that are about to join the pool.
  /// @throws std::bad_alloc
  [[nodiscard]] Rack& enter(PoolClass of, std::size_t buffers);
  /// They do not, or they are about to end.
  void leave(Rack& rack, std::size_t buffers) noexcept;

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

  enum class Parked { Yes, NoRoom, Forked };
  Parked park(Buffer& buffer) noexcept;
  void recycle_with_care(Buffer& buffer) noexcept;
  void dispose(Buffer& buffer) noexcept;
  bool grow(Shelf& shelf, std::size_t bytes) noexcept;
  std::size_t claim(std::size_t bytes) noexcept;
  [[nodiscard]] Shelf* own_shelf(Rack& rack) const noexcept;
  Shelf& lock_near(Rack& rack) noexcept;
  Buffer* acquire_with_care(Rack& rack, PoolClass of) noexcept;
  Buffer* take_over(Rack& rack, Shelf& own, PoolClass of) noexcept;
  template <typename Decide>
  std::size_t give_back_if(Decide&& decide) noexcept;
  [[nodiscard]] bool some_age() noexcept;
  [[nodiscard]] std::uint64_t came_back() const noexcept;
  [[nodiscard]] std::uint64_t free_buffers() const noexcept;

  static constexpr unsigned ticks_per_age = 4;

  const std::size_t max_bytes_;
  const Recycle recycle_;
  const bool ages_; ///< whether buffers get too old at all
  const Clock::duration interval_;
  Racks racks_;
  std::atomic<unsigned> attention_;    ///< closed, dormant
  std::atomic<unsigned> tick_{0};      ///< quarters of max_age
  std::atomic<bool> inherited_{false}; ///< something may lie aside on the shelves
  alignas(128) Blocks blocks_;
  alignas(128) std::atomic<std::size_t> unclaimed_; ///< bytes of max_free_bytes that no shelf has
  std::atomic<std::uint64_t> misses_{0};
  std::atomic<std::uint64_t> reserved_{0}; ///< buffers that came by park_reserved()
  std::atomic<std::uint64_t> freed_shared_{0};
  std::atomic<std::uint64_t> freed_full_{0};
  std::atomic<std::uint64_t> freed_old_{0};
  std::atomic<std::uint64_t> discarded_{0};    ///< acquired, and given to nobody
  std::atomic<std::uint64_t> given_back_{0};   ///< free, then gone
  std::optional<Clock::time_point> next_tick_; ///< the ageing thread's
  std::uint64_t came_back_at_tick_ = 0;        ///< the same
};

}}} // namespace sa::v0::detail
